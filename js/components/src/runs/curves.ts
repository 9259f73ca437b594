import { groupMetrics, smooth, type MetricPoints, type Run } from "@modelship-lab/core";
import uPlot from "uplot";
import type { Line } from "../chart/Plot";
import { classColor } from "../colors";

export interface CurveSource {
  run: Run | null;
  runId: number;
  metrics: ReadonlyMap<string, MetricPoints>;
}

export interface CurveOptions {
  /** Weight of the past in the smoothed line, 0 for none. */
  smoothing: number;
  x: "step" | "time";
  logY: boolean;
}

/** One line of a panel's legend with its newest value. */
export interface LegendEntry {
  label: string;
  color: string;
  dash: boolean;
  last: number | null;
  /** Position of its line in the panel's data. */
  column: number;
}

export interface Panel {
  name: string;
  /** False for bookkeeping like the learning rate, which needs less room. */
  main: boolean;
  data: uPlot.AlignedData;
  lines: Line[];
  legend: LegendEntry[];
}

/** Values at strictly rising x: of several points at one x (a run that was resumed) the newest counts. */
function rising(
  x: readonly number[],
  values: readonly (number | null)[],
): [number[], (number | null)[]] {
  let ordered = true;
  for (let index = 1; index < x.length && ordered; index++) ordered = x[index]! > x[index - 1]!;
  if (ordered) return [[...x], [...values]];
  const byX = new Map<number, number | null>();
  x.forEach((at, index) => byX.set(at, values[index] ?? null));
  const places = [...byX.keys()].sort((a, b) => a - b);
  return [places, places.map((at) => byX.get(at) ?? null)];
}

/** The panels of one run or several overlaid, ready to be drawn. */
export function panelsOf(sources: readonly CurveSource[], options: CurveOptions): Panel[] {
  const names = new Set(sources.flatMap((source) => [...source.metrics.keys()]));
  // Its number stands in the header; a staircase says nothing more.
  if (names.size > 1) names.delete("epoch");
  return groupMetrics(names).map((group) => {
    const tables: uPlot.AlignedData[] = [];
    const lines: Line[] = [];
    const legend: LegendEntry[] = [];
    group.metrics.forEach((metric, place) => {
      sources.forEach((source, run) => {
        const points = source.metrics.get(metric);
        if (!points) return;
        const several = sources.length > 1;
        const color = classColor(several ? run : place);
        const dash = several && place > 0 ? [6, 4] : undefined;
        const label = several ? `${metric} · run ${source.runId}` : metric;
        const start = source.run ? Date.parse(source.run.started_at) / 1000 : (points.times[0] ?? 0);
        const places = options.x === "step" ? points.steps : points.times.map((time) => Math.max(0, time - start));
        const [x, raw] = rising(places, points.values);
        const values = options.logY ? raw.map((value) => (value !== null && value > 0 ? value : null)) : raw;
        if (options.smoothing > 0 && values.length > 2) {
          tables.push([x, values]);
          lines.push({ label: `${label} (raw)`, color, dash, opacity: 0.28, width: 1 });
        }
        tables.push([x, smooth(values, values.length > 2 ? options.smoothing : 0)]);
        lines.push({ label, color, dash });
        legend.push({ label, color, dash: dash !== undefined, last: points.last, column: lines.length });
      });
    });
    return { name: group.name, main: group.main, data: tables.length > 0 ? uPlot.join(tables) : [[]], lines, legend };
  });
}

/** The value that a line has at `index`, or the nearest one before it. */
export function valueAt(data: uPlot.AlignedData, column: number, index: number): number | null {
  const values = data[column];
  for (let place = index; values && place >= 0; place--) {
    const value = values[place];
    if (value !== undefined && value !== null) return value;
  }
  return null;
}
