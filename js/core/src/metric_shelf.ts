import type { MetricsMessage } from "./connection";
import { MetricSeries, type Axis, type Range } from "./metric_series";
import type { Context, SeriesPoints } from "./records";

/** The series of one metric, one for each context. */
interface Loaded {
  /** Number of the newest batch that is in here. */
  sequence: number;
  series: MetricSeries[];
}

/** Metrics that are here for one stretch of the axis, or for all of it. */
export class Shelf {
  readonly loaded = new Map<string, Loaded>();
  readonly stale = new Set<string>();
  readonly fetching = new Set<string>();
  readonly abort = new AbortController();

  constructor(
    readonly axis: Axis,
    readonly range: Range | null,
    readonly points: number,
  ) {}

  isMissing(name: string): boolean {
    return !this.fetching.has(name) && (this.stale.has(name) || !this.loaded.has(name));
  }

  /** Takes what nobody watches off the shelf, the longest unwatched first, until no more than `most` are there. */
  forget(watched: (name: string) => boolean, most: number): void {
    for (const name of this.loaded.keys()) {
      if (this.loaded.size <= most) return;
      if (!watched(name)) this.loaded.delete(name);
    }
  }

  /** Appends what a message has for one metric, or notes that it has to be fetched. True when points came. */
  append(name: string, message: MetricsMessage, byName: ReadonlyMap<string, SeriesPoints[]>): boolean {
    const loaded = this.loaded.get(name)!;
    if (message.sequence <= loaded.sequence) return false;
    if (message.gap || message.from > loaded.sequence) {
      this.stale.add(name);
      return false;
    }
    const overlaps = message.from < loaded.sequence;
    loaded.sequence = message.sequence;
    const added = byName.get(name) ?? [];
    if (this.axis.startsWith("metric:")) {
      // Where these points belong on the axis only the server can tell.
      if (added.length > 0 || byName.has(this.axis.slice("metric:".length))) this.stale.add(name);
      return false;
    }
    for (const points of added) {
      let series = loaded.series.find((one) => sameContext(one.context, points.context));
      if (!series) {
        series = new MetricSeries(name, points.context, this.axis, this.points);
        loaded.series.push(series);
      }
      const newest = series.x.at(-1) ?? -Infinity;
      const range = this.range ?? undefined;
      // Which of the points are in a range that was fetched nobody can tell.
      if (overlaps && series.reduced) this.stale.add(name);
      else if (overlaps) series.append(after(points, series.steps.at(-1) ?? -Infinity), range);
      else if (this.axis === "time" && points.times.some((time) => time < newest)) this.stale.add(name);
      else series.append(points, range);
    }
    return added.length > 0;
  }
}

export function sameContext(a: Context, b: Context): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** What a message brings, by the name of the metric. */
export function byNameOf(message: MetricsMessage): Map<string, SeriesPoints[]> {
  const groups = new Map<string, SeriesPoints[]>();
  for (const series of message.series) {
    const group = groups.get(series.name);
    if (group) group.push(series);
    else groups.set(series.name, [series]);
  }
  return groups;
}

/** The points after a step: those that a message has beyond what was fetched. */
function after(points: SeriesPoints, step: number): SeriesPoints {
  const kept = points.steps.flatMap((at, index) => (at > step ? [index] : []));
  return {
    ...points,
    steps: kept.map((index) => points.steps[index]!),
    values: kept.map((index) => points.values[index] ?? null),
    times: kept.map((index) => points.times[index] ?? 0),
    nonfinite: points.nonfinite?.filter((one) => one.step > step),
  };
}
