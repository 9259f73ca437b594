import type { Range } from "@modelship-lab/core";
import type { ReactNode } from "react";
import type uPlot from "uplot";
import type { Drawing, DrawingSource, Extent, Line } from "./drawing";

/** Where the pointer is. */
export interface Hover {
  x: number;
  /** The value of y under the pointer. */
  y: number;
  /** In pixels from the corner of the plot. */
  left: number;
  top: number;
  width: number;
}

export interface PlotProps {
  /** The x values, then the values of each line; null is a gap, undefined only means "no point here". */
  data?: uPlot.AlignedData;
  lines?: Line[];
  /** In place of `data` and `lines`: curves that each have their own x, and that change by themselves. */
  source?: DrawingSource;
  height: number;
  logX?: boolean;
  logY?: boolean;
  /** Always show zero, as for rates. */
  fromZero?: boolean;
  /** Leave room for most values only; what lies beyond is marked at the edge. */
  robust?: boolean;
  /** x counts seconds: ticks stand at whole minutes and hours. */
  seconds?: boolean;
  /** x is a moment in seconds since the Unix epoch: ticks are times of day. */
  clock?: boolean;
  /** x is any number, not a count. */
  real?: boolean;
  /** What x is, written under the axis. */
  labelX?: string;
  formatX?: (value: number) => string;
  formatY?: (value: number) => string;
  /** The stretch of x that is shown; all of it if there is none. */
  range?: Range | null;
  /** Makes the plot zoom by dragging, wheel and keys; called with the stretch that is asked for, null for all. */
  onRange?: (range: Range | null) => void;
  /** The key of the curve that is looked at; the others are faint. */
  highlight?: string | null;
  /** Plots with the same key show their cursors at the same x. */
  syncKey?: string;
  /** Called with the position in `data` that is nearest to the cursor, also to that of a plot of the same key. */
  onCursor?: (index: number | null) => void;
  /** Called with where the pointer is over this plot. */
  onHover?: (hover: Hover | null) => void;
  /** Called after each drawing with what could be shown. */
  onDrawn?: (drawing: Drawing, extent: Extent) => void;
  label: string;
  children?: ReactNode;
}
