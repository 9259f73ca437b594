import { useEffect, useRef, useState, type ReactNode } from "react";
import uPlot from "uplot";

export interface Line {
  label: string;
  color: string;
  dash?: number[];
  width?: number;
  /** 0 to 1; a faint line is drawn behind a smoothed one. */
  opacity?: number;
  fill?: boolean;
}

export interface PlotProps {
  /** The x values, then the values of each line; null is a gap, undefined only means "no point here". */
  data: uPlot.AlignedData;
  lines: Line[];
  height: number;
  logY?: boolean;
  /** Always show zero, as for rates. */
  fromZero?: boolean;
  /** x counts seconds: ticks stand at whole minutes and hours. */
  seconds?: boolean;
  formatX?: (value: number) => string;
  formatY?: (value: number) => string;
  /** Plots with the same key show their cursors at the same x. */
  syncKey?: string;
  onCursor?: (index: number | null) => void;
  label: string;
}

/** A line chart in the colors of the page. It is drawn again from scratch only when its lines change. */
export function Plot(props: PlotProps): ReactNode {
  const { data, lines, height, logY = false, fromZero = false, syncKey } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  const theme = useTheme();
  const shape = JSON.stringify([lines, height, logY, fromZero, props.seconds, syncKey, theme]);

  useEffect(() => {
    latest.current = props;
  });

  useEffect(() => {
    const element = place.current!;
    const made = new uPlot(optionsOf(latest, element), latest.current.data, element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0 && width !== made.width) made.setSize({ width, height: latest.current.height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.current = null;
      made.destroy();
    };
  }, [shape]);

  useEffect(() => {
    if (plot.current && plot.current.data !== data) plot.current.setData(data);
  }, [data]);

  return <div ref={place} className="mls-plot" role="img" aria-label={props.label} style={{ height }} />;
}

/** Distances in seconds that a clock knows. */
const TIME_STEPS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 604_800];

/** Steps are counted: nothing happens at step 1.5. */
const WHOLE_STEPS = [1, 2, 5, ...Array.from({ length: 12 }, (_, power) => [10, 20, 25, 50].map((n) => n * 10 ** power)).flat()];

function optionsOf(latest: { readonly current: PlotProps }, element: HTMLElement): uPlot.Options {
  const { lines, height, logY, fromZero, syncKey } = latest.current;
  const style = getComputedStyle(element);
  const muted = resolved(element, "var(--mls-muted)");
  const grid = resolved(element, "color-mix(in srgb, var(--mls-text) 9%, transparent)");
  const axis: uPlot.Axis = {
    stroke: muted,
    font: `11px ${style.fontFamily}`,
    grid: { stroke: grid, width: 1 },
    ticks: { show: false },
    gap: 4,
  };
  return {
    width: Math.max(element.clientWidth, 50),
    height,
    legend: { show: false },
    padding: [8, 10, 0, 0],
    cursor: {
      points: { size: 6 },
      drag: { x: true, y: false, uni: 12 },
      sync: syncKey ? { key: syncKey, setSeries: false, scales: ["x", null] } : undefined,
    },
    scales: {
      x: { time: false },
      y: {
        distr: logY ? 3 : 1,
        range: fromZero
          ? (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1]
          : logY
            ? undefined
            : (_plot, low, high) => padded(low, high),
      },
    },
    axes: [
      {
        ...axis,
        size: 26,
        space: 60,
        incrs: latest.current.seconds ? TIME_STEPS : WHOLE_STEPS,
        values: (_plot, ticks) => ticks.map((tick) => latest.current.formatX?.(tick) ?? String(tick)),
      },
      {
        ...axis,
        size: 52,
        space: 34,
        values: (_plot, ticks) =>
          ticks.map((tick) => (tick === null ? "" : (latest.current.formatY?.(tick) ?? String(tick)))),
      },
    ],
    series: [
      {},
      ...lines.map((line): uPlot.Series => {
        const color = withOpacity(resolved(element, line.color), line.opacity ?? 1);
        return {
          label: line.label,
          stroke: color,
          width: line.width ?? 1.75,
          dash: line.dash,
          fill: line.fill ? withOpacity(resolved(element, line.color), 0.12) : undefined,
          points: { show: (self, index) => (line.opacity ?? 1) === 1 && few(self.data[index]), size: 5, fill: color },
        };
      }),
    ],
    hooks: {
      setCursor: [(self) => latest.current.onCursor?.(self.cursor.idx ?? null)],
    },
  };
}

/** Points are drawn when a line alone would hide that there are only a few. */
function few(values: ArrayLike<number | null | undefined> | undefined): boolean {
  let count = 0;
  for (let index = 0; index < (values?.length ?? 0); index++) {
    if (values![index] !== null && values![index] !== undefined && ++count > 30) return false;
  }
  return true;
}

function padded(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  const space = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  // Values that are never negative get no room below zero.
  return [low >= 0 ? Math.max(0, low - space) : low - space, high + space];
}

/** A CSS color as the canvas understands it. */
function resolved(element: HTMLElement, color: string): string {
  const probe = document.createElement("span");
  probe.style.color = color;
  element.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value || color;
}

function withOpacity(color: string, opacity: number): string {
  return opacity >= 1 ? color : `color-mix(in srgb, ${color} ${Math.round(opacity * 100)}%, transparent)`;
}

/** Changes whenever the page's theme does. */
function useTheme(): number {
  const [theme, setTheme] = useState(0);
  useEffect(() => {
    const changed = (): void => setTheme((count) => count + 1);
    const observer = new MutationObserver(changed);
    const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light", "class", "data-vscode-theme-kind"];
    observer.observe(document.body, { attributes: true, attributeFilter });
    const preference = matchMedia("(prefers-color-scheme: dark)");
    preference.addEventListener("change", changed);
    return () => {
      observer.disconnect();
      preference.removeEventListener("change", changed);
    };
  }, []);
  return theme;
}
