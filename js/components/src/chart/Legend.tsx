import { useState, type ReactNode, type Ref } from "react";
import { figure } from "../format";

/** A line as the legend names it. */
export interface Entry {
  key: string;
  label: string;
  color: string;
  dash: number[] | undefined;
  hidden: boolean;
  last: number | null;
}

/** So many lines are named before somebody asks for all. */
const AT_FIRST = 6;

export interface LegendProps {
  entries: readonly Entry[];
  /** Said of all lines: "smoothed". */
  note: string;
  look: (key: string | null) => void;
  toggle: (key: string) => void;
  /** Its `[data-key]` elements hold the newest values, which are renewed without drawing the legend again. */
  place: Ref<HTMLDivElement>;
}

/** The names of lines: pointing at one makes the others faint, a click hides it. */
export function Legend({ entries, note, look, toggle, place }: LegendProps): ReactNode {
  const [all, setAll] = useState(false);
  const shown = all ? entries : entries.slice(0, AT_FIRST);
  return (
    <div className={all ? "mls-legend mls-legend-all" : "mls-legend"} ref={place} onPointerLeave={() => look(null)}>
      {shown.map((entry) => (
        <button
          key={entry.key}
          type="button"
          className="mls-legend-entry"
          aria-pressed={!entry.hidden}
          title={entry.hidden ? `Show ${entry.label}` : `Hide ${entry.label}`}
          onPointerEnter={() => look(entry.key)}
          onFocus={() => look(entry.key)}
          onBlur={() => look(null)}
          onClick={() => toggle(entry.key)}
        >
          <span
            className={entry.dash ? "mls-swatch mls-swatch-dashed" : "mls-swatch"}
            style={{ color: entry.color, background: entry.dash ? undefined : entry.color }}
          />
          <span className="mls-muted" dir="auto">
            {entry.label}
          </span>
          <strong className="mls-number" data-key={entry.key}>
            {figure(entry.last)}
          </strong>
        </button>
      ))}
      {entries.length > AT_FIRST && (
        <button type="button" className="mls-link" onClick={() => setAll(!all)}>
          {all ? "fewer" : `${entries.length - AT_FIRST} more`}
        </button>
      )}
      {note && <span className="mls-muted mls-legend-note">{note}</span>}
    </div>
  );
}

/** Writes the newest values into a legend. */
export function renewValues(legend: HTMLElement | null, entries: readonly Entry[]): void {
  for (const value of legend?.querySelectorAll<HTMLElement>("[data-key]") ?? []) {
    const entry = entries.find(({ key }) => key === value.dataset.key);
    const text = figure(entry?.last);
    if (entry && value.textContent !== text) value.textContent = text;
  }
}
