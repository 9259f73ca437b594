import type { RunRow } from "@modelship-lab/core";
import { memo, type MouseEvent, type PointerEvent, type ReactNode } from "react";
import { share, valueOf, valueText, type Column } from "./columns";
import { StatusBadge } from "./status";

export const ROW_PX = 30;
export const HEAD_PX = 34;
export const PICK_PX = 34;
/** At most, in the fonts of browsers. */
const DIGIT_PX = 9;
/** Of a cell, at both sides. */
const PADDING_PX = 16;

/** A row as it stands in the table, with how deep it is below its parents. */
export interface GridRow {
  row: RunRow;
  depth: number;
  /** Whether its children are shown below it; null when it has none. */
  open: boolean | null;
}

/** A column that is seen, and where. */
export interface PlacedColumn {
  column: Column;
  /** Its number among all columns, from 0. */
  index: number;
  left: number;
  width: number;
}

export interface RowProps {
  id: string;
  place: number;
  /** Not there while it is on its way. */
  row: RunRow | undefined;
  depth: number;
  open: boolean | null;
  columns: readonly PlacedColumn[];
  nameWidth: number;
  picked: boolean;
  atCursor: boolean;
  onPick: (place: number, range: boolean) => void;
  onOpen: (row: RunRow) => void;
  onFold: (row: RunRow, open: boolean) => void;
  onCursor: (place: number) => void;
}

/**
 * A row's elements, which show one run after the other as the table is scrolled. So there are few of them, they stay
 * when a row is on its way, and from one run to the next hardly more than their texts changes.
 */
export const Row = memo(function Row(props: RowProps): ReactNode {
  const { id, place, row, depth, open, columns, nameWidth, picked, atCursor } = props;
  const names = ["mls-grid-row"];
  if (!row) names.push("mls-grid-coming");
  if (picked) names.push("mls-grid-picked");
  if (atCursor) names.push("mls-grid-cursor");
  const click = (event: MouseEvent): void => {
    props.onCursor(place);
    if (event.shiftKey || event.ctrlKey || event.metaKey) props.onPick(place, event.shiftKey);
  };
  return (
    <div
      id={id}
      className={names.join(" ")}
      role="row"
      aria-rowindex={place + 2}
      aria-selected={picked}
      aria-busy={!row}
      style={{ transform: `translateY(${HEAD_PX + place * ROW_PX}px)` }}
      onClick={click}
      onDoubleClick={() => row && props.onOpen(row)}
    >
      <div className="mls-grid-pinned" role="presentation">
        <div className="mls-grid-pick" role="gridcell" aria-colindex={1} style={{ width: PICK_PX }}>
          <input
            type="checkbox"
            tabIndex={-1}
            checked={picked}
            aria-label={row && `Select run ${row.id}`}
            onClick={(event) => {
              event.stopPropagation();
              props.onPick(place, event.shiftKey);
              props.onCursor(place);
            }}
            onChange={() => undefined}
          />
        </div>
        <div
          className="mls-grid-name"
          role="rowheader"
          aria-colindex={2}
          style={{ width: nameWidth, paddingInlineStart: 6 + depth * 16 }}
        >
          {row && open !== null && (
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
            onPointerEnter={titled(row?.name ?? "")}
            onClick={(event) => {
              if (!row || event.shiftKey || event.ctrlKey || event.metaKey) return;
              event.stopPropagation();
              props.onOpen(row);
            }}
          >
            {row && (row.name || row.recipe || `run ${row.id}`)}
          </button>
          <span className="mls-grid-id mls-muted">{row?.id}</span>
        </div>
      </div>
      {columns.map((placed) => (
        <Cell key={placed.column.name} row={row} {...placed} />
      ))}
    </div>
  );
});

type CellProps = PlacedColumn & { row: RunRow | undefined };

const Cell = memo(function Cell({ row, column, index, left, width }: CellProps): ReactNode {
  const cell = { role: "gridcell", "aria-colindex": index + 3 };
  if (column.type === "status") {
    return (
      <div {...cell} className="mls-grid-cell mls-grid-parts" style={{ left, width }}>
        {row && <StatusBadge status={row.status} />}
      </div>
    );
  }
  if (column.type === "tags") {
    return (
      <div {...cell} className="mls-grid-cell mls-grid-parts" style={{ left, width }} onPointerEnter={titled(row?.tags.join(", ") ?? "")}>
        {row?.tags.map((tag) => (
          <span key={tag} className="mls-tag" dir="auto">
            {tag}
          </span>
        ))}
      </div>
    );
  }
  const value = row ? valueOf(row, column.name) : null;
  const figure = isFigure(column);
  const part = column.kind === "run" ? null : share(value, column);
  const text = valueText(value, column.type);
  const names = ["mls-grid-cell"];
  if (figure) names.push("mls-grid-figure");
  if (column.kind === "run") names.push("mls-muted");
  if (part !== null) names.push("mls-grid-bar");
  if (!text) names.push("mls-grid-none");
  // Painting is the slower the more is clipped.
  if (!figure || text.length * DIGIT_PX > width - PADDING_PX) names.push("mls-grid-clipped");
  return (
    <div
      {...cell}
      className={names.join(" ")}
      dir={figure ? undefined : "auto"}
      // Not by a custom property: with one, all of the element's style is computed anew.
      style={{ left, width, backgroundSize: part === null ? undefined : `${(part * 100).toFixed(1)}% 2px, 100% 2px` }}
      onPointerEnter={titled(typeof value === "number" && column.kind !== "run" ? String(value) : text)}
    >
      {text || (row && "–")}
    </div>
  );
});

/**
 * Gives an element its title when the pointer comes to it. Browsers have rules of style for titles, so that a table of
 * titles that change would be styled anew with every step of a scroll.
 */
function titled(title: string): (event: PointerEvent<HTMLElement>) => void {
  return (event) => {
    event.currentTarget.title = title;
  };
}

/** Whether its values stand at the right, digit below digit. */
export function isFigure(column: Pick<Column, "type">): boolean {
  return column.type === "number" || column.type === "duration";
}
