import { sectionsOf, type MetricPanel, type MetricSection } from "@modelship-lab/core";
import { useId, useMemo, useState, type ReactNode } from "react";
import { count, counted } from "../format";
import type { Choices } from "./choices";
import type { CurveSource } from "./curves";
import { RunPanel } from "./RunPanel";

/** So many panels of a section are made before somebody asks for more. */
const PANELS_AT_ONCE = 24;
const SECTIONS_AT_ONCE = 40;

/** The names that a filter lets through, and what is wrong with it. */
export function filtered(names: readonly string[], filter: string): { names: readonly string[]; problem: string } {
  if (!filter) return { names, problem: "" };
  try {
    const pattern = new RegExp(filter, "i");
    return { names: names.filter((name) => pattern.test(name)), problem: "" };
  } catch {
    const text = filter.toLowerCase();
    return {
      names: names.filter((name) => name.toLowerCase().includes(text)),
      problem: "This is no regular expression; it is searched for as it stands.",
    };
  }
}

export interface RunPanelsProps {
  names: readonly string[];
  sources: readonly CurveSource[];
  choices: Choices;
  choose: (change: Partial<Choices>) => void;
  busy: boolean;
}

/** All charts by sections: those that are pinned, those without a prefix, then one for each prefix. */
export function RunPanels({ names, sources, choices, choose, busy }: RunPanelsProps): ReactNode {
  const syncKey = useId();
  const [shown, setShown] = useState(SECTIONS_AT_ONCE);
  const sections = useMemo(() => sectionsOf(names), [names]);
  const pinned = useMemo(() => {
    const panels = new Map(sections.flatMap(({ panels: all }) => all).map((panel) => [panel.name, panel]));
    return choices.pinned.flatMap((name) => panels.get(name) ?? []);
  }, [sections, choices.pinned]);
  const common = { sources, choices, choose, busy, syncKey };
  const alone = sections.length === 1 && pinned.length === 0;
  return (
    <>
      {pinned.length > 0 && <Section section={{ name: "pinned", panels: pinned }} title="Pinned" {...common} />}
      {sections.slice(0, shown).map((section) => (
        <Section
          key={section.name}
          section={section}
          title={alone && section.name === "" ? "" : section.name === "" ? "Metrics" : `${section.name}/`}
          {...common}
        />
      ))}
      {sections.length > shown && (
        <button type="button" className="mls-button" onClick={() => setShown(shown + SECTIONS_AT_ONCE)}>
          Show {counted(Math.min(SECTIONS_AT_ONCE, sections.length - shown), "more section")} of {count(sections.length)}
        </button>
      )}
    </>
  );
}

interface SectionProps extends Omit<RunPanelsProps, "names"> {
  section: MetricSection;
  /** Nothing, where there is only this one. */
  title: string;
  syncKey: string;
}

function Section({ section, title, ...common }: SectionProps): ReactNode {
  const [shown, setShown] = useState(PANELS_AT_ONCE);
  const { choices, choose } = common;
  const folded = title !== "" && (choices.folded[section.name] ?? section.name === "system");
  const panels: MetricPanel[] = folded ? [] : section.panels.slice(0, shown);
  return (
    <section className="mls-section">
      {title && (
        <h3>
          <button
            type="button"
            className="mls-section-title"
            aria-expanded={!folded}
            onClick={() => choose({ folded: { ...choices.folded, [section.name]: !folded } })}
          >
            <span className="mls-fold" aria-hidden="true" />
            <span dir="auto">{title}</span> <span className="mls-muted mls-number">{count(section.panels.length)}</span>
          </button>
        </h3>
      )}
      {panels.length > 0 && (
        <div className={`mls-panels mls-panels-${choices.size}`}>
          {panels.map((panel) => (
            <RunPanel key={panel.name} panel={panel} {...common} />
          ))}
        </div>
      )}
      {!folded && section.panels.length > shown && (
        <button type="button" className="mls-button" onClick={() => setShown(shown + PANELS_AT_ONCE)}>
          Show {counted(Math.min(PANELS_AT_ONCE, section.panels.length - shown), "more chart")} of{" "}
          {count(section.panels.length)}
        </button>
      )}
    </section>
  );
}
