import type { Axis, Range } from "@modelship-lab/core";
import { useCallback, useEffect, useState } from "react";

/** What is on the horizontal axis; the two kinds of time differ in where they begin. */
export type XAxis = "step" | "clock" | "relative" | `metric:${string}`;

export type PanelSize = "small" | "medium" | "large";

/** How the reader wants to see the charts of a run or several. */
export interface Choices {
  /** Weight of the past in the smoothed line, 0 for none. */
  smoothing: number;
  x: XAxis;
  logX: boolean;
  logY: boolean;
  /** Leave room for most values only. */
  robust: boolean;
  size: PanelSize;
  /** Names of metrics are searched for it. */
  filter: string;
  /** Keys of lines, and `run:ID`, that are not drawn. */
  hidden: string[];
  /** Names of panels that stand in front, in this order. */
  pinned: string[];
  /** Sections that were opened or folded by hand. */
  folded: Record<string, boolean>;
  /** The stretch of the axis that is zoomed into. */
  range: Range | null;
  tab: string;
}

/** As they are before anybody chose. */
export const AT_FIRST: Choices = {
  smoothing: 0,
  x: "step",
  logX: false,
  logY: false,
  robust: false,
  size: "medium",
  filter: "",
  hidden: [],
  pinned: [],
  folded: {},
  range: null,
  tab: "charts",
};

const PREFIX = "modelship-lab:charts:";
const WRITE_MS = 250;
/** The choices of so many charts are remembered, the latest. */
const KEPT = 60;

/** The axis as the server knows it. */
export function axisOf(x: XAxis): Axis {
  return x === "clock" || x === "relative" ? "time" : x;
}

/** Choices that are there again when the page is loaded anew or the notebook is opened another day. */
export function useChoices(name: string): [Choices, (change: Partial<Choices>) => void] {
  const [choices, setChoices] = useState(() => read(name));
  const choose = useCallback((change: Partial<Choices>) => setChoices((before) => ({ ...before, ...change })), []);
  useEffect(() => {
    const timer = setTimeout(() => write(name, choices), WRITE_MS);
    return () => clearTimeout(timer);
  }, [name, choices]);
  return [choices, choose];
}

function read(name: string): Choices {
  try {
    const { choices } = JSON.parse(localStorage.getItem(PREFIX + name) ?? "{}") as { choices?: Partial<Choices> };
    return { ...AT_FIRST, ...choices };
  } catch {
    // Storage may be forbidden, or hold what another version wrote.
    return AT_FIRST;
  }
}

function write(name: string, choices: Choices): void {
  const changed = Object.entries(choices).filter(
    ([key, value]) => JSON.stringify(value) !== JSON.stringify(AT_FIRST[key as keyof Choices]),
  );
  try {
    if (changed.length === 0) return localStorage.removeItem(PREFIX + name);
    localStorage.setItem(PREFIX + name, JSON.stringify({ at: Date.now(), choices: Object.fromEntries(changed) }));
    forgetOldest();
  } catch {
    // They are kept for as long as the page is open.
  }
}

function forgetOldest(): void {
  const names = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  if (names.length <= KEPT) return;
  const at = (key: string): number => (JSON.parse(localStorage.getItem(key) ?? "{}") as { at?: number }).at ?? 0;
  for (const key of names.sort((a, b) => at(a) - at(b)).slice(0, names.length - KEPT)) localStorage.removeItem(key);
}
