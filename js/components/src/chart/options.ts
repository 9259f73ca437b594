import uPlot from "uplot";
import type { Extent } from "./drawing";
import type { PlotProps } from "./props";
import type { Colors } from "./theme";

/** Distances in seconds that a clock knows. */
const TIME_STEPS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 604_800];

/** Steps are counted: nothing happens at step 1.5. */
const WHOLE_STEPS = [1, 2, 5, ...Array.from({ length: 12 }, (_, power) => [10, 20, 25, 50].map((n) => n * 10 ** power)).flat()];

/** The frame of a plot: axes, cursor and scales. Its curves are painted by `paint`. */
export function optionsOf(
  props: PlotProps,
  element: HTMLElement,
  colors: Colors,
  extent: () => Extent,
  hooks: Record<"draw" | "cursor" | "select", (plot: uPlot) => void>,
): uPlot.Options {
  const { logX = false, logY = false, fromZero = false } = props;
  const axis: uPlot.Axis = {
    stroke: colors.get("var(--mls-muted)"),
    font: `11px ${getComputedStyle(element).fontFamily}`,
    grid: { stroke: colors.get("color-mix(in srgb, var(--mls-text) 9%, transparent)"), width: 1 },
    ticks: { show: false },
    gap: 4,
  };
  const zooms = props.onRange !== undefined;
  return {
    width: Math.max(element.clientWidth, 50),
    height: props.height,
    legend: { show: false },
    padding: [8, 10, 0, 0],
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: zooms, y: false, setScale: false, dist: 4 },
      bind: { dblclick: () => null },
      sync: props.syncKey ? { key: props.syncKey, setSeries: false, scales: ["x", null] } : undefined,
    },
    scales: {
      x: { time: props.clock ?? false, distr: logX ? 3 : 1, range: () => rangeX(extent(), logX) },
      y: { distr: logY ? 3 : 1, range: () => rangeY(extent(), logY, fromZero) },
    },
    axes: [
      {
        ...axis,
        size: props.labelX ? 22 : 26,
        space: 60,
        ...(props.labelX ? { label: props.labelX, labelSize: 14, labelGap: 0, labelFont: axis.font } : {}),
        ...(props.clock
          ? {}
          : {
              incrs: props.seconds ? TIME_STEPS : props.real ? undefined : WHOLE_STEPS,
              values: (_plot, ticks) => ticks.map((tick) => (tick === null ? "" : (props.formatX?.(tick) ?? String(tick)))),
            }),
      },
      {
        ...axis,
        size: 52,
        space: 34,
        values: (_plot, ticks) => ticks.map((tick) => (tick === null ? "" : (props.formatY?.(tick) ?? String(tick)))),
      },
    ],
    // The one series has no more than the corners of what is shown, for the scales to agree on.
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: { draw: [hooks.draw], setCursor: [hooks.cursor], setSelect: [hooks.select] },
  };
}

function rangeX({ x }: Extent, log: boolean): [number, number] {
  if (!x) return log ? [1, 10] : [0, 1];
  if (x.start < x.end) return [log ? Math.max(x.start, Number.MIN_VALUE) : x.start, x.end];
  return log ? [x.start / 2, x.start * 2] : [x.start - 1, x.start + 1];
}

function rangeY({ low, high }: Extent, log: boolean, fromZero: boolean): [number, number] {
  if (fromZero) return [0, high > 0 ? high * 1.1 : 1];
  if (log) {
    const [from, to] = uPlot.rangeLog(low, high, 10, false);
    return [from!, to! > from! ? to! : from! * 10];
  }
  const space = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  // Values that are never negative get no room below zero.
  return [low >= 0 ? Math.max(0, low - space) : low - space, high + space];
}
