import { useEffect, useState } from "react";
import { watchTheme } from "../chart/theme";

/** The page's colors as a canvas takes them. */
export interface Ink {
  text: string;
  muted: string;
  line: string;
  ground: string;
  brand: string;
  dark: boolean;
  font: string;
}

const NAMES = ["text", "muted", "line", "ground", "brand"] as const;

/** The colors of the page around an element, renewed when the theme changes. */
export function useInk(element: HTMLElement | null): Ink | null {
  const [ink, setInk] = useState<Ink | null>(null);
  useEffect(() => {
    if (!element) return;
    const read = (): void => setInk(inkOf(element));
    read();
    // The theme's colors come a moment after its name.
    return watchTheme(() => setTimeout(read, 50));
  }, [element]);
  return ink;
}

function inkOf(element: HTMLElement): Ink {
  const probe = document.createElement("span");
  element.append(probe);
  const colors = Object.fromEntries(
    NAMES.map((name) => {
      probe.style.color = `var(--mls-${name})`;
      return [name, getComputedStyle(probe).color || "#888"];
    }),
  ) as Record<(typeof NAMES)[number], string>;
  probe.remove();
  return { ...colors, dark: lightness(colors.ground) < 0.5, font: getComputedStyle(element).fontFamily };
}

/** How light a color is, 0 to 1, by drawing it: it may be written in any of CSS's ways. */
function lightness(color: string): number {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!context) return 1;
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [red = 255, green = 255, blue = 255] = context.getImageData(0, 0, 1, 1).data;
  return (0.3 * red + 0.59 * green + 0.11 * blue) / 255;
}

/** The present width of an element in CSS pixels. */
export function useWidth(element: HTMLElement | null): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!element) return;
    const read = (): void => setWidth(Math.floor(element.clientWidth));
    read();
    const observer = new ResizeObserver(read);
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return width;
}

/** A canvas of this size in CSS pixels, sharp on every screen and empty. */
export function prepared(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}
