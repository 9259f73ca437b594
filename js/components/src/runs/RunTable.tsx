import { RunTableFeed, type Connection, type RunQuery, type RunRow } from "@modelship-lab/core";
import { useCallback, useEffect, useMemo, useState, type ReactNode } from "react";
import { ProblemBanner } from "../Banner";
import { Comparison } from "../comparison/Comparison";
import { ParallelCoordinates } from "../comparison/ParallelCoordinates";
import { Scatter } from "../comparison/Scatter";
import { useRuns } from "../comparison/useRuns";
import { count } from "../format";
import { useSaved } from "../saved";
import { useClosable, useStore } from "../useStore";
import { ColumnPicker } from "./ColumnPicker";
import { allColumns, nextSort, usualColumns, type Column } from "./columns";
import { FilterBox } from "./FilterBox";
import type { RunOpener } from "./opener";
import { RunActions } from "./RunActions";
import { runCount, RunGrid } from "./RunGrid";
import { tree } from "./tree";

export interface RunTableProps {
  connection: Connection;
  labId: string;
  project?: string | null;
  /** What a notebook asked for; the reader's own changes are kept by the browser. */
  filter?: string;
  sort?: readonly string[];
  columns?: readonly string[] | null;
  limit?: number | null;
  /** Without one, runs are opened where the table is. */
  opener?: RunOpener;
  /** CSS height of the rows; default: of a cell's output. */
  height?: string;
}

const MODES = [
  ["table", "Table"],
  ["parallel", "Parallel coordinates"],
  ["scatter", "Scatter"],
] as const;

interface SavedView {
  filter: string;
  sort: string[];
  /** Null as long as nobody has chosen any. */
  columns: string[] | null;
  widths: Record<string, number>;
  folds: boolean;
  /** So many runs were asked for, until the reader wants all. */
  limit: number | null;
  mode: (typeof MODES)[number][0];
}

const NAME_PX = 230;
const NONE: ReadonlyMap<number, RunRow> = new Map();

/** Any number of runs to be filtered, sorted, looked through, selected and compared. */
export function RunTable(props: RunTableProps): ReactNode {
  const { connection, labId, project = null, filter = "", sort, columns = null, limit = null, opener } = props;
  const place = `runs:${labId}:${project ?? ""}`;
  const asked = JSON.stringify([filter, sort ?? [], columns, ...(limit ? [limit] : [])]);
  const usual: SavedView = {
    filter,
    sort: [...(sort ?? ["-id"])],
    columns: columns && [...columns],
    widths: {},
    folds: false,
    limit,
    mode: "table",
  };
  const [view, setView] = useSaved<SavedView>(`${place}:${asked}`, usual);
  const [opened, setOpened] = useState<number[] | null>(null);
  const query: RunQuery = {
    project,
    // A parent stands for its children, which are fetched when it is unfolded.
    filter: view.folds ? rootsOf(view.filter) : view.filter,
    sort: view.sort,
    columns: view.columns ?? [],
    limit: view.limit,
  };
  const feed = useClosable(() => new RunTableFeed(connection, query), [connection, place]);
  if (opened) {
    return (
      <div className="mls mls-run-table">
        <button type="button" className="mls-link mls-back" onClick={() => setOpened(null)}>
          ← Back to the runs
        </button>
        <Comparison connection={connection} labId={labId} runIds={opened} />
      </div>
    );
  }
  if (!feed) return <div className="mls mls-run-table" />;
  return (
    <TableScreen
      {...props}
      feed={feed}
      query={query}
      view={view}
      setView={setView}
      place={place}
      openRuns={(ids) => (opener ? (ids.length === 1 ? opener.runs(ids) : opener.comparison(ids)) : setOpened(ids))}
    />
  );
}

function rootsOf(filter: string): string {
  return filter.trim() ? `(${filter}) and parent_id is None` : "parent_id is None";
}

function TableScreen(
  props: RunTableProps & {
    feed: RunTableFeed;
    query: RunQuery;
    view: SavedView;
    setView: (change: Partial<SavedView>) => void;
    place: string;
    openRuns: (runIds: number[]) => void;
  },
): ReactNode {
  const { connection, feed, query, view, setView, openRuns } = props;
  const state = useStore(feed.store);
  const [picked, setPicked] = useState<ReadonlyMap<number, RunRow>>(NONE);
  const [anchor, setAnchor] = useState(0);
  const [children, setChildren] = useState<ReadonlyMap<number, readonly RunRow[]>>(new Map());
  const [screen, setScreen] = useState<HTMLElement | null>(null);
  const { folds } = view;

  const known = useMemo(() => allColumns(state.columns), [state.columns]);
  const names = useMemo(() => view.columns ?? usualColumns(state.columns), [view.columns, state.columns]);
  const shown = useMemo(() => {
    const byName = new Map(known.map((column) => [column.name, column]));
    return names.map((name) => byName.get(name) ?? unknown(name));
  }, [known, names]);
  const values = useMemo(() => names.filter((name) => known.every((one) => one.name !== name || one.kind !== "run")), [names, known]);

  const wanted = JSON.stringify({ ...query, columns: values });
  useEffect(() => feed.ask(JSON.parse(wanted) as RunQuery), [feed, wanted]);

  useEffect(() => {
    if (!screen) return;
    const observer = new IntersectionObserver((seen) => feed.setActive(seen.at(-1)?.isIntersecting ?? true));
    observer.observe(screen);
    return () => observer.disconnect();
  }, [feed, screen]);

  const rows = useMemo(() => tree(state.rows, state.total, children, folds), [state.rows, state.total, children, folds]);
  const show = useCallback((first: number, last: number) => feed.show(rows.rootAt(first), rows.rootAt(last)), [feed, rows]);

  const pick = useCallback(
    (at: number, range: boolean): void => {
      if (range) {
        const [first, last] = at < anchor ? [at, anchor] : [anchor, at];
        const here = Array.from({ length: last - first + 1 }, (_, index) => rows.rowAt(first + index)?.row);
        const add = (found: readonly (RunRow | undefined)[]): void =>
          setPicked((before) => new Map([...before, ...found.flatMap((row): [number, RunRow][] => (row ? [[row.id, row]] : []))]));
        if (here.every((row) => row)) add(here);
        else void feed.between(rows.rootAt(first), rows.rootAt(last)).then(add);
        return;
      }
      setAnchor(at);
      const row = rows.rowAt(at)?.row;
      if (!row) return;
      setPicked((before) => {
        const next = new Map(before);
        if (!next.delete(row.id)) next.set(row.id, row);
        return next;
      });
    },
    [anchor, rows, feed],
  );
  const pickAll = (): void => {
    if (picked.size >= state.total) return setPicked(NONE);
    void feed.all().then((all) => setPicked(new Map(all.map((row) => [row.id, row]))));
  };
  const fold = useCallback(
    (row: RunRow, open: boolean): void => {
      if (!open) {
        setChildren((before) => new Map([...before].filter(([id]) => id !== row.id)));
        return;
      }
      void feed.children(row.id).then((found) => setChildren((before) => new Map([...before, [row.id, found]])));
    },
    [feed],
  );
  const pickedIds = useMemo(() => new Set(picked.keys()), [picked]);
  const openRow = useCallback((row: RunRow) => openRuns([row.id]), [openRuns]);
  const openIds = useCallback((ids: number[]) => openRuns(ids), [openRuns]);
  const hasChildren = folds || [...state.rows.values()].some((row) => row.parent_id !== null || row.children > 0);

  return (
    <div
      className="mls mls-run-table"
      ref={setScreen}
      data-lm-suppress-shortcuts="true"
      // A notebook takes keys for commands of its own.
      onKeyDown={(event) => event.stopPropagation()}
    >
      <div className="mls-run-tools">
        <FilterBox
          filter={view.filter}
          onFilter={(filter) => {
            setView({ filter });
            setPicked(NONE);
          }}
          columns={state.columns}
          problem={state.filterProblem}
          place={props.place}
        />
        <div className="mls-segments" role="tablist" aria-label="How the runs are shown">
          {MODES.map(([mode, title]) => (
            <button key={mode} type="button" role="tab" aria-selected={view.mode === mode} onClick={() => setView({ mode })}>
              {title}
            </button>
          ))}
        </div>
        {view.mode === "table" && (
          <ColumnPicker
            columns={known}
            shown={names}
            onShown={(columns) => setView({ columns })}
            onUsual={() => setView({ columns: null, widths: {} })}
          />
        )}
        {view.mode === "table" && hasChildren && (
          <label className="mls-toggle" title="Show child runs below their parents">
            <input type="checkbox" checked={folds} onChange={(event) => setView({ folds: event.target.checked })} />
            Fold children
          </label>
        )}
      </div>
      {state.problem && <ProblemBanner problem={state.problem} retry={() => feed.retry()} />}
      <div className="mls-run-line-above" hidden={view.mode !== "table" && picked.size === 0}>
        {picked.size > 0 ? (
          <RunActions connection={connection} picked={picked} onCompare={openRuns} onClear={() => setPicked(NONE)} />
        ) : (
          <span className="mls-muted mls-number" role="status">
            {!state.loaded ? (
              "Fetching…"
            ) : state.total < state.matching ? (
              <>
                The first {count(state.total)} of {runCount(state.matching)}.{" "}
                <button type="button" className="mls-link" onClick={() => setView({ limit: null })}>
                  Show all
                </button>
              </>
            ) : (
              `${runCount(state.total)}${view.filter && !state.filterProblem ? " match" : ""}`
            )}
          </span>
        )}
      </div>
      {view.mode !== "table" ? (
        <AllRuns connection={connection} mode={view.mode} query={query} known={known} picked={pickedIds} openRuns={openIds} total={state.total} />
      ) : state.loaded && state.total === 0 ? (
        <p className="mls-muted mls-centered mls-empty">
          {view.filter ? "No run matches the filter." : "No runs yet. Start one with %mlship train PROJECT, or log one with lab.start_run()."}
        </p>
      ) : (
        <RunGrid
          total={rows.total}
          rowAt={rows.rowAt}
          columns={shown}
          widths={view.widths}
          nameWidth={view.widths.name ?? NAME_PX}
          sort={view.sort}
          picked={pickedIds}
          waiting={state.waiting}
          onShow={show}
          onSort={(column, adds) => setView({ sort: nextSort(view.sort, column, adds) })}
          onWidth={(column, width) => setView({ widths: { ...view.widths, [column]: width } })}
          onPick={pick}
          onPickAll={pickAll}
          onOpen={openRow}
          onFold={fold}
          height={props.height ?? "min(70vh, 520px)"}
        />
      )}
    </div>
  );
}

/** All runs of the filter in one picture. */
function AllRuns(props: {
  connection: Connection;
  mode: "parallel" | "scatter";
  query: RunQuery;
  known: Column[];
  picked: ReadonlySet<number>;
  openRuns: (runIds: number[]) => void;
  total: number;
}): ReactNode {
  const { rows, problem, ask } = useRuns(props.connection, props.query, props.total);
  if (problem) return <ProblemBanner problem={problem} retry={() => ask([])} />;
  const View = props.mode === "parallel" ? ParallelCoordinates : Scatter;
  return <View rows={rows} columns={props.known} picked={props.picked} onColumns={ask} onOpen={props.openRuns} />;
}

function unknown(name: string): Column {
  return { name, title: name, kind: "metric", type: "number", width: 96, min: null, max: null, runs: 0 };
}
