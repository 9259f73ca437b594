import { saidIn, type Sample } from "@modelship-lab/core";
import { memo, useEffect, useId, useMemo, useState, type CSSProperties, type KeyboardEvent, type MouseEvent, type ReactNode } from "react";
import { meansEverything, rowAfterKey, rowsOfPage, scrollToRow, useSeen } from "../grid/seen";
import { Picture, type PictureCache } from "../Picture";
import { Heading } from "../runs/Heading";
import type { SortKey } from "../runs/columns";
import { amountOf, isChosen, isNothing, type Choice } from "./choice";
import type { Column } from "./columns";

/** A million rows of these are not higher than an element can be. */
export const ROW_PX = 30;
const HEAD_PX = 34;
const PICK_PX = 34;
const TILE_PX = 148;
const TILE_WIDTH_PX = 140;
/** Texts that are cut shorter say nothing. */
const LEAST_TEXT_PX = 150;

export interface SampleRowsProps {
  /** As tiles, or as a table. */
  tiles: boolean;
  total: number;
  samples: ReadonlyMap<number, Sample>;
  columns: readonly Column[];
  widths: Readonly<Record<string, number>>;
  pictures: PictureCache;
  sort: SortKey;
  choice: Choice;
  cursor: number;
  waiting: boolean;
  height: string;
  onCursor: (place: number) => void;
  onShow: (first: number, last: number) => void;
  onSort: (column: Column) => void;
  onWidth: (column: string, width: number) => void;
  /** `range`: all from the last one that was picked to this one. */
  onPick: (place: number, range: boolean) => void;
  onPickAll: () => void;
  onOpen: (place: number) => void;
  /** A key that does not lead to another sample. */
  onKey: (event: KeyboardEvent) => void;
}

/** Samples as a table or as tiles, of which only those that are seen exist on the page. */
export function SampleRows(props: SampleRowsProps): ReactNode {
  const { tiles, total, samples, cursor, choice, onShow } = props;
  const id = useId();
  const [row_px, head_px] = tiles ? [TILE_PX, 0] : [ROW_PX, HEAD_PX];
  const { scroller, seen, measure } = useSeen(row_px);
  const width = useWidth(scroller);
  const across = tiles ? Math.max(1, Math.floor(width / TILE_WIDTH_PX)) : 1;
  const rows = Math.ceil(total / across);
  const last = Math.min(seen.first + seen.rows, rows) - 1;
  useEffect(() => {
    if (total > 0) onShow(seen.first * across, Math.min((last + 1) * across, total) - 1);
  }, [seen, last, across, total, onShow]);
  const at = Math.floor(cursor / across);
  useEffect(() => scrollToRow(scroller.current!, at, row_px, head_px), [scroller, at, row_px, head_px]);

  const move = (to: number, event: KeyboardEvent): void => {
    event.preventDefault();
    const place = Math.min(Math.max(to, 0), total - 1);
    props.onCursor(place);
    if (event.shiftKey) props.onPick(place, true);
  };
  const key = (event: KeyboardEvent): void => {
    if (event.target !== event.currentTarget) return;
    if (meansEverything(event)) {
      props.onPickAll();
      return event.preventDefault();
    }
    const row = rowAfterKey(event.key, at, rowsOfPage(scroller.current, row_px, head_px), rows);
    if (row !== null) {
      const ends: Record<string, number> = { Home: 0, End: total - 1 };
      return move(ends[event.key] ?? row * across + (cursor % across), event);
    }
    switch (event.key) {
      case "ArrowRight":
      case "ArrowLeft":
        if (tiles) return move(cursor + (event.key === "ArrowRight" ? 1 : -1), event);
        scroller.current!.scrollBy(event.key === "ArrowRight" ? 120 : -120, 0);
        return event.preventDefault();
      case " ":
        props.onPick(cursor, event.shiftKey);
        return event.preventDefault();
      case "Enter":
        props.onOpen(cursor);
        return event.preventDefault();
    }
    props.onKey(event);
  };

  const placed = useMemo(() => placeColumns(props.columns, props.widths, width), [props.columns, props.widths, width]);
  const wide = tiles ? undefined : PICK_PX + placed.reduce((sum, one) => sum + one.width, 0);
  // A row that goes out of sight leaves its elements to the one that comes in.
  const elementOf = (place: number): string => `${id}-${place % ((seen.rows + 4) * across)}`;
  const rowOf = (row: number): string => `${id}-row-${row % (seen.rows + 4)}`;
  const order: string[] = [];
  const drawn: ReactNode[] = [];
  for (let row = seen.first; row <= last; row++) {
    const slot = row % (seen.rows + 4);
    order.push(rowOf(row));
    const shared = { onPick: props.onPick, onOpen: props.onOpen, onCursor: props.onCursor };
    if (tiles) {
      const places = Array.from({ length: Math.min(across, total - row * across) }, (_, index) => row * across + index);
      drawn[slot] = (
        <div key={slot} id={rowOf(row)} role="row" aria-rowindex={row + 1} className="mls-tiles" style={{ transform: `translateY(${row * row_px}px)`, height: row_px, gridTemplateColumns: `repeat(${across}, minmax(0, 1fr))` }}>
          {places.map((place, index) => (
            <Tile
              key={index}
              {...shared}
              id={elementOf(place)}
              place={place}
              sample={samples.get(place)}
              pictures={props.pictures}
              picked={isChosen(choice, samples.get(place))}
              atCursor={place === cursor}
            />
          ))}
        </div>
      );
    } else {
      const sample = samples.get(row);
      drawn[slot] = (
        <TableRow
          key={slot}
          {...shared}
          id={rowOf(row)}
          place={row}
          sample={sample}
          placed={placed}
          picked={isChosen(choice, sample)}
          atCursor={row === cursor}
        />
      );
    }
  }
  const active = tiles ? elementOf(cursor) : rowOf(at);
  const all = amountOf(choice, total) >= total && total > 0;
  return (
    <div
      ref={scroller}
      className={tiles ? "mls-grid mls-sample-tiles" : "mls-grid mls-sample-rows"}
      role="grid"
      aria-label="Samples"
      aria-rowcount={tiles ? rows : total + 1}
      aria-colcount={tiles ? across : props.columns.length + 1}
      aria-multiselectable="true"
      aria-busy={props.waiting}
      aria-activedescendant={at >= seen.first && at <= last ? active : undefined}
      tabIndex={0}
      style={{ height: props.height, "--mls-row": `${ROW_PX}px` } as CSSProperties}
      onScroll={measure}
      onKeyDown={key}
    >
      <div className="mls-grid-body" role="presentation" style={{ width: wide, height: head_px + rows * row_px }}>
        {!tiles && (
          <div className="mls-grid-head" role="row" aria-rowindex={1} style={{ width: wide, minWidth: "100%", height: HEAD_PX }}>
            <div className="mls-grid-pinned" role="presentation">
              <div className="mls-grid-pick" role="columnheader" aria-colindex={1} style={{ width: PICK_PX }}>
                <input
                  type="checkbox"
                  tabIndex={-1}
                  aria-label="Select all samples of the filter"
                  checked={all}
                  ref={(box) => {
                    if (box) box.indeterminate = !all && !isNothing(choice);
                  }}
                  onChange={props.onPickAll}
                />
              </div>
            </div>
            {placed.map(({ column, left, width }, index) => (
              <Heading
                key={column.name}
                column={{ name: column.sort ?? column.name, type: column.type }}
                title={column.title}
                className={column.type === "number" ? "mls-grid-cell mls-grid-figure" : "mls-grid-cell"}
                number={index + 2}
                left={left}
                width={width}
                keys={[props.sort]}
                onSort={() => props.onSort(column)}
                onWidth={(_, changed) => props.onWidth(column.name, changed)}
              />
            ))}
          </div>
        )}
        {/* The order of the elements is not that of the rows: this tells it to those who listen. */}
        <div role="rowgroup" aria-owns={order.join(" ")}>
          {drawn}
        </div>
      </div>
    </div>
  );
}

interface Placed {
  column: Column;
  left: number;
  width: number;
}

/** One beside the other; the texts take what room is left, and leave as much as the label needs, unless somebody has said how wide they are to be. */
function placeColumns(columns: readonly Column[], widths: Readonly<Record<string, number>>, room: number): Placed[] {
  const own = columns.map((column) => widths[column.name] ?? column.width);
  const all = own.reduce((sum, width) => sum + width, PICK_PX);
  const label = columns.findIndex(({ name }) => name === "label");
  const upToLabel = own.slice(0, label + 1).reduce((sum, width) => sum + width, PICK_PX);
  let left = PICK_PX;
  return columns.map((column, index) => {
    const grows = column.name === "content" && column.sort === "length" && widths.content === undefined;
    const width = grows ? Math.max(LEAST_TEXT_PX, own[index]! + (room > all ? room - all : Math.min(0, room - upToLabel))) : own[index]!;
    left += width;
    return { column, left: left - width, width };
  });
}

function useWidth(element: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(800);
  useEffect(() => {
    const observer = new ResizeObserver(() => setWidth(element.current?.clientWidth || 800));
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, [element]);
  return width;
}

interface OneProps {
  id: string;
  place: number;
  /** Not there while it is on its way. */
  sample: Sample | undefined;
  picked: boolean;
  atCursor: boolean;
  onPick: (place: number, range: boolean) => void;
  onOpen: (place: number) => void;
  onCursor: (place: number) => void;
}

function clicked({ place, onCursor, onPick }: OneProps): (event: MouseEvent) => void {
  return (event) => {
    onCursor(place);
    if (event.shiftKey || event.ctrlKey || event.metaKey) onPick(place, event.shiftKey);
  };
}

function classNames(base: string, { sample, picked, atCursor }: OneProps): string {
  return [base, sample ? "" : "mls-grid-coming", picked ? "mls-grid-picked" : "", atCursor ? "mls-grid-cursor" : ""].filter(Boolean).join(" ");
}

const TableRow = memo(function TableRow(props: OneProps & { placed: readonly Placed[] }): ReactNode {
  const { place, sample, picked, placed } = props;
  return (
    <div
      id={props.id}
      className={classNames("mls-grid-row", props)}
      role="row"
      aria-rowindex={place + 2}
      aria-selected={picked}
      aria-busy={!sample}
      style={{ transform: `translateY(${HEAD_PX + place * ROW_PX}px)` }}
      onClick={clicked(props)}
      onDoubleClick={() => props.onOpen(place)}
    >
      <div className="mls-grid-pinned" role="presentation">
        <div className="mls-grid-pick" role="gridcell" aria-colindex={1} style={{ width: PICK_PX }}>
          <PickBox {...props} />
        </div>
      </div>
      {placed.map(({ column, left, width }, index) => {
        const text = sample ? column.text(sample) : "";
        const names = ["mls-grid-cell"];
        names.push(column.type === "number" ? "mls-grid-figure" : "mls-grid-clipped");
        if (column.name === "id") names.push("mls-muted");
        if (column.name === "status") names.push(`mls-status-${sample?.status ?? "none"}`);
        return (
          <div key={column.name} role="gridcell" aria-colindex={index + 2} className={names.join(" ")} dir="auto" style={{ left, width }}>
            {text}
          </div>
        );
      })}
    </div>
  );
});

const Tile = memo(function Tile(props: OneProps & { pictures: PictureCache }): ReactNode {
  const { sample, picked, pictures } = props;
  const label = sample ? saidIn(sample) : "";
  const said = label || (sample?.status === "unlabeled" ? "" : sample?.status);
  const suggested = sample?.suggestion ? saidIn(sample.suggestion) : "";
  const shown = said || (suggested ? `${suggested}?` : "–");
  return (
    <div
      id={props.id}
      className={classNames("mls-tile", props)}
      role="gridcell"
      aria-selected={picked}
      aria-busy={!sample}
      aria-label={sample ? `Sample ${sample.id}, ${shown}${said ? "" : `, ${sample.status}`}` : "On its way"}
      onClick={clicked(props)}
      onDoubleClick={() => props.onOpen(props.place)}
    >
      <div className="mls-tile-picture">
        {sample?.image && <Picture key={sample.image} cache={pictures} digest={sample.image} alt="" />}
      </div>
      <div className="mls-tile-line">
        <PickBox {...props} />
        <span className={said ? "mls-tile-label" : "mls-tile-label mls-muted"} dir="auto">
          {shown}
        </span>
      </div>
    </div>
  );
});

function PickBox(props: OneProps): ReactNode {
  const { place, sample, picked } = props;
  return (
    <input
      type="checkbox"
      tabIndex={-1}
      checked={picked}
      aria-label={sample && `Select sample ${sample.id}`}
      onClick={(event) => {
        event.stopPropagation();
        props.onPick(place, event.shiftKey);
        props.onCursor(place);
      }}
      onChange={() => undefined}
    />
  );
}
