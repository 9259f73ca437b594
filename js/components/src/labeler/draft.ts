import type { QueuedSample, Value } from "@modelship-lab/core";
import { useState } from "react";

/** What is said about the sample on screen until it is saved. */
export interface Draft {
  value: Value;
  change: (value: Value) => void;
  /** Takes the last change back; false when there is none. */
  undo: () => boolean;
}

/**
 * A draft for each sample; it begins anew when another sample, or one that was taken back, comes on screen.
 *
 * @param before what was said about the sample before that was taken back
 * @param present what counts as its label
 * @param empty what is said of a sample of which nothing is known
 */
export function useDraft(sample: QueuedSample | null, before: Value | null, present: Value | null, empty: Value): Draft {
  const id = sample?.id;
  const begin = (): Held => ({ id, before, empty, value: before ?? present ?? empty, past: [] });
  const [held, setHeld] = useState(begin);
  const current = held.id === id && held.before === before && held.empty === empty ? held : begin();
  if (current !== held) setHeld(current);
  return {
    value: current.value,
    change: (value) => setHeld({ ...current, value, past: [...current.past, current.value] }),
    undo: () => {
      const last = current.past.at(-1);
      if (last) setHeld({ ...current, value: last, past: current.past.slice(0, -1) });
      return last !== undefined;
    },
  };
}

interface Held {
  id: number | undefined;
  before: Value | null;
  empty: Value;
  value: Value;
  past: Value[];
}

/** Whether two values say the same, in whatever order they say it. */
export function sameValue(one: Value, other: Value): boolean {
  return inOrder(one) === inOrder(other);
}

function inOrder({ label, labels, spans, boxes, number }: Value): string {
  if (number != null) return String(number);
  const parts: readonly (string | object)[] = labels ?? spans ?? boxes ?? [label ?? ""];
  const texts = parts.map((part) => JSON.stringify(part, typeof part === "string" ? null : Object.keys(part).sort()));
  return texts.sort().join();
}

/** Whether a value of many parts has none of them. */
export function isNone(value: Value): boolean {
  return value.label == null && value.number == null && (value.labels ?? value.spans ?? value.boxes ?? []).length === 0;
}
