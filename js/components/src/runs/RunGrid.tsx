import type { RunRow } from "@modelship-lab/core";
import { useEffect, useId, useMemo, useState, type CSSProperties, type KeyboardEvent, type ReactNode } from "react";
import { count } from "../format";
import { meansEverything, rowAfterKey, rowsOfPage, scrollToRow, useSeen } from "../grid/seen";
import { heading, sortKeys, type Column } from "./columns";
import { HEAD_PX, isFigure, PICK_PX, Row, ROW_PX, type GridRow, type PlacedColumn } from "./GridRow";
import { Heading } from "./Heading";
import { useStayInPlace } from "./stay_in_place";

const NAME = { name: "name", type: "text" } as const;

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

/** The rows of a table of any length and width, of which only those that are seen exist on the page. */
export function RunGrid(props: RunGridProps): ReactNode {
  const { total, rowAt, columns, widths, nameWidth, picked, onShow } = props;
  const id = useId();
  const { scroller, seen, measure } = useSeen(ROW_PX);
  const [cursor, setCursor] = useState(0);
  const pinned = PICK_PX + nameWidth;

  const last = Math.min(seen.first + seen.rows, total) - 1;
  useEffect(() => {
    if (total > 0) onShow(seen.first, last);
  }, [seen, last, total, onShow]);

  useStayInPlace(scroller, rowAt, total);

  const placed = useMemo(() => placeColumns(columns, widths, pinned), [columns, widths, pinned]);
  const width = pinned + placed.reduce((sum, one) => sum + one.width, 0);
  const { left, right } = seen;
  const shown = useMemo(() => placed.filter((one) => one.left < right && one.left + one.width > left), [placed, left, right]);

  const move = (to: number, event: KeyboardEvent): void => {
    event.preventDefault();
    const place = Math.min(Math.max(to, 0), total - 1);
    setCursor(place);
    if (event.shiftKey) props.onPick(place, true);
    scrollToRow(scroller.current!, place, ROW_PX, HEAD_PX);
  };

  const key = (event: KeyboardEvent): void => {
    if (event.target !== event.currentTarget) return;
    if (meansEverything(event)) {
      props.onPickAll();
      return event.preventDefault();
    }
    const to = rowAfterKey(event.key, cursor, rowsOfPage(scroller.current, ROW_PX, HEAD_PX), total);
    if (to !== null) return move(to, event);
    const at = rowAt(cursor);
    switch (event.key) {
      case "ArrowRight":
        if (at?.open === false) props.onFold(at.row, true);
        else scroller.current!.scrollBy(120, 0);
        return event.preventDefault();
      case "ArrowLeft":
        if (at?.open) props.onFold(at.row, false);
        else scroller.current!.scrollBy(-120, 0);
        return event.preventDefault();
      case " ":
        props.onPick(cursor, event.shiftKey);
        return event.preventDefault();
      case "Enter":
        if (at) props.onOpen(at.row);
        return event.preventDefault();
    }
  };

  // A row that goes out of sight leaves its elements to the one that comes in: to make or to move some takes far longer.
  const elementOf = (place: number): string => `${id}-${place % seen.rows}`;
  const order: string[] = [];
  const rows: ReactNode[] = [];
  for (let place = seen.first; place <= last; place++) {
    const found = rowAt(place);
    order.push(elementOf(place));
    rows[place % seen.rows] = (
      <Row
        key={place % seen.rows}
        id={elementOf(place)}
        place={place}
        row={found?.row}
        depth={found?.depth ?? 0}
        open={found?.open ?? null}
        columns={shown}
        nameWidth={nameWidth}
        picked={found !== undefined && picked.has(found.row.id)}
        atCursor={place === cursor}
        onPick={props.onPick}
        onOpen={props.onOpen}
        onFold={props.onFold}
        onCursor={setCursor}
      />
    );
  }

  const keys = useMemo(() => sortKeys(props.sort), [props.sort]);
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
      aria-activedescendant={cursor >= seen.first && cursor <= last ? elementOf(cursor) : undefined}
      tabIndex={0}
      style={{ maxHeight: props.height, "--mls-row": `${ROW_PX}px` } as CSSProperties}
      onScroll={measure}
      onKeyDown={key}
    >
      <div className="mls-grid-body" role="presentation" style={{ width, height: HEAD_PX + total * ROW_PX }}>
        <div className="mls-grid-head" role="row" aria-rowindex={1} style={{ width, minWidth: "100%", height: HEAD_PX }}>
          <div className="mls-grid-pinned" role="presentation">
            <div className="mls-grid-pick" role="columnheader" aria-colindex={1} style={{ width: PICK_PX }}>
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
              column={NAME}
              title="Run"
              className="mls-grid-name"
              number={2}
              width={nameWidth}
              keys={keys}
              onSort={props.onSort}
              onWidth={props.onWidth}
            />
          </div>
          {shown.map(({ column, index, left, width }) => (
            <Heading
              key={column.name}
              column={column}
              title={heading(column)}
              className={isFigure(column) ? "mls-grid-cell mls-grid-figure" : "mls-grid-cell"}
              number={index + 3}
              left={left}
              width={width}
              keys={keys}
              onSort={props.onSort}
              onWidth={props.onWidth}
            />
          ))}
        </div>
        {/* The order of the elements is not that of the rows: this tells it to those who listen. */}
        <div role="rowgroup" aria-owns={order.join(" ")}>
          {rows}
        </div>
      </div>
    </div>
  );
}

function placeColumns(columns: readonly Column[], widths: RunGridProps["widths"], start: number): PlacedColumn[] {
  const placed: PlacedColumn[] = [];
  let left = start;
  for (const [index, column] of columns.entries()) {
    const width = widths[column.name] ?? column.width;
    placed.push({ column, index, left, width });
    left += width;
  }
  return placed;
}

/** "12,345 runs" */
export function runCount(amount: number): string {
  return `${count(amount)} ${amount === 1 ? "run" : "runs"}`;
}
