import type { RunRow } from "@modelship-lab/core";
import {
  memo,
  useCallback,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
  type CSSProperties,
  type KeyboardEvent,
  type MouseEvent,
  type PointerEvent,
  type ReactNode,
} from "react";
import { count } from "../format";
import { heading, share, sortKeys, valueOf, valueText, type Column } from "./columns";
import { StatusBadge } from "./status";

export const ROW_PX = 30;
const HEAD_PX = 34;
const PICK_PX = 34;
/** Rows and pixels beyond what is seen, so that a fast hand finds them drawn. */
const MORE_ROWS = 8;
const MORE_PX = 200;
const NARROWEST = 56;
const WIDEST = 800;

/** A row as it stands in the table, with how deep it is below its parents. */
export interface GridRow {
  row: RunRow;
  depth: number;
  /** Whether its children are shown below it; null when it has none. */
  open: boolean | null;
}

export interface RunGridProps {
  /** How many rows there are. */
  total: number;
  rowAt: (place: number) => GridRow | undefined;
  columns: Column[];
  widths: Readonly<Record<string, number>>;
  nameWidth: number;
  sort: readonly string[];
  picked: ReadonlySet<number>;
  waiting: boolean;
  onShow: (first: number, last: number) => void;
  onSort: (column: Pick<Column, "name" | "type">, adds: boolean) => void;
  onWidth: (column: string, width: number) => void;
  /** `range`: all from the last one that was picked to this one. */
  onPick: (place: number, range: boolean) => void;
  onPickAll: () => void;
  onOpen: (row: RunRow) => void;
  onFold: (row: RunRow, open: boolean) => void;
  height: string;
}

interface Seen {
  first: number;
  last: number;
  left: number;
  right: number;
}

/** The rows of a table of any length and width, of which only those that are seen exist on the page. */
export function RunGrid(props: RunGridProps): ReactNode {
  const { total, rowAt, columns, widths, nameWidth, picked, onShow } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState<Seen>({ first: 0, last: 40, left: 0, right: 1600 });
  const [cursor, setCursor] = useState(0);

  const edges: number[] = [0];
  for (const column of columns) edges.push(edges.at(-1)! + (widths[column.name] ?? column.width));
  const pinned = PICK_PX + nameWidth;
  const width = pinned + edges.at(-1)!;

  const measure = useCallback((): void => {
    const element = scroller.current;
    if (!element) return;
    const rows = Math.ceil((element.clientHeight || 600) / ROW_PX);
    const at = Math.floor(element.scrollTop / ROW_PX);
    const next: Seen = {
      // In steps, so that most frames of a scroll draw nothing.
      first: Math.max(0, Math.floor((at - MORE_ROWS) / 4) * 4),
      last: at + rows + MORE_ROWS,
      left: Math.max(0, Math.floor((element.scrollLeft - MORE_PX) / 100) * 100),
      right: Math.ceil((element.scrollLeft + (element.clientWidth || 1600) + MORE_PX) / 100) * 100,
    };
    next.last = Math.ceil(next.last / 4) * 4;
    setSeen((before) =>
      before.first === next.first && before.last === next.last && before.left === next.left && before.right === next.right
        ? before
        : next,
    );
  }, []);

  useEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, [measure]);

  useEffect(() => {
    if (total > 0) onShow(seen.first, Math.min(seen.last, total - 1));
  }, [seen, total, onShow]);

  useStayInPlace(scroller, rowAt, total);

  const last = Math.min(seen.last, total - 1);
  const from = Math.max(0, edges.findIndex((edge) => edge > seen.left - pinned) - 1);
  const beyond = edges.findIndex((edge) => edge > seen.right - pinned);
  const shown = columns.slice(from, beyond < 0 ? undefined : beyond);
  const places = shown.map((_, index) => ({ left: pinned + edges[from + index]!, width: edges[from + index + 1]! - edges[from + index]! }));
  const layout = JSON.stringify([shown.map((column) => [column.name, column.min, column.max]), places, nameWidth, width]);

  const move = (to: number, event: KeyboardEvent): void => {
    event.preventDefault();
    const place = Math.min(Math.max(to, 0), total - 1);
    setCursor(place);
    if (event.shiftKey) props.onPick(place, true);
    const element = scroller.current!;
    const top = place * ROW_PX;
    const room = element.clientHeight - HEAD_PX;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + ROW_PX > element.scrollTop + room) element.scrollTop = top + ROW_PX - room;
  };

  const key = (event: KeyboardEvent): void => {
    if (event.target !== event.currentTarget) return;
    const page = Math.max(1, Math.floor(((scroller.current?.clientHeight ?? 0) - HEAD_PX) / ROW_PX) - 1);
    const at = rowAt(cursor);
    switch (event.key) {
      case "ArrowDown":
        return move(cursor + 1, event);
      case "ArrowUp":
        return move(cursor - 1, event);
      case "PageDown":
        return move(cursor + page, event);
      case "PageUp":
        return move(cursor - page, event);
      case "Home":
        return move(0, event);
      case "End":
        return move(total - 1, event);
      case "ArrowRight":
        if (at?.open === false) props.onFold(at.row, true);
        else scroller.current!.scrollLeft += 120;
        return event.preventDefault();
      case "ArrowLeft":
        if (at?.open) props.onFold(at.row, false);
        else scroller.current!.scrollLeft -= 120;
        return event.preventDefault();
      case " ":
        props.onPick(cursor, event.shiftKey);
        return event.preventDefault();
      case "Enter":
        if (at) props.onOpen(at.row);
        return event.preventDefault();
      case "a":
        if (!event.ctrlKey && !event.metaKey) return;
        props.onPickAll();
        return event.preventDefault();
    }
  };

  const rows: ReactNode[] = [];
  for (let place = seen.first; place <= last; place++) {
    const found = rowAt(place);
    rows.push(
      <Row
        key={place}
        place={place}
        found={found}
        columns={shown}
        places={places}
        layout={layout}
        nameWidth={nameWidth}
        picked={found !== undefined && picked.has(found.row.id)}
        atCursor={place === cursor}
        onPick={props.onPick}
        onOpen={props.onOpen}
        onFold={props.onFold}
        onCursor={setCursor}
      />,
    );
  }

  const keys = sortKeys(props.sort);
  return (
    <div
      ref={scroller}
      className="mls-grid"
      role="grid"
      aria-label="Runs"
      aria-rowcount={total + 1}
      aria-colcount={columns.length + 2}
      aria-multiselectable="true"
      aria-busy={props.waiting}
      aria-activedescendant={total > 0 ? `mls-row-${rowAt(cursor)?.row.id ?? ""}` : undefined}
      tabIndex={0}
      style={{ maxHeight: props.height, "--mls-row": `${ROW_PX}px` } as CSSProperties}
      onScroll={measure}
      onKeyDown={key}
    >
      <div className="mls-grid-body" role="presentation" style={{ width, height: HEAD_PX + total * ROW_PX }}>
        <div className="mls-grid-head" role="row" aria-rowindex={1} style={{ width, minWidth: "100%", height: HEAD_PX }}>
          <div className="mls-grid-pick" role="columnheader" style={{ width: PICK_PX }}>
            <input
              type="checkbox"
              tabIndex={-1}
              aria-label="Select all runs of the filter"
              checked={total > 0 && picked.size >= total}
              ref={(box) => {
                if (box) box.indeterminate = picked.size > 0 && picked.size < total;
              }}
              onChange={props.onPickAll}
            />
          </div>
          <Heading
            column={{ name: "name", title: "Run", type: "text" }}
            title="Run"
            className="mls-grid-name"
            style={{ left: PICK_PX, width: nameWidth }}
            keys={keys}
            onSort={props.onSort}
            onWidth={(wide) => props.onWidth("name", wide)}
            width={nameWidth}
          />
          {shown.map((column, index) => (
            <Heading
              key={column.name}
              column={column}
              title={heading(column)}
              className={column.type === "number" || column.type === "duration" ? "mls-grid-cell mls-grid-figure" : "mls-grid-cell"}
              style={{ left: places[index]!.left, width: places[index]!.width }}
              keys={keys}
              onSort={props.onSort}
              onWidth={(wide) => props.onWidth(column.name, wide)}
              width={places[index]!.width}
            />
          ))}
        </div>
        {rows}
      </div>
    </div>
  );
}

function scrollDown(element: HTMLElement, by_px: number): void {
  element.scrollTop += by_px;
}

/**
 * Keeps the rows that the reader looks at where they are on the screen when others come in above them.
 * At the very top, new ones are seen.
 */
function useStayInPlace(
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

function Heading(props: {
  column: Pick<Column, "name" | "type"> & { title: string };
  title: string;
  className: string;
  style: CSSProperties;
  keys: { name: string; down: boolean }[];
  width: number;
  onSort: (column: Pick<Column, "name" | "type">, adds: boolean) => void;
  onWidth: (width: number) => void;
}): ReactNode {
  const { column, keys } = props;
  const rank = keys.findIndex((one) => one.name === column.name);
  const sorted = rank < 0 ? null : keys[rank]!;
  const grab = (event: PointerEvent<HTMLSpanElement>): void => {
    event.preventDefault();
    event.stopPropagation();
    const handle = event.currentTarget;
    const start = event.clientX;
    handle.setPointerCapture(event.pointerId);
    handle.onpointermove = (moved) =>
      props.onWidth(Math.min(WIDEST, Math.max(NARROWEST, props.width + moved.clientX - start)));
    handle.onpointerup = handle.onpointercancel = () => (handle.onpointermove = null);
  };
  return (
    <div
      className={props.className}
      role="columnheader"
      aria-sort={sorted ? (sorted.down ? "descending" : "ascending") : "none"}
      style={props.style}
    >
      <button
        type="button"
        tabIndex={-1}
        title={`${column.name}\nClick to sort, with Shift to sort by it as well`}
        onClick={(event) => props.onSort(column, event.shiftKey)}
      >
        <span className="mls-grid-title" dir="auto">
          {props.title}
        </span>
        {sorted && (
          <span className="mls-grid-arrow" aria-hidden="true">
            {sorted.down ? "↓" : "↑"}
            {keys.length > 1 && <sub>{rank + 1}</sub>}
          </span>
        )}
      </button>
      <span className="mls-grid-handle" aria-hidden="true" onPointerDown={grab} />
    </div>
  );
}

interface RowProps {
  place: number;
  found: GridRow | undefined;
  columns: Column[];
  places: { left: number; width: number }[];
  /** Tells when columns, places or widths are others than they were. */
  layout: string;
  nameWidth: number;
  picked: boolean;
  atCursor: boolean;
  onPick: (place: number, range: boolean) => void;
  onOpen: (row: RunRow) => void;
  onFold: (row: RunRow, open: boolean) => void;
  onCursor: (place: number) => void;
}

const Row = memo(
  function Row(props: RowProps): ReactNode {
    const { place, found, columns, places, nameWidth, picked, atCursor } = props;
    const style = { transform: `translateY(${HEAD_PX + place * ROW_PX}px)` };
    if (!found) return <div className="mls-grid-row mls-grid-coming" role="row" aria-rowindex={place + 2} style={style} />;
    const { row, depth, open } = found;
    const click = (event: MouseEvent): void => {
      props.onCursor(place);
      if (event.shiftKey || event.ctrlKey || event.metaKey) props.onPick(place, event.shiftKey);
    };
    return (
      <div
        id={`mls-row-${row.id}`}
        className={`mls-grid-row${picked ? " mls-grid-picked" : ""}${atCursor ? " mls-grid-cursor" : ""}`}
        role="row"
        aria-rowindex={place + 2}
        aria-selected={picked}
        style={style}
        onClick={click}
        onDoubleClick={() => props.onOpen(row)}
      >
        <div className="mls-grid-pick" role="gridcell" style={{ width: PICK_PX }}>
          <input
            type="checkbox"
            tabIndex={-1}
            checked={picked}
            aria-label={`Select run ${row.id}`}
            onClick={(event) => {
              event.stopPropagation();
              props.onPick(place, event.shiftKey);
              props.onCursor(place);
            }}
            onChange={() => undefined}
          />
        </div>
        <div className="mls-grid-name" role="rowheader" style={{ left: PICK_PX, width: nameWidth, paddingInlineStart: 6 + depth * 16 }}>
          {open !== null && (
            <button
              type="button"
              tabIndex={-1}
              className="mls-grid-fold"
              aria-expanded={open}
              aria-label={open ? "Hide its children" : "Show its children"}
              onClick={(event) => {
                event.stopPropagation();
                props.onFold(row, !open);
              }}
            >
              {open ? "▾" : "▸"}
            </button>
          )}
          <button
            type="button"
            tabIndex={-1}
            className="mls-link"
            dir="auto"
            title={row.name}
            onClick={(event) => {
              if (event.shiftKey || event.ctrlKey || event.metaKey) return;
              event.stopPropagation();
              props.onOpen(row);
            }}
          >
            {row.name || row.recipe || `run ${row.id}`}
          </button>
          <span className="mls-grid-id mls-muted">{row.id}</span>
        </div>
        {columns.map((column, index) => (
          <Cell key={column.name} row={row} column={column} place={places[index]!} />
        ))}
      </div>
    );
  },
  (before, after) =>
    before.found?.row === after.found?.row &&
    before.found?.open === after.found?.open &&
    before.found?.depth === after.found?.depth &&
    before.place === after.place &&
    before.layout === after.layout &&
    before.picked === after.picked &&
    before.atCursor === after.atCursor &&
    before.onPick === after.onPick &&
    before.onOpen === after.onOpen &&
    before.onFold === after.onFold,
);

function Cell({ row, column, place }: { row: RunRow; column: Column; place: { left: number; width: number } }): ReactNode {
  const value = valueOf(row, column.name);
  if (column.type === "status") {
    return (
      <div className="mls-grid-cell" role="gridcell" style={place}>
        <StatusBadge status={row.status} />
      </div>
    );
  }
  if (column.type === "tags") {
    return (
      <div className="mls-grid-cell mls-grid-tags" role="gridcell" style={place} title={row.tags.join(", ")}>
        {row.tags.map((tag) => (
          <span key={tag} className="mls-tag" dir="auto">
            {tag}
          </span>
        ))}
      </div>
    );
  }
  const figure = column.type === "number" || column.type === "duration";
  const part = column.kind === "run" ? null : share(value, column);
  const text = valueText(value, column.type);
  const names = ["mls-grid-cell"];
  if (figure) names.push("mls-grid-figure");
  if (column.kind === "run") names.push("mls-muted");
  return (
    <div
      className={names.join(" ")}
      role="gridcell"
      style={part === null ? place : ({ ...place, "--mls-share": part } as CSSProperties)}
      title={typeof value === "number" && column.kind !== "run" ? String(value) : text || undefined}
    >
      {part !== null && <span className="mls-grid-bar" aria-hidden="true" />}
      <span className="mls-grid-text" dir="auto">
        {text || <span className="mls-grid-none">–</span>}
      </span>
    </div>
  );
}

/** "12,345 runs" */
export function runCount(amount: number): string {
  return `${count(amount)} ${amount === 1 ? "run" : "runs"}`;
}
