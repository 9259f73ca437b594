import { useEffect, useLayoutEffect, useRef } from "react";
import { ROW_PX, type GridRow } from "./GridRow";

function scrollDown(element: HTMLElement, by_px: number): void {
  element.scrollTop += by_px;
}

/**
 * Keeps the rows that the reader looks at where they are on the screen when others come in above them.
 * At the very top, new ones are seen.
 */
export function useStayInPlace(
  scroller: { readonly current: HTMLDivElement | null },
  rowAt: (place: number) => GridRow | undefined,
  total: number,
): void {
  const held = useRef<{ id: number; place: number } | null>(null);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const top = Math.floor(element.scrollTop / ROW_PX);
    const before = held.current;
    if (before && element.scrollTop > 0 && before.place === top && rowAt(top)?.row.id !== before.id) {
      const near = 400;
      for (let away = 1; away < near; away++) {
        const found = [top + away, top - away].find((place) => rowAt(place)?.row.id === before.id);
        if (found === undefined) continue;
        scrollDown(element, (found - top) * ROW_PX);
        break;
      }
    }
  }, [scroller, rowAt, total]);
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const note = (): void => {
      const place = Math.floor(element.scrollTop / ROW_PX);
      const found = rowAt(place);
      held.current = found ? { id: found.row.id, place } : null;
    };
    note();
    element.addEventListener("scroll", note, { passive: true });
    return () => element.removeEventListener("scroll", note);
  }, [scroller, rowAt]);
}
