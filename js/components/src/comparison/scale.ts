import type { RunValue } from "@modelship-lab/core";
import { figure } from "../format";

/** Places from 0 to 1 for the values of a column, and the marks beside them. */
export interface Scale {
  kind: "number" | "category";
  log: boolean;
  /** Whether its figures can be shown by magnitude. */
  canLog: boolean;
  /** Null for a run without the value. */
  place: (value: RunValue | undefined) => number | null;
  ticks: { place: number; label: string }[];
  /** The lowest and the highest in words; null without any value. */
  ends: [string, string] | null;
}

const MOST_TICKS = 14;

/**
 * The scale of a column by the values that there are.
 *
 * @param log undefined: by magnitude when the figures go over at least two of them.
 */
export function scaleOf(values: readonly (RunValue | undefined)[], log?: boolean): Scale {
  let [low, high, figures, others] = [Infinity, -Infinity, 0, 0];
  for (const value of values) {
    if (typeof value === "number") {
      if (!Number.isFinite(value)) continue;
      figures++;
      if (value < low) low = value;
      if (value > high) high = value;
    } else if (value !== null && value !== undefined && value !== "") others++;
  }
  return others > 0 || figures === 0 ? categories(values) : numbers(low, high, log);
}

function numbers(low: number, high: number, wish: boolean | undefined): Scale {
  const canLog = low > 0 && high > low;
  const log = canLog && (wish ?? high / low >= 100);
  const through = log ? Math.log10 : (value: number): number => value;
  const [from, to] = [through(low), through(high)];
  // One single value stands in the middle.
  const place = (value: RunValue | undefined): number | null =>
    typeof value === "number" && Number.isFinite(value) && !(log && value <= 0)
      ? to > from
        ? (through(value) - from) / (to - from)
        : 0.5
      : null;
  const marks = to > from ? (log ? magnitudes(low, high) : steps(low, high)) : [low];
  return {
    kind: "number",
    log,
    canLog,
    place,
    ticks: marks.map((mark) => ({ place: place(mark)!, label: figure(mark) })),
    ends: [figure(low), figure(high)],
  };
}

function categories(values: readonly (RunValue | undefined)[]): Scale {
  const names = new Set<string>();
  for (const value of values) if (value !== null && value !== undefined && value !== "") names.add(word(value));
  const sorted = [...names].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const places = new Map(sorted.map((name, index) => [name, sorted.length > 1 ? index / (sorted.length - 1) : 0.5]));
  const every = Math.ceil(sorted.length / MOST_TICKS);
  return {
    kind: "category",
    log: false,
    canLog: false,
    place: (value) => (value === null || value === undefined || value === "" ? null : (places.get(word(value)) ?? null)),
    ticks: sorted.filter((_, index) => index % every === 0).map((name) => ({ place: places.get(name)!, label: name })),
    ends: sorted.length > 0 ? [sorted[0]!, sorted.at(-1)!] : null,
  };
}

function word(value: string | number | boolean): string {
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}

/** Round figures between two others: 0.2, 0.4, 0.6. */
export function steps(low: number, high: number, about = 5): number[] {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999)!;
  const marks: number[] = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index++) {
    marks.push(Number((index * step).toPrecision(12)));
  }
  return marks;
}

/** Powers of ten, and what lies between them when there are few. */
function magnitudes(low: number, high: number): number[] {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const within = (factors: number[], every = 1): number[] => {
    const marks: number[] = [];
    for (let power = from; power <= to; power += every) {
      for (const factor of factors) {
        const mark = Number((factor * 10 ** power).toPrecision(12));
        if (mark >= low * 0.999 && mark <= high * 1.001) marks.push(mark);
      }
    }
    return marks;
  };
  const tens = within([1], Math.max(1, Math.ceil((to - from) / 7)));
  return tens.length >= 3 ? tens : within([1, 2, 5]);
}
