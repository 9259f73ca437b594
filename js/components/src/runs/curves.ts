import { smooth, type Context, type MetricFeed, type MetricSeries, type Range } from "@modelship-lab/core";
import type { Curve, Drawing, DrawingSource, Extent, Mark } from "../chart/drawing";
import type { Entry } from "../chart/Legend";
import { classColor, runColor } from "../colors";
import { count, counted } from "../format";
import type { Choices } from "./choices";

/** A run whose metrics are drawn. */
export interface CurveSource {
  runId: number;
  title: string;
  /** In seconds since the Unix epoch. */
  startedAt: number;
  metrics: MetricFeed;
}


/** What a picture cannot show of the points behind it. */
export interface Reduction {
  /** Stored points of the lines that are drawn as ranges, and into how many. */
  points: number;
  ranges: number;
  /** Values that are no number: "not a number", infinities, and those that were only counted. */
  nan: number;
  infinite: number;
  unknown: number;
}

const NOTHING: Reduction = { points: 0, ranges: 0, nan: 0, infinite: 0, unknown: 0 };
const DASHES: (number[] | undefined)[] = [undefined, [7, 4], [2, 3], [10, 3, 2, 3], [4, 2]];

/** What a reader has to know of a panel's picture, beside the picture. */
export function notesOf(reduction: Reduction, extent: Extent, choices: Choices): string[] {
  const { points, ranges, nan, infinite, unknown } = reduction;
  const zero = choices.logX ? "at or below zero" : "zero or below";
  return [
    points > ranges ? `${count(points)} points as ${counted(ranges, "range")}; zoom for all of them` : "",
    nan > 0 ? `${count(nan)} NaN` : "",
    infinite > 0 ? `${count(infinite)} infinite` : "",
    unknown > 0 ? `${count(unknown)} more that are no number` : "",
    extent.undrawn > 0 ? `${counted(extent.undrawn, "point")} not drawn: ${zero}` : "",
    extent.outside > 0 ? `${counted(extent.outside, "point")} beyond the edge` : "",
  ].filter(Boolean);
}

/** A context as it is read: the values, as of {subset: val, rank: 0} "val · rank 0". */
function contextLabel(context: Context): string {
  return Object.entries(context)
    .map(([name, value]) => (name === "subset" ? value : `${name} ${value}`))
    .join(" · ");
}

/** Turns a place on the axis as the server knows it into one as it is drawn, and back. */
function offsetOf(source: CurveSource, choices: Choices): number {
  return choices.x === "relative" ? source.startedAt : 0;
}

/** The stretch of a run's axis that is on the screen. */
export function stretchOf(range: Range | null, source: CurveSource, choices: Choices): Range | null {
  const offset = offsetOf(source, choices);
  return range && { start: range.start + offset, end: range.end + offset };
}

/** The curves of one panel: some metrics of one run or several. */
export class PanelCurves implements DrawingSource {
  legend: Entry[] = [];
  reduction: Reduction = NOTHING;
  private readonly changed = new Set<() => void>();

  constructor(
    private readonly sources: readonly CurveSource[],
    private readonly metrics: readonly string[],
    private choices: Choices,
  ) {}

  /** Draws from now on as the reader chose. */
  choose(choices: Choices): void {
    if (choices === this.choices) return;
    this.choices = choices;
    for (const changed of this.changed) changed();
  }

  subscribe(changed: () => void): () => void {
    this.changed.add(changed);
    const stop = this.sources.flatMap(({ metrics }) => this.metrics.map((name) => metrics.watch(name, changed)));
    return () => {
      this.changed.delete(changed);
      for (const end of stop) end();
    };
  }

  read(): Drawing {
    const { choices } = this;
    const hidden = new Set(choices.hidden);
    const drawing: Drawing = { curves: [], marks: [] };
    const reduction = { ...NOTHING };
    const legend: Entry[] = [];
    const variants = new Map<string, number>();
    let [start, end] = [Infinity, -Infinity];
    for (const source of this.sources) {
      if (hidden.has(`run:${source.runId}`)) continue;
      const offset = offsetOf(source, choices);
      for (const name of this.metrics) {
        for (const { x } of source.metrics.wholeSeries(name)) {
          start = Math.min(start, (x[0] ?? Infinity) - offset);
          end = Math.max(end, (x.at(-1) ?? -Infinity) - offset);
        }
        for (const series of source.metrics.series(name)) {
          const look = this.look(source, series, legend.length, variants);
          legend.push({ ...look, hidden: hidden.has(look.key), last: source.metrics.last(name, series.context) });
          if (hidden.has(look.key) || series.length === 0) continue;
          addCurves(drawing, series, look, offset, choices);
          addMarks(drawing.marks, reduction, series, look, offset, choices);
          if (series.reduced) {
            reduction.points += series.points;
            reduction.ranges += series.length;
          }
        }
      }
    }
    this.legend = legend;
    this.reduction = reduction;
    return { ...drawing, whole: start <= end ? { start, end } : null };
  }

  /** The points as they are drawn, as a table with a heading. */
  rows(): (string | number | null)[][] {
    const rows: (string | number | null)[][] = [
      ["run", "metric", "context", "step", "time", "value", "low", "high", "points"],
    ];
    for (const { runId, metrics } of this.sources) {
      for (const series of this.metrics.flatMap((name) => metrics.series(name))) {
        series.steps.forEach((step, index) => {
          const time = new Date(series.times[index]! * 1000).toISOString();
          const [value, low, high] = [series.values[index]!, series.low[index]!, series.high[index]!];
          const context = contextLabel(series.context);
          rows.push([runId, series.name, context, step, time, value, low, high, series.counts[index]!]);
        });
      }
    }
    return rows;
  }

  private look(
    source: CurveSource,
    series: MetricSeries,
    place: number,
    variants: Map<string, number>,
  ): { key: string; label: string; color: string; dash: number[] | undefined } {
    const context = contextLabel(series.context);
    const key = [source.runId, series.name, context].join("|");
    const several = this.sources.length > 1;
    const metric = context ? `${series.name} · ${context}` : series.name;
    // Among several runs the color tells the run, and the dashes what of it.
    const variant = several ? metric : context;
    if (!variants.has(variant)) variants.set(variant, variants.size);
    const dash = DASHES[(context || several ? variants.get(variant)! : 0) % DASHES.length];
    if (!several) return { key, label: metric, color: classColor(place), dash };
    const label = this.metrics.length > 1 || context ? `${source.title} · ${metric}` : source.title;
    return { key, label, color: runColor(source.runId), dash };
  }
}

function addCurves(
  drawing: Drawing,
  series: MetricSeries,
  look: Pick<Curve, "key" | "label" | "color" | "dash">,
  offset: number,
  choices: Choices,
): void {
  const x = offset ? series.x.map((at) => at - offset) : series.x;
  const band = series.reduced ? { low: series.low, high: series.high } : {};
  const smoothed = choices.smoothing > 0 && series.length > 2;
  const raw: Curve = { ...look, x, y: series.values, ...band };
  if (!smoothed) {
    drawing.curves.push(raw);
    return;
  }
  drawing.curves.push({ ...raw, opacity: 0.3, width: 1, silent: true });
  drawing.curves.push({ ...look, x, y: smooth(series.values, choices.smoothing) });
}

function addMarks(
  marks: Mark[],
  reduction: Reduction,
  series: MetricSeries,
  look: { color: string; label: string },
  offset: number,
  choices: Choices,
): void {
  if (series.nonfiniteCount === 0) return;
  const nan = series.nonfinite.filter((one) => one.kind === "nan").length;
  reduction.nan += nan;
  reduction.infinite += series.nonfinite.length - nan;
  reduction.unknown += series.nonfiniteCount - series.nonfinite.length;
  if (choices.x.startsWith("metric:")) return;
  for (const one of series.nonfinite) {
    marks.push({ x: (series.axis === "time" ? one.time : one.step) - offset, kind: one.kind, color: look.color, label: look.label });
  }
}
