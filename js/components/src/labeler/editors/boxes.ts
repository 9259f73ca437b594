import type { Box } from "@modelship-lab/core";

/** A place in an image, in fractions of its width and height. */
export interface Point {
  x: number;
  y: number;
}

/** The part of a box that a pointer has hold of: sides by the letters of the compass. */
export type Grip = "nw" | "n" | "ne" | "e" | "se" | "s" | "sw" | "w";
export const GRIPS: readonly Grip[] = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];

const within = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value));

/** Fractions are stored with as many digits as the largest image has pixels. */
const rounded = (value: number): number => Math.round(value * 1e6) / 1e6;

/** The box between two corners, as far as it lies in the image. */
export function boxBetween(one: Point, other: Point, label: string): Box {
  const [left, right] = [within(Math.min(one.x, other.x), 0, 1), within(Math.max(one.x, other.x), 0, 1)];
  const [top, bottom] = [within(Math.min(one.y, other.y), 0, 1), within(Math.max(one.y, other.y), 0, 1)];
  const [x, y] = [rounded(left), rounded(top)];
  return { x, y, width: rounded(right - x), height: rounded(bottom - y), label };
}

/** The box elsewhere, but in the image. */
export function movedBox(box: Box, dx: number, dy: number): Box {
  return {
    ...box,
    x: rounded(within(box.x + dx, 0, 1 - box.width)),
    y: rounded(within(box.y + dy, 0, 1 - box.height)),
  };
}

/** The box with one side or corner drawn to a place; beyond the opposite one it turns over. */
export function resizedBox(box: Box, grip: Grip, to: Point): Box {
  let [left, right, top, bottom] = [box.x, box.x + box.width, box.y, box.y + box.height];
  if (grip.includes("w")) left = to.x;
  if (grip.includes("e")) right = to.x;
  if (grip.includes("n")) top = to.y;
  if (grip.includes("s")) bottom = to.y;
  return boxBetween({ x: left, y: top }, { x: right, y: bottom }, box.label);
}

/** Whether a place lies in a box. */
export function contains(box: Box, { x, y }: Point): boolean {
  return x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height;
}

/** The boxes under a place, the smallest first: it may lie within a larger one. */
export function boxesUnder(boxes: readonly Box[], point: Point): number[] {
  const area = (index: number): number => boxes[index]!.width * boxes[index]!.height;
  return [...boxes.keys()].filter((index) => contains(boxes[index]!, point)).sort((a, b) => area(a) - area(b));
}
