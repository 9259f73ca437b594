import { memo, type PointerEvent, type ReactNode } from "react";
import type { Column, SortKey } from "./columns";

const NARROWEST = 56;
const WIDEST = 800;

/** A column's title, by which rows are sorted, and the handle that makes the column wider. */
export const Heading = memo(function Heading(props: {
  column: Pick<Column, "name" | "type">;
  title: string;
  className: string;
  /** The column's number among all of the table, from 1. */
  number: number;
  /** Where it stands; without, beside the one before it. */
  left?: number;
  width: number;
  keys: readonly SortKey[];
  onSort: (column: Pick<Column, "name" | "type">, adds: boolean) => void;
  onWidth: (column: string, width: number) => void;
}): ReactNode {
  const { column, keys, left, width } = props;
  const rank = keys.findIndex((one) => one.name === column.name);
  const sorted = rank < 0 ? null : keys[rank]!;
  const grab = (event: PointerEvent<HTMLSpanElement>): void => {
    event.preventDefault();
    event.stopPropagation();
    const handle = event.currentTarget;
    const start = event.clientX;
    handle.setPointerCapture(event.pointerId);
    handle.onpointermove = (moved) =>
      props.onWidth(column.name, Math.min(WIDEST, Math.max(NARROWEST, width + moved.clientX - start)));
    handle.onpointerup = handle.onpointercancel = () => (handle.onpointermove = null);
  };
  return (
    <div
      className={props.className}
      role="columnheader"
      aria-colindex={props.number}
      aria-sort={sorted ? (sorted.down ? "descending" : "ascending") : "none"}
      style={{ left, width }}
    >
      <button
        type="button"
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
});
