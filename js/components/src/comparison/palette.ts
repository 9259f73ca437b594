/**
 * Viridis, which rises evenly in lightness and is told apart by color-blind readers, without the end that
 * is lost on the page's ground: the yellow one on light, the violet one on dark.
 */
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];

const SHADES = 32;

/** `SHADES` colors from the lowest to the highest figure. */
export function shades(dark: boolean): string[] {
  const [from, to] = dark ? [0.28, 1] : [0, 0.84];
  return Array.from({ length: SHADES }, (_, index) => viridis(from + ((to - from) * index) / (SHADES - 1)));
}

function viridis(place: number): string {
  const at = Math.min(Math.max(place, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const [a, b] = [channels(VIRIDIS[low]!), channels(VIRIDIS[low + 1]!)];
  return `rgb(${a.map((one, index) => Math.round(one + (b[index]! - one) * (at - low))).join(" ")})`;
}

function channels(color: string): number[] {
  return [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
}

/** The shade of a place from 0 to 1. */
export function shadeOf(place: number): number {
  return Math.min(SHADES - 1, Math.max(0, Math.floor(place * SHADES)));
}
