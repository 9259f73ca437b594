import type { Sample, SampleFilter } from "@modelship-lab/core";

/** Samples that one request can name one by one. */
export const MOST_IDS = 100_000;

/**
 * Which samples are selected: some that are named, or everything that the filter means but those that are named,
 * however much of it has been loaded.
 */
export interface Choice {
  everything: boolean;
  ids: ReadonlySet<number>;
}

export const NOTHING: Choice = { everything: false, ids: new Set() };
export const EVERYTHING: Choice = { everything: true, ids: new Set() };

export function isChosen(choice: Choice, sample: Sample | undefined): boolean {
  // What is on its way is not named yet.
  return sample === undefined ? choice.everything : choice.ids.has(sample.id) !== choice.everything;
}

export function isNothing(choice: Choice): boolean {
  return !choice.everything && choice.ids.size === 0;
}

/** How many samples are selected, of so many that the filter means. */
export function amountOf(choice: Choice, total: number): number {
  return choice.everything ? total - choice.ids.size : choice.ids.size;
}

/** With this sample if it was not there, without it if it was. */
export function toggled(choice: Choice, id: number): Choice {
  const ids = new Set(choice.ids);
  if (!ids.delete(id)) ids.add(id);
  return { everything: choice.everything, ids };
}

/** With all of these. */
export function extended(choice: Choice, more: readonly number[]): Choice {
  if (!choice.everything) return { everything: false, ids: new Set([...choice.ids, ...more]) };
  const again = new Set(more);
  return { everything: true, ids: new Set([...choice.ids].filter((id) => !again.has(id))) };
}

/** What the server is told of a selection. */
export function asFilter(choice: Choice, filter: SampleFilter): SampleFilter {
  const ids = [...choice.ids].sort((a, b) => a - b);
  if (!choice.everything) return { ids };
  return ids.length > 0 ? { ...filter, excluded: ids } : filter;
}
