import type { RunRow } from "@modelship-lab/core";
import { valuesOf } from "./choice";
import type { Ink } from "./ink";
import { shadeOf } from "./palette";
import { scaleOf, type Scale } from "./scale";

/** The part of an axis that lines must pass, as places from 0 (below) to 1. */
export type Brush = readonly [low: number, high: number];

/** Where the runs without a value pass, below the axis; as the arrays of places hold it. */
export const NOWHERE = Math.fround(-0.09);

/** Of many runs with few values each is drawn a little beside the others, so that one sees how many there are. */
const CROWD = 60;
const FEW_VALUES = 24;

export interface Axis {
  name: string;
  scale: Scale;
  /** The place of each run, `NOWHERE` for those without a value. */
  places: Float32Array;
  /** Where each run is drawn. */
  drawn: Float32Array;
  hasNone: boolean;
}

export function axisOf(rows: readonly RunRow[], name: string, log: boolean | undefined): Axis {
  const values = valuesOf(rows, name);
  const scale = scaleOf(values, log);
  let hasNone = false;
  const places = Float32Array.from(values, (value) => {
    const place = scale.place(value);
    if (place === null) hasNone = true;
    return place ?? NOWHERE;
  });
  return { name, scale, places, drawn: spread(places), hasNone };
}

function spread(places: Float32Array): Float32Array {
  const levels = new Set<number>();
  for (let run = 0; run < places.length && levels.size <= FEW_VALUES; run++) levels.add(places[run]!);
  if (places.length < CROWD || levels.size > FEW_VALUES) return places;
  const sorted = [...levels].sort((a, b) => a - b);
  const gap = sorted.reduce((least, level, index) => (index > 0 ? Math.min(least, level - sorted[index - 1]!) : least), 0.1);
  // The same run always in the same place, without a pattern.
  return places.map((place, run) => place + (((run * 0.618034) % 1) - 0.5) * gap * 0.5);
}

/** Which runs pass all brushes. */
export function passing(axes: readonly Axis[], brushes: Readonly<Record<string, Brush>>, count: number): Uint8Array {
  const passes = new Uint8Array(count).fill(1);
  for (const axis of axes) {
    const brush = brushes[axis.name];
    if (!brush) continue;
    for (let run = 0; run < count; run++) {
      const place = axis.places[run]!;
      if (place < brush[0] || place > brush[1]) passes[run] = 0;
    }
  }
  return passes;
}

export interface Frame {
  width: number;
  top: number;
  /** Height of the axes. */
  height: number;
  left: number;
  right: number;
}

export function axisX(frame: Frame, index: number, count: number): number {
  const room = frame.width - frame.left - frame.right;
  return count > 1 ? frame.left + (room * index) / (count - 1) : frame.left + room / 2;
}

export function axisY(frame: Frame, place: number): number {
  return frame.top + frame.height * (1 - place);
}

/**
 * Draws a line for each run: those that do not pass faintly behind, the others in the shade of their figure.
 *
 * @param shade the place of each run's figure from 0 to 1, below 0 for none
 */
export function drawLines(
  context: CanvasRenderingContext2D,
  frame: Frame,
  axes: readonly Axis[],
  passes: Uint8Array,
  shade: Float32Array,
  colors: readonly string[],
  ink: Ink,
): void {
  if (axes.length < 2) return;
  const across = axes.map((_, index) => axisX(frame, index, axes.length));
  const faint: number[] = [];
  const bright: number[] = [];
  for (let run = 0; run < passes.length; run++) (passes[run] ? bright : faint).push(run);
  context.lineWidth = 1;
  context.lineJoin = "bevel";
  const line = (run: number): void => {
    context.beginPath();
    for (let index = 0; index < axes.length; index++) {
      const y = axisY(frame, axes[index]!.drawn[run]!);
      if (index === 0) context.moveTo(across[0]!, y);
      else context.lineTo(across[index]!, y);
    }
    context.stroke();
  };
  context.strokeStyle = ink.muted;
  context.globalAlpha = Math.max(0.02, Math.min(0.12, 10 / faint.length));
  // Of many faint lines some say as much as all.
  const every = Math.ceil(faint.length / 3000);
  for (let index = 0; index < faint.length; index += every) line(faint[index]!);
  context.globalAlpha = Math.max(0.12, Math.min(0.9, 9 / Math.sqrt(bright.length + 1)));
  context.lineWidth = bright.length <= 200 ? 1.6 : 1;
  // In the order of the runs: drawn color after color, the last one would hide the others.
  for (const run of bright) {
    const one = shade[run]!;
    context.strokeStyle = one < 0 ? ink.muted : colors[shadeOf(one)]!;
    line(run);
  }
  context.globalAlpha = 1;
}

/** One run's line above all others. */
export function drawOne(
  context: CanvasRenderingContext2D,
  frame: Frame,
  axes: readonly Axis[],
  run: number,
  color: string,
  ink: Ink,
): void {
  for (const [width, stroke] of [
    [6, ink.ground],
    [3, color],
  ] as const) {
    context.beginPath();
    axes.forEach((axis, index) => {
      const [x, y] = [axisX(frame, index, axes.length), axisY(frame, axis.drawn[run]!)];
      if (index === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    });
    context.lineWidth = width;
    context.strokeStyle = stroke;
    context.stroke();
  }
}

/** The run whose line is nearest to a point, within a few pixels. */
export function nearest(
  frame: Frame,
  axes: readonly Axis[],
  passes: Uint8Array,
  x: number,
  y: number,
  within = 8,
): number | null {
  if (axes.length < 2) return null;
  const room = (frame.width - frame.left - frame.right) / (axes.length - 1);
  const at = (x - frame.left) / room;
  const index = Math.min(Math.max(Math.floor(at), 0), axes.length - 2);
  const part = Math.min(Math.max(at - index, 0), 1);
  const [left, right] = [axes[index]!.drawn, axes[index + 1]!.drawn];
  let [found, distance]: [number | null, number] = [null, within];
  for (let run = 0; run < passes.length; run++) {
    if (!passes[run]) continue;
    const away = Math.abs(axisY(frame, left[run]! + (right[run]! - left[run]!) * part) - y);
    if (away < distance) [found, distance] = [run, away];
  }
  return found;
}
