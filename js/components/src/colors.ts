/** Ten hues that can be told apart on light and dark ground (after Tableau 10, brightened). */
const PALETTE = [
  "#3b82f6",
  "#f59e0b",
  "#10b981",
  "#ef5a6f",
  "#8b5cf6",
  "#14b8c4",
  "#e879b9",
  "#84a83a",
  "#b0805a",
  "#7b8794",
];

/** The color of a class, run or series by its position. */
export function classColor(index: number): string {
  return PALETTE[index % PALETTE.length]!;
}

/** The golden angle: each further hue falls into the widest gap between those before. */
const TURN = 137.508;

/**
 * The color of a run by its id: the same wherever the run appears, unlike those of its neighbors, and readable on
 * light and dark ground.
 */
export function runColor(id: number): string {
  const hue = ((id * TURN) % 360).toFixed(1);
  // A third of a round apart in lightness, too: so many hues alone are hard to tell apart.
  const step = (id % 3) * 0.06;
  return `light-dark(oklch(${(0.5 + step).toFixed(2)} 0.17 ${hue}), oklch(${(0.68 + step).toFixed(2)} 0.15 ${hue}))`;
}
