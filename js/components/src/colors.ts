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
