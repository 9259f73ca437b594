import type { Range } from "@modelship-lab/core";
import { useEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import uPlot from "uplot";
import { drawingOf, extentOf, nearest, type Drawing, type Extent } from "./drawing";
import { drawNot, drawSoon } from "./frames";
import { optionsOf } from "./options";
import { paint } from "./paint";
import type { PlotProps } from "./props";
import { Colors, useTheme } from "./theme";
import { moved, scaled } from "./zoom";

export type { Line } from "./drawing";

/** A plot is drawn at most so often, however fast its data change. */
const REDRAW_MS = 90;
/** Plots are made before they come into view. */
const AHEAD = "250px";

/**
 * A line chart in the colors of the page.
 *
 * Its canvas exists only while it is in view. Drawing happens in the page's frames and without React, so that
 * live curves cost nothing but their own drawing.
 */
export function Plot(props: PlotProps): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  const redraw = useRef<(() => void) | null>(null);
  const redrawSoon = useRef<(() => void) | null>(null);
  const shown = useRef<{ whole: Range; view: Range } | null>(null);
  const theme = useTheme();
  const visible = useVisible(place);
  const { data, lines, source, height, logX, logY, fromZero, robust, range, highlight } = props;
  const frame = JSON.stringify([
    height,
    logX,
    logY,
    fromZero,
    props.seconds,
    props.clock,
    props.real,
    props.labelX,
    props.syncKey,
    theme,
  ]);

  useEffect(() => {
    latest.current = props;
  });

  useEffect(() => {
    if (!visible) return;
    const element = place.current!;
    const colors = new Colors(element);
    const read = (): Drawing => {
      const { source: live, data: table, lines: looks } = latest.current;
      return live ? live.read() : drawingOf(table ?? [[]], looks ?? []);
    };
    let drawing: Drawing = { curves: [], marks: [] };
    let extent: Extent = { x: null, low: 0, high: 1, outside: 0, undrawn: 0 };
    const measure = (): void => {
      const { logX: x = false, logY: y = false, robust: most = false, fromZero: zero = false } = latest.current;
      const scaling = { logX: x, logY: y, robust: most, fromZero: zero };
      drawing = read();
      extent = extentOf(drawing, latest.current.range ?? null, scaling);
      shown.current = extent.x && { whole: drawing.whole ?? wholeOf(drawing) ?? extent.x, view: extent.x };
    };
    measure();
    const corners = (): uPlot.AlignedData => [
      extent.x ? [extent.x.start, extent.x.end] : [],
      extent.x ? [extent.low, extent.high] : [],
    ];
    const made = new uPlot(
      optionsOf(latest.current, element, colors, () => extent, {
        draw: (plot) => {
          paint(plot, drawing, colors, latest.current.highlight ?? null);
          latest.current.onDrawn?.(drawing, extent);
        },
        cursor: (plot) => tellCursor(plot, latest.current),
        select: (plot) => {
          const { left, width } = plot.select;
          if (width < 4) return;
          const selected = { start: plot.posToVal(left, "x"), end: plot.posToVal(left + width, "x") };
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          latest.current.onRange?.(selected);
        },
      }),
      corners(),
      element,
    );

    let drawn_at = performance.now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = (): void => {
      drawn_at = performance.now();
      measure();
      made.setData(corners());
    };
    redraw.current = () => drawSoon(draw);
    redrawSoon.current = () => {
      timer ??= setTimeout(
        () => {
          timer = undefined;
          drawSoon(draw);
        },
        Math.max(0, drawn_at + REDRAW_MS - performance.now()),
      );
    };
    const wheel = (event: WheelEvent): void => {
      const { onRange, logX: log } = latest.current;
      // Without a modifier the wheel scrolls the page, unless the plot was chosen first.
      const meant = event.ctrlKey || event.metaKey || document.activeElement === element;
      if (!onRange || !shown.current || !meant || event.deltaY === 0) return;
      event.preventDefault();
      const { whole, view } = shown.current;
      const center = (event.clientX - made.over.getBoundingClientRect().left) / made.over.clientWidth;
      onRange(scaled(view, whole, event.deltaY > 0 ? 1.25 : 0.8, Math.min(1, Math.max(0, center)), log));
    };
    element.addEventListener("wheel", wheel, { passive: false });
    const observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0 && width !== made.width) made.setSize({ width, height: latest.current.height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      element.removeEventListener("wheel", wheel);
      clearTimeout(timer);
      drawNot(draw);
      redraw.current = null;
      redrawSoon.current = null;
      latest.current.onHover?.(null);
      made.destroy();
    };
  }, [visible, frame]);

  useEffect(() => source?.subscribe(() => redrawSoon.current?.()), [source]);

  useEffect(() => redraw.current?.(), [source, data, lines, robust, range, highlight]);

  const keys = (event: KeyboardEvent): void => {
    const zoomed = props.onRange && shown.current && afterKey(event.key, shown.current, props.logX);
    if (zoomed === undefined || zoomed === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    props.onRange!(zoomed.range);
  };

  return (
    <div
      ref={place}
      className="mls-plot"
      role={props.onRange ? "application" : "img"}
      aria-roledescription={props.onRange ? "chart" : undefined}
      aria-keyshortcuts={props.onRange ? "+ - ArrowLeft ArrowRight 0" : undefined}
      tabIndex={props.onRange ? 0 : undefined}
      aria-label={props.label}
      // JupyterLab takes keys like 0 for itself otherwise.
      data-lm-suppress-shortcuts={props.onRange ? "true" : undefined}
      style={{ height }}
      onKeyDown={keys}
      onDoubleClick={() => props.onRange?.(null)}
    >
      {props.children}
    </div>
  );
}

function wholeOf(drawing: Drawing): Range | null {
  return extentOf(drawing, null, { logX: false, logY: false, robust: false, fromZero: false }).x;
}

/** What a key asks for; undefined if it asks for nothing. */
function afterKey(
  key: string,
  { whole, view }: { whole: Range; view: Range },
  log: boolean | undefined,
): { range: Range | null } | undefined {
  switch (key) {
    case "+":
    case "=":
      return { range: scaled(view, whole, 0.5, 0.5, log) };
    case "-":
      return { range: scaled(view, whole, 2, 0.5, log) };
    case "ArrowLeft":
      return { range: moved(view, whole, -0.2, log) };
    case "ArrowRight":
      return { range: moved(view, whole, 0.2, log) };
    case "0":
    case "Escape":
      return { range: null };
    default:
      return undefined;
  }
}

function tellCursor(plot: uPlot, { data, onCursor, onHover }: PlotProps): void {
  const { left = -1, top = -1, event } = plot.cursor;
  const away = left < 0;
  const x = plot.posToVal(left, "x");
  const index = away || !data?.[0] ? -1 : nearest(data[0], x);
  onCursor?.(index < 0 ? null : index);
  const here = !away && event && plot.root.contains(event.target as Node);
  onHover?.(
    here
      ? { x, y: plot.posToVal(top, "y"), left: left + plot.over.offsetLeft, top: top + plot.over.offsetTop, width: plot.width }
      : null,
  );
}

/** Whether an element is on the screen, or about to be. */
function useVisible(place: { readonly current: HTMLElement | null }): boolean {
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => setVisible(entries.at(-1)!.isIntersecting), {
      rootMargin: AHEAD,
    });
    observer.observe(place.current!);
    return () => observer.disconnect();
  }, [place]);
  return visible;
}
