import type { MetricPanel, Range } from "@modelship-lab/core";
import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { csvOf, download, pictureOf } from "../chart/download";
import type { Drawing, Extent } from "../chart/drawing";
import { Legend, renewValues, type Entry } from "../chart/Legend";
import { Plot } from "../chart/Plot";
import type { Hover } from "../chart/props";
import { Tooltip } from "../chart/Tooltip";
import { count, duration, figure } from "../format";
import type { Choices, PanelSize, XAxis } from "./choices";
import { notesOf, PanelCurves, type CurveSource } from "./curves";
import { metricName } from "./status";

const HEIGHTS: Record<PanelSize, number> = { small: 120, medium: 200, large: 340 };

export interface RunPanelProps {
  panel: MetricPanel;
  sources: readonly CurveSource[];
  choices: Choices;
  choose: (change: Partial<Choices>) => void;
  /** Whether the points of a stretch are on their way. */
  busy: boolean;
  syncKey: string;
}

interface Shown {
  legend: Entry[];
  notes: string[];
}

/** What was drawn, and the place in it under the pointer. */
interface Pointed {
  drawing: Drawing;
  perPixel: number;
  hover: Hover;
}

/** The curves of metrics that are read together, with what the picture cannot show. */
export function RunPanel({ panel, sources, choices, choose, busy, syncKey }: RunPanelProps): ReactNode {
  const metrics = panel.metrics.join("\n");
  // eslint-disable-next-line react-hooks/exhaustive-deps -- the names are what counts, not their list
  const curves = useMemo(() => new PanelCurves(sources, panel.metrics, choices), [sources, metrics]);
  const [shown, setShown] = useState<Shown>({ legend: [], notes: [] });
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const [highlight, setHighlight] = useState<string | null>(null);
  const place = useRef<HTMLElement>(null);
  const legend = useRef<HTMLDivElement>(null);
  const last = useRef<Omit<Pointed, "hover"> | null>(null);
  const said = useRef("");
  const title = metricName(panel.name);

  useEffect(() => curves.choose(choices), [curves, choices]);

  const drawn = (drawing: Drawing, extent: Extent): void => {
    const width = place.current?.clientWidth ?? 1;
    last.current = { drawing, perPixel: extent.x ? (extent.x.end - extent.x.start) / Math.max(1, width - 80) : 1 };
    renewValues(legend.current, curves.legend);
    const notes = notesOf(curves.reduction, extent, choices);
    const saying = JSON.stringify([notes, curves.legend.map(({ key, label, hidden, color }) => [key, label, hidden, color])]);
    if (saying === said.current) return;
    said.current = saying;
    setShown({ legend: curves.legend, notes });
  };
  const toggle = (key: string): void =>
    choose({
      hidden: choices.hidden.includes(key) ? choices.hidden.filter((one) => one !== key) : [...choices.hidden, key],
    });
  const pinned = choices.pinned.includes(panel.name);
  const pin = (): void =>
    choose({
      pinned: pinned ? choices.pinned.filter((one) => one !== panel.name) : [...choices.pinned, panel.name],
    });
  const savePicture = async (): Promise<void> => {
    const plot = place.current?.querySelector<HTMLElement>(".mls-plot");
    const picture = plot && (await pictureOf(plot, title, shown.legend.filter((one) => !one.hidden)));
    if (picture) download(`${panel.name}.png`, picture);
  };
  const saveTable = (): void =>
    download(`${panel.name}.csv`, new Blob([csvOf(curves.rows())], { type: "text/csv;charset=utf-8" }));

  return (
    <section className="mls-panel" ref={place} aria-label={title}>
      <div className="mls-panel-head">
        <h4 dir="auto" title={panel.metrics.join(", ")}>
          {title}
        </h4>
        {busy && <span className="mls-spinner" role="status" aria-label="Fetching points" />}
        <div className="mls-panel-tools">
          <button type="button" aria-pressed={pinned} title={pinned ? "Let it go back to its place" : "Keep it in front"} onClick={pin}>
            {pinned ? "unpin" : "pin"}
          </button>
          <button type="button" title="Download the picture" onClick={() => void savePicture()}>
            PNG
          </button>
          <button type="button" title="Download what is drawn as a table" onClick={saveTable}>
            CSV
          </button>
        </div>
      </div>
      <Legend
        entries={shown.legend}
        note={choices.smoothing > 0 ? `smoothed ${choices.smoothing.toFixed(2)}` : ""}
        look={setHighlight}
        toggle={toggle}
        place={legend}
      />
      <Plot
        source={curves}
        height={HEIGHTS[choices.size]}
        logX={choices.logX}
        logY={choices.logY}
        robust={choices.robust}
        seconds={choices.x === "relative"}
        clock={choices.x === "clock"}
        real={choices.x.startsWith("metric:")}
        labelX={axisLabel(choices)}
        formatX={formatOf(choices.x)}
        formatY={figure}
        range={choices.range}
        onRange={(range: Range | null) => choose({ range })}
        highlight={highlight}
        syncKey={syncKey}
        onHover={(hover) => setPointed(hover && last.current && { ...last.current, hover })}
        onDrawn={drawn}
        label={`Curves of ${panel.metrics.join(", ")}. Plus and minus zoom, arrows move, 0 shows everything.`}
      >
        {pointed && <Tooltip {...pointed} title={`${axisName(choices.x)} ${placeName(choices.x, pointed.hover.x)}`} />}
      </Plot>
      <p className="mls-panel-notes mls-muted" role="status">
        {shown.notes.map((note) => (
          <span key={note}>{note}</span>
        ))}
      </p>
    </section>
  );
}

function axisName(x: XAxis): string {
  if (x === "clock") return "";
  return x === "relative" ? "after" : x === "step" ? "step" : x.slice("metric:".length);
}

function axisLabel({ x, logX }: Choices): string {
  const name = x === "clock" ? "time of day" : x === "relative" ? "time since the start" : axisName(x);
  return logX ? `${name} (logarithmic)` : name;
}

function formatOf(x: XAxis): ((value: number) => string) | undefined {
  if (x === "step") return (value) => (value >= 10_000 ? `${figure(value / 1000)}k` : String(value));
  return x === "relative" ? duration : figure;
}

/** A place on the axis in full. */
function placeName(x: XAxis, value: number): string {
  if (x === "step") return count(Math.round(value));
  if (x === "clock") return new Date(value * 1000).toLocaleString();
  return x === "relative" ? duration(value) : figure(value);
}
