import type { Points } from "./records";

/**
 * The points of one metric in the browser, never more than twice `limit` of them.
 *
 * When there are more, every pair of neighboring buckets keeps its smallest and largest value (min/max
 * reduction), so that peaks and dips stay visible however long the run is. The first and the last point
 * always stay.
 */
export class MetricPoints {
  steps: number[] = [];
  values: (number | null)[] = [];
  times: number[] = [];

  constructor(private readonly limit = 1000) {}

  static from(points: Points, limit = 1000): MetricPoints {
    const result = new MetricPoints(limit);
    result.append(points);
    return result;
  }

  get length(): number {
    return this.steps.length;
  }

  /** The newest value that is a number. */
  get last(): number | null {
    for (let index = this.values.length - 1; index >= 0; index--) {
      const value = this.values[index];
      if (value !== null && value !== undefined) return value;
    }
    return null;
  }

  append(points: Points): void {
    for (let index = 0; index < points.steps.length; index++) {
      this.steps.push(points.steps[index]!);
      this.values.push(points.values[index] ?? null);
      this.times.push(points.times[index] ?? 0);
    }
    if (this.length > 2 * this.limit) this.keepOnly(keptByMinMax(this.values, this.limit));
  }

  private keepOnly(kept: number[]): void {
    this.steps = kept.map((index) => this.steps[index]!);
    this.values = kept.map((index) => this.values[index]!);
    this.times = kept.map((index) => this.times[index]!);
  }
}

/**
 * The ascending positions of at most `limit` values that keep the shape: the first, the last, and the
 * smallest and largest of each bucket between them. A bucket of nothing but gaps keeps one gap.
 */
export function keptByMinMax(values: readonly (number | null)[], limit: number): number[] {
  const count = values.length;
  if (count <= limit) return values.map((_, index) => index);
  const kept = [0];
  const buckets = Math.max(1, Math.floor((limit - 2) / 2));
  const inner = count - 2;
  for (let bucket = 0; bucket < buckets; bucket++) {
    const start = 1 + Math.floor((bucket * inner) / buckets);
    const end = 1 + Math.floor(((bucket + 1) * inner) / buckets);
    let lowest = -1;
    let highest = -1;
    for (let index = start; index < end; index++) {
      const value = values[index] ?? null;
      if (value === null) continue;
      if (lowest < 0 || value < values[lowest]!) lowest = index;
      if (highest < 0 || value > values[highest]!) highest = index;
    }
    if (lowest < 0) kept.push(start);
    else if (lowest === highest) kept.push(lowest);
    else kept.push(Math.min(lowest, highest), Math.max(lowest, highest));
  }
  kept.push(count - 1);
  return kept;
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

/** Metrics that are read together share a panel. */
export interface MetricGroup {
  name: string;
  metrics: string[];
  /** True for losses, qualities and unknown metrics, false for bookkeeping like the learning rate. */
  main: boolean;
}

const STAGE = /^(train|training|val|valid|validation|test)[_/.-]/i;
const QUALITY = /(^|[_/.-])(accuracy|acc|f1|precision|recall|auc|auroc|kappa)$/i;
const LOSS = /loss$/i;
/** Bookkeeping goes to the end. */
const LATE = /^(learning_rate|lr([-_].*)?|samples?_per_s(econd)?|.*\/s|epoch)$/i;

/** Groups metrics for display: losses, then qualities between 0 and 1, then the others by name. */
export function groupMetrics(names: Iterable<string>): MetricGroup[] {
  const groups = new Map<string, string[]>();
  for (const name of [...names].sort(byStage)) {
    const base = name.replace(STAGE, "");
    const group = LOSS.test(base) ? "loss" : QUALITY.test(base) ? "accuracy and F1" : base;
    const members = groups.get(group) ?? [];
    members.push(name);
    groups.set(group, members);
  }
  const rank = (name: string): number =>
    name === "loss" ? 0 : name === "accuracy and F1" ? 1 : LATE.test(name) ? 3 : 2;
  return [...groups]
    .map(([name, metrics]) => ({ name: metrics.length === 1 ? metrics[0]! : name, metrics, rank: rank(name) }))
    .sort((a, b) => a.rank - b.rank || a.name.localeCompare(b.name))
    .map(({ name, metrics, rank: place }) => ({ name, metrics, main: place < 3 }));
}

function byStage(a: string, b: string): number {
  const stage = (name: string): number => (/^train/i.test(name) ? 0 : /^val/i.test(name) ? 1 : /^test/i.test(name) ? 2 : 3);
  return stage(a) - stage(b) || a.localeCompare(b);
}
