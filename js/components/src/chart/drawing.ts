import type { NonFinite, Range } from "@modelship-lab/core";
import type uPlot from "uplot";

/** How a line looks. Colors are CSS colors. */
export interface Line {
  label: string;
  color: string;
  dash?: number[];
  width?: number;
  /** 0 to 1; a faint line is drawn behind a smoothed one. */
  opacity?: number;
  fill?: boolean;
}

/** A line with its points at rising x; null is a gap, undefined only means "no point here". */
export interface Curve extends Line {
  /** What it is highlighted by; its label if there is none. */
  key?: string;
  x: ArrayLike<number>;
  y: ArrayLike<number | null | undefined>;
  /** The smallest and largest value of what each point stands for: drawn as a band. */
  low?: ArrayLike<number | null>;
  high?: ArrayLike<number | null>;
  /** Left out of the tooltip, as the raw line behind a smoothed one. */
  silent?: boolean;
}

/** A value that is no number; it stands at the edge of the plot. */
export interface Mark {
  x: number;
  kind: NonFinite["kind"];
  color: string;
  label: string;
}

export interface Drawing {
  curves: Curve[];
  marks: Mark[];
  /** The whole axis, when the curves may have only a stretch of it. */
  whole?: Range | null;
}

/** Something to draw that changes by itself. */
export interface DrawingSource {
  read(): Drawing;
  /** Calls `changed` after each change until the returned function is called. */
  subscribe(changed: () => void): () => void;
}

/** The drawing of a table: x values, then the values of each line. */
export function drawingOf(data: uPlot.AlignedData, lines: readonly Line[]): Drawing {
  const x = (data[0] ?? []) as ArrayLike<number>;
  return { curves: lines.map((line, index) => ({ ...line, x, y: data[index + 1] ?? [] })), marks: [] };
}

export interface Scaling {
  logX: boolean;
  logY: boolean;
  /** Leave room for most values only. */
  robust: boolean;
  /** Always show zero, and nothing below it. */
  fromZero: boolean;
}

/** What of a drawing can be seen. */
export interface Extent {
  x: Range | null;
  low: number;
  high: number;
  /** Points beyond `low` and `high`: they are marked at the edge. */
  outside: number;
  /** Points that a logarithm does not have. */
  undrawn: number;
}

/** Of so many values at each end it is asked whether they are outliers. */
const TAIL = 0.02;
/** A value is one when it lies farther out than this share of the range of the others. */
const FAR = 0.5;

/** The ranges of both axes that show a drawing, or the stretch `range` of it. */
export function extentOf({ curves, marks }: Drawing, range: Range | null, scaling: Scaling): Extent {
  let [first, last, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  let undrawn = 0;
  const ends: number[] = [];
  const see = (from: number, to: number): void => {
    low = Math.min(low, from);
    high = Math.max(high, to);
    if (scaling.robust) ends.push(from, to);
  };
  const width = (x: number): void => {
    if (scaling.logX && x <= 0) return;
    first = Math.min(first, x);
    last = Math.max(last, x);
  };
  for (const curve of curves) {
    for (let index = 0; index < curve.x.length; index++) {
      const value = curve.y[index];
      if (value === undefined) continue;
      const x = curve.x[index]!;
      width(x);
      if (value === null || (range && (x < range.start || x > range.end))) continue;
      if ((scaling.logY && value <= 0) || (scaling.logX && x <= 0)) {
        if (!curve.silent) undrawn++;
        continue;
      }
      const bottom = curve.low?.[index] ?? value;
      see(scaling.logY && bottom <= 0 ? value : bottom, curve.high?.[index] ?? value);
    }
  }
  for (const mark of marks) width(mark.x);
  const x = range ?? (first <= last ? { start: first, end: last } : null);
  if (low > high) return { x, low: scaling.logY ? 0.1 : 0, high: 1, outside: 0, undrawn };
  if (!scaling.robust) return { x, low, high, outside: 0, undrawn };

  ends.sort((a, b) => a - b);
  const tail = Math.floor(ends.length * TAIL);
  const [usualLow, usualHigh] = [ends[tail]!, ends[ends.length - 1 - tail]!];
  const room = (usualHigh - usualLow) * FAR;
  const kept = { low: Math.max(low, usualLow - room), high: Math.min(high, usualHigh + room) };
  let outside = 0;
  for (const curve of curves) {
    if (curve.silent) continue;
    for (let index = 0; index < curve.x.length; index++) {
      const value = curve.y[index];
      const at = curve.x[index]!;
      if (value === null || value === undefined || (range && (at < range.start || at > range.end))) continue;
      if ((curve.low?.[index] ?? value) < kept.low || (curve.high?.[index] ?? value) > kept.high) outside++;
    }
  }
  return { x, ...kept, outside, undrawn };
}

/** The position of the value nearest to `x` among rising ones; -1 if there is none. */
export function nearest(values: ArrayLike<number>, x: number): number {
  const right = firstAtLeast(values, x);
  if (right === 0) return values.length > 0 ? 0 : -1;
  if (right === values.length) return right - 1;
  return x - values[right - 1]! <= values[right]! - x ? right - 1 : right;
}

/** How many of rising values are smaller than `x`. */
export function firstAtLeast(values: ArrayLike<number>, x: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low;
}
