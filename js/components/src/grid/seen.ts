import { useCallback, useEffect, useRef, useState, type RefObject } from "react";

/** Rows and pixels beyond what is seen, so that a fast hand finds them drawn. */
const MORE_ROWS = 8;
const MORE_PX = 200;

/** What of a grid exists on the page, in rows and pixels. */
export interface Seen {
  first: number;
  /** How many rows. */
  rows: number;
  left: number;
  right: number;
}

/** What of a scrolled grid is seen, with some more around it; `measure` looks again. */
export function useSeen(row_px: number): { scroller: RefObject<HTMLDivElement | null>; seen: Seen; measure: () => void } {
  const scroller = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState<Seen>({ first: 0, rows: 40, left: 0, right: 1600 });
  const measure = useCallback((): void => {
    const element = scroller.current;
    if (!element) return;
    const rows = Math.ceil((element.clientHeight || 600) / row_px);
    const at = Math.floor(element.scrollTop / row_px);
    const next: Seen = {
      // In steps, so that most frames of a scroll draw nothing.
      first: Math.max(0, Math.floor((at - MORE_ROWS) / 4) * 4),
      rows: Math.ceil((rows + 2 * MORE_ROWS) / 4) * 4 + 4,
      left: Math.max(0, Math.floor((element.scrollLeft - MORE_PX) / 100) * 100),
      right: Math.ceil((element.scrollLeft + (element.clientWidth || 1600) + MORE_PX) / 100) * 100,
    };
    setSeen((before) =>
      before.first === next.first && before.rows === next.rows && before.left === next.left && before.right === next.right
        ? before
        : next,
    );
  }, [row_px]);
  useEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, [measure]);
  return { scroller, seen, measure };
}

/** Scrolls so far that a row is seen below the head. */
export function scrollToRow(element: HTMLElement, row: number, row_px: number, head_px: number): void {
  const top = row * row_px;
  const room = element.clientHeight - head_px;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top + row_px > element.scrollTop + room) element.scrollTop = top + row_px - room;
}

/** How many rows a page up or down goes. */
export function rowsOfPage(element: HTMLElement | null, row_px: number, head_px: number): number {
  return Math.max(1, Math.floor(((element?.clientHeight ?? 0) - head_px) / row_px) - 1);
}

/** The row to which a key leads; null for a key that leads to none. */
export function rowAfterKey(key: string, row: number, page: number, total: number): number | null {
  switch (key) {
    case "ArrowDown":
      return row + 1;
    case "ArrowUp":
      return row - 1;
    case "PageDown":
      return row + page;
    case "PageUp":
      return row - page;
    case "Home":
      return 0;
    case "End":
      return total - 1;
  }
  return null;
}

/** Whether a key means everything: Ctrl+A, or Shift with it. */
export function meansEverything(event: { key: string; ctrlKey: boolean; metaKey: boolean }): boolean {
  return event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey);
}
