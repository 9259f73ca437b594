import type { Axis, Range } from "@modelship-lab/core";
import { useSaved } from "../saved";

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
  /** Empty for the first. */
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
  tab: "",
};

/** The axis as the server knows it. */
export function axisOf(x: XAxis): Axis {
  return x === "clock" || x === "relative" ? "time" : x;
}

/** How the reader wants to see the charts of these runs, as it was left. */
export function useChoices(runs: string): [Choices, (change: Partial<Choices>) => void] {
  return useSaved(`charts:${runs}`, AT_FIRST);
}
