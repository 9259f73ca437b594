import type { Context, NonFinite, Points, Series } from "./records";

/** How many places of values that are no number are kept; further ones are counted. */
const NONFINITE_KEPT = 100;

/** What a series is ordered by: its steps, its times, or the values of another metric. */
export type Axis = "step" | "time" | `metric:${string}`;

/** A stretch of an axis, both ends included. */
export interface Range {
  start: number;
  end: number;
}

/**
 * One series in the browser: single points, or ranges of them with their mean, smallest and largest value.
 *
 * However many points follow live, there are never more than twice `limit` entries: neighbors are merged into
 * ranges of equal width, and as a range keeps its extremes, no spike disappears.
 */
export class MetricSeries {
  readonly steps: number[];
  readonly times: number[];
  /** The value of a point, or the mean of a range; null where nothing in it is a number. */
  readonly values: (number | null)[];
  readonly low: (number | null)[];
  readonly high: (number | null)[];
  /** How many points each entry stands for. */
  readonly counts: number[];
  /** Where the entries stand when the axis is another metric. */
  private readonly other: readonly number[] | null;
  readonly nonfinite: NonFinite[];
  nonfiniteCount: number;
  /** How many points there are in all. */
  points: number;
  /** Whether entries stand for several points. */
  reduced: boolean;

  constructor(
    readonly name: string,
    readonly context: Context,
    readonly axis: Axis,
    private readonly limit: number,
    series?: Series,
  ) {
    const values = [...(series?.values ?? [])];
    this.steps = [...(series?.steps ?? [])];
    this.times = [...(series?.times ?? [])];
    this.values = values;
    this.low = [...(series?.low ?? values)];
    this.high = [...(series?.high ?? values)];
    this.counts = series?.counts ? [...series.counts] : values.map(() => 1);
    this.other = series?.x ?? null;
    this.nonfinite = [...(series?.nonfinite ?? [])];
    this.nonfiniteCount = series?.nonfinite_count ?? 0;
    this.points = series?.points ?? 0;
    this.reduced = series?.reduced ?? false;
  }

  get length(): number {
    return this.steps.length;
  }

  /** Where the entries stand on the axis. */
  get x(): readonly number[] {
    return this.other ?? (this.axis === "time" ? this.times : this.steps);
  }

  /** Adds points that follow those here; those outside of `range` are left out. */
  append(points: Points, range?: Range): void {
    const x = this.axis === "time" ? points.times : points.steps;
    for (let index = 0; index < points.steps.length; index++) {
      if (!inside(x[index]!, range)) continue;
      const value = points.values[index] ?? null;
      this.steps.push(points.steps[index]!);
      this.times.push(points.times[index] ?? 0);
      this.values.push(value);
      this.low.push(value);
      this.high.push(value);
      this.counts.push(1);
      this.points++;
    }
    for (const one of points.nonfinite ?? []) {
      if (!inside(this.axis === "time" ? one.time : one.step, range)) continue;
      this.nonfiniteCount++;
      if (this.nonfinite.length < NONFINITE_KEPT) this.nonfinite.push(one);
    }
    if (this.length > 2 * this.limit) this.merge();
  }

  /** Merges entries into ranges of equal width on the axis; the newest point stays by itself. */
  private merge(): void {
    const x = this.axis === "time" ? this.times : this.steps;
    const first = x[0]!;
    const width = (x.at(-1)! - first) / this.limit;
    let kept = 0;
    let at = 0;
    for (let index = 1; index < x.length; index++) {
      const range = width > 0 ? Math.min(this.limit - 1, Math.floor((x[index]! - first) / width)) : 0;
      if (range <= at && index < x.length - 1) {
        this.mergeInto(kept, index);
        continue;
      }
      at = range;
      kept++;
      if (kept === index) continue;
      for (const column of this.columns()) column[kept] = column[index]!;
    }
    for (const column of this.columns()) column.length = kept + 1;
    this.reduced = true;
  }

  private mergeInto(target: number, index: number): void {
    const [left, right] = [this.values[target] ?? null, this.values[index] ?? null];
    const [before, added] = [this.counts[target]!, this.counts[index]!];
    if (left === null || right === null) this.values[target] = left ?? right;
    else this.values[target] = left + ((right - left) * added) / (before + added);
    this.low[target] = extreme(Math.min, this.low[target]!, this.low[index]!);
    this.high[target] = extreme(Math.max, this.high[target]!, this.high[index]!);
    this.counts[target] = before + added;
  }

  private columns(): (number | null)[][] {
    return [this.steps, this.times, this.values, this.low, this.high, this.counts] as (number | null)[][];
  }
}

function inside(x: number, range: Range | undefined): boolean {
  return !range || (x >= range.start && x <= range.end);
}

function extreme(of: (a: number, b: number) => number, a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : of(a, b);
}

/**
 * Exponential moving average that is not drawn toward zero at the start; gaps stay gaps.
 *
 * @param weight how much of the past stays, 0 (no smoothing) up to but not including 1
 */
export function smooth(values: readonly (number | null)[], weight: number): (number | null)[] {
  if (weight <= 0) return [...values];
  let average = 0;
  let known = 0;
  return values.map((value) => {
    if (value === null) return null;
    average = weight * average + (1 - weight) * value;
    known = weight * known + (1 - weight);
    return average / known;
  });
}
