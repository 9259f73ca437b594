import type { Sample, SampleFilter } from "@modelship-lab/core";

/** Samples that one request can name one by one. */
export const MOST_IDS = 100_000;

/** Which samples are selected: some that are named, or everything that the filter means, however much of it has been loaded. */
export type Choice = { everything: true } | { everything: false; ids: ReadonlySet<number> };

export const NOTHING: Choice = { everything: false, ids: new Set() };
export const EVERYTHING: Choice = { everything: true };

export function isChosen(choice: Choice, sample: Sample | undefined): boolean {
  return choice.everything || (sample !== undefined && choice.ids.has(sample.id));
}

export function isNothing(choice: Choice): boolean {
  return !choice.everything && choice.ids.size === 0;
}

/** How many samples are selected, of so many that the filter means. */
export function amountOf(choice: Choice, total: number): number {
  return choice.everything ? total : choice.ids.size;
}

/** With this sample if it was not there, without it if it was. One taken out of everything begins anew. */
export function toggled(choice: Choice, id: number): Choice {
  if (choice.everything) return { everything: false, ids: new Set([id]) };
  const ids = new Set(choice.ids);
  if (!ids.delete(id)) ids.add(id);
  return { everything: false, ids };
}

/** With all of these. */
export function extended(choice: Choice, more: readonly number[]): Choice {
  return choice.everything ? choice : { everything: false, ids: new Set([...choice.ids, ...more]) };
}

/** What the server is told of a selection. */
export function asFilter(choice: Choice, filter: SampleFilter): SampleFilter {
  return choice.everything ? filter : { ids: [...choice.ids].sort((a, b) => a - b) };
}
