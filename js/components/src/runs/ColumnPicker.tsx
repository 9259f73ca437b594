import { useEffect, useRef, useState, type ReactNode } from "react";
import { figure } from "../format";
import type { Column } from "./columns";

const MOST_LISTED = 200;

const GROUPS: [Column["kind"], string][] = [
  ["run", "Run"],
  ["summary", "Final figures"],
  ["metric", "Metrics"],
  ["param", "Parameters"],
];

export interface ColumnPickerProps {
  columns: Column[];
  shown: readonly string[];
  onShown: (columns: string[]) => void;
  onUsual: () => void;
  label?: string;
}

/** A button that opens the list of all columns, to be searched and ticked. */
export function ColumnPicker({ columns, shown, onShown, onUsual, label = "Columns" }: ColumnPickerProps): ReactNode {
  const [open, setOpen] = useState(false);
  const [search, setSearch] = useState("");
  const place = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!open) return;
    const leave = (event: globalThis.PointerEvent): void => {
      if (!event.composedPath().includes(place.current!)) setOpen(false);
    };
    document.addEventListener("pointerdown", leave, true);
    return () => document.removeEventListener("pointerdown", leave, true);
  }, [open]);

  const sought = search.trim().toLowerCase();
  const found = columns.filter((column) => column.name.toLowerCase().includes(sought));
  const isShown = new Set(shown);
  const set = (names: string[], on: boolean): void =>
    onShown(on ? [...shown, ...names.filter((name) => !isShown.has(name))] : shown.filter((name) => !names.includes(name)));

  return (
    <div
      className="mls-picker"
      ref={place}
      onKeyDown={(event) => {
        if (event.key === "Escape") setOpen(false);
      }}
    >
      <button type="button" className="mls-button" aria-expanded={open} aria-haspopup="dialog" onClick={() => setOpen(!open)}>
        {label} <span className="mls-muted mls-number">{shown.length}</span>
      </button>
      {open && (
        <div className="mls-picker-list" role="dialog" aria-label={label}>
          <div className="mls-picker-head">
            <input
              className="mls-input"
              type="search"
              placeholder={`Search ${columns.length} columns`}
              aria-label="Search columns"
              autoFocus
              value={search}
              onChange={(event) => setSearch(event.target.value)}
            />
            <button type="button" className="mls-link" onClick={onUsual}>
              Reset
            </button>
          </div>
          <div className="mls-picker-groups">
            {GROUPS.map(([kind, title]) => {
              const members = found.filter((column) => column.kind === kind);
              if (members.length === 0) return null;
              const names = members.map((column) => column.name);
              const on = names.filter((name) => isShown.has(name)).length;
              return (
                <fieldset key={kind}>
                  <legend>
                    <span>{title}</span>
                    <span className="mls-muted mls-number">
                      {on} of {members.length}
                    </span>
                    <button type="button" className="mls-link" onClick={() => set(names, on < members.length)}>
                      {on < members.length ? "all" : "none"}
                    </button>
                  </legend>
                  {members.slice(0, MOST_LISTED).map((column) => (
                    <label key={column.name} title={column.name}>
                      <input
                        type="checkbox"
                        checked={isShown.has(column.name)}
                        onChange={(event) => set([column.name], event.target.checked)}
                      />
                      <span className="mls-picker-name" dir="auto">
                        {column.title}
                      </span>
                      {column.min !== null && column.max !== null && (
                        <span className="mls-muted mls-number">
                          {column.min === column.max ? figure(column.min) : `${figure(column.min)} – ${figure(column.max)}`}
                        </span>
                      )}
                    </label>
                  ))}
                  {members.length > MOST_LISTED && <p className="mls-muted">Search for the other {members.length - MOST_LISTED}.</p>}
                </fieldset>
              );
            })}
            {found.length === 0 && <p className="mls-muted mls-centered">No column has this in its name.</p>}
          </div>
        </div>
      )}
    </div>
  );
}
