import type { Range } from "@modelship-lab/core";

/** How an axis is divided: evenly, or by powers of ten. */
interface Division {
  to: (value: number) => number;
  from: (place: number) => number;
}

const EVEN: Division = { to: (value) => value, from: (place) => place };
const LOG: Division = { to: Math.log10, from: (place) => 10 ** place };

/**
 * The stretch `view` made smaller (`factor` below 1) or larger around a place of it; null when it is the whole.
 *
 * @param center where in the view, 0 (start) to 1 (end)
 */
export function scaled(view: Range, whole: Range, factor: number, center = 0.5, log = false): Range | null {
  const { to, from } = log ? LOG : EVEN;
  const [start, end] = [to(view.start), to(view.end)];
  const middle = start + (end - start) * center;
  return within(
    { start: from(middle - (middle - start) * factor), end: from(middle + (end - middle) * factor) },
    whole,
  );
}

/** The stretch moved by a share of its width, no farther than the whole reaches. */
export function moved(view: Range, whole: Range, share: number, log = false): Range | null {
  const { to, from } = log ? LOG : EVEN;
  const [start, end, first, last] = [to(view.start), to(view.end), to(whole.start), to(whole.end)];
  const by = Math.max(first - start, Math.min(last - end, (end - start) * share));
  return within({ start: from(start + by), end: from(end + by) }, whole);
}

function within(range: Range, whole: Range): Range | null {
  const start = Math.max(range.start, whole.start);
  const end = Math.min(range.end, whole.end);
  if (start <= whole.start && end >= whole.end) return null;
  return start < end ? { start, end } : null;
}
