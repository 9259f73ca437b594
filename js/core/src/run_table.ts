import { Backoff } from "./backoff";
import { asLabError, LabError, type Connection, type Query } from "./connection";
import { PageWindow, placed } from "./page_window";
import type { FilterProblem, RunColumn, RunQuery, RunRow, RunRows } from "./run_rows";
import type { Page } from "./records";
import { Store } from "./store";

/** Somewhat more than is seen at once: a longer page would take longer to come, and the drawing waits while it is parsed. */
export const RUN_PAGE = 100;
/** The most rows that the server gives at once. */
const WHOLE_PAGE = 1000;
/** Many events in a row are one look. */
const AFTER_EVENT_MS = 600;
/** The figures of a run that goes on change without an event. */
const POLL_MS = 4000;

export interface RunTableState {
  /** Rows by their position; those that were not looked at, or long ago, are not there. */
  rows: ReadonlyMap<number, RunRow>;
  /** How many rows there are in all. */
  total: number;
  /** How many runs the filter lets through, of which a limit may leave some out. */
  matching: number;
  /** Whether anything has come yet. */
  loaded: boolean;
  /** Whether the rows of another query are on their way. */
  waiting: boolean;
  columns: readonly RunColumn[];
  problem: LabError | null;
  filterProblem: FilterProblem | null;
}

function mostOf(query: RunQuery): number {
  return query.limit ?? Infinity;
}

function queryOf(query: RunQuery, limit: number, offset: number): Query {
  return {
    project: query.project,
    filter: query.filter.trim() || null,
    sort: query.sort,
    columns: query.columns,
    limit: Math.min(limit, mostOf(query) - offset),
    offset,
  };
}

/** What the server says of a filter, or null when it complains of something else. */
export function filterProblem(error: LabError): FilterProblem | null {
  const detail = error.details.find((one) => one.field === "filter");
  if (!detail) return null;
  const place = detail.offset ?? detail.column ?? detail.place;
  const message = typeof detail.reason === "string" ? detail.reason : error.message;
  return { message, place: typeof place === "number" ? place : null };
}

/** All rows of a query, however many pages they are. */
export async function allRuns(connection: Connection, query: RunQuery, most = 20_000): Promise<RunRow[]> {
  const ask = (offset: number): Promise<RunRows> =>
    connection.request<RunRows>("GET", "runs/table", { query: queryOf(query, WHOLE_PAGE, offset) });
  const first = await ask(0);
  const size = Math.max(first.items.length, 1);
  const offsets: number[] = [];
  for (let offset = size; offset < Math.min(first.total, most, mostOf(query)) && first.items.length > 0; offset += size) offsets.push(offset);
  const rest = await Promise.all(offsets.map(ask));
  // A run that came in meanwhile moves others from one page to the next.
  const byId = new Map([first, ...rest].flatMap((page) => page.items).map((row) => [row.id, row]));
  return [...byId.values()];
}

/**
 * The rows of a table of runs, as far as they are looked at: sorted, filtered and cut into pages by the
 * server, and renewed when the lab tells of a change.
 */
export class RunTableFeed {
  readonly store = new Store<RunTableState>({
    rows: new Map(),
    total: 0,
    matching: 0,
    loaded: false,
    waiting: true,
    columns: [],
    problem: null,
    filterProblem: null,
  });
  private query: RunQuery;
  /** The query whose rows are there: another one than `query` while that one is on its way or has a mistake. */
  private shown: RunQuery;
  private readonly window = new PageWindow(RUN_PAGE);
  /** Grows when rows are asked for anew and when they come, so that answers of before are known for such. */
  private generation = 0;
  private fetching = false;
  private closed = false;
  private active = true;
  private soon: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff(1000);
  private readonly stopListening: () => void;

  constructor(
    private readonly connection: Connection,
    query: RunQuery,
  ) {
    this.query = this.shown = query;
    this.stopListening = connection.subscribe("*", (message) => {
      if (message.type === "event" && !message.event.type.startsWith("run.")) return;
      this.soon ??= setTimeout(() => {
        this.soon = undefined;
        void this.renew(true);
      }, AFTER_EVENT_MS);
    });
    void this.renew(true);
  }

  /** Other runs, another order or other columns. The rows that are there stay until the new ones come. */
  ask(query: RunQuery): void {
    if (JSON.stringify(query) === JSON.stringify(this.query)) return;
    const otherRows =
      query.filter !== this.query.filter ||
      query.project !== this.query.project ||
      query.limit !== this.query.limit ||
      String(query.sort) !== String(this.query.sort);
    const otherProject = query.project !== this.query.project;
    this.query = query;
    if (otherRows) this.window.restart();
    this.store.set({ waiting: true });
    void this.renew(otherProject);
  }

  /** Has the rows at these positions fetched, if they are not there. */
  show(first: number, last: number): void {
    this.window.show(first, last);
    void this.fetchSeen();
  }

  /** The rows at these positions, fetched where they are not there. */
  async between(first: number, last: number): Promise<RunRow[]> {
    const { rows } = this.store.get();
    const found: RunRow[] = [];
    for (let place = first; place <= last; place++) {
      const row = rows.get(place);
      if (!row) {
        const query = { ...this.shown, columns: [] };
        return (await allRuns(this.connection, query, last + 1)).slice(first, last + 1);
      }
      found.push(row);
    }
    return found;
  }

  /** All rows of the filter. */
  all(columns: readonly string[] = []): Promise<RunRow[]> {
    return allRuns(this.connection, { ...this.shown, columns });
  }

  /** The children of a run, the oldest first. */
  children(runId: number): Promise<RunRow[]> {
    const query = { ...this.shown, filter: `parent_id == ${runId}`, sort: ["id"], limit: null };
    return allRuns(this.connection, query);
  }

  /** A table that nobody sees asks for nothing. */
  setActive(active: boolean): void {
    if (active === this.active) return;
    this.active = active;
    clearTimeout(this.timer);
    if (active) void this.renew(true);
  }

  retry(): void {
    this.backoff.reset();
    void this.renew(true);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.soon);
    this.stopListening();
  }

  /** Fetches what is looked at, and forgets the rest: positions may be others than they were. */
  private async renew(withColumns: boolean): Promise<void> {
    if (this.closed || !this.active) return;
    const generation = ++this.generation;
    clearTimeout(this.timer);
    const pages = this.window.pages();
    const query = this.query;
    try {
      const [columns, ...answers] = await Promise.all([
        withColumns
          ? this.connection.request<Page<RunColumn>>("GET", "runs/columns", { query: { project: this.query.project } })
          : null,
        ...pages.map((page) => this.request(query, page)),
      ]);
      if (this.closed || generation !== this.generation) return;
      this.generation++;
      this.shown = query;
      this.backoff.reset();
      this.store.set({
        rows: new Map(answers.flatMap(placed)),
        ...amounts(query, answers.at(-1)!),
        ...(columns ? { columns: columns.items } : {}),
        loaded: true,
        waiting: false,
        problem: null,
        filterProblem: null,
      });
      // It was scrolled meanwhile.
      void this.fetchSeen();
      this.wait();
    } catch (error) {
      if (generation === this.generation) this.failed(asLabError(error));
    }
  }

  /** Fetches what is seen and not there, one page after the other: what is scrolled past meanwhile is not asked for. */
  private async fetchSeen(): Promise<void> {
    if (this.fetching) return;
    this.fetching = true;
    for (let page = this.missing(); page !== undefined; page = this.missing()) {
      const generation = this.generation;
      try {
        const answer = await this.request(this.shown, page);
        if (!this.closed && generation === this.generation) this.add(answer);
      } catch (error) {
        // When all was renewed meanwhile, it is asked for once more, if it is still missing.
        if (generation !== this.generation) continue;
        this.failed(asLabError(error));
        break;
      }
    }
    this.fetching = false;
  }

  private missing(): number | undefined {
    const { loaded, rows, total } = this.store.get();
    if (this.closed || !loaded) return undefined;
    return this.window.missing(rows, total);
  }

  private add(answer: RunRows): void {
    this.store.set({ rows: this.window.extended(this.store.get().rows, answer), ...amounts(this.shown, answer), problem: null });
  }

  private request(query: RunQuery, page: number): Promise<RunRows> {
    return this.connection.request<RunRows>("GET", "runs/table", { query: queryOf(query, RUN_PAGE, page * RUN_PAGE) });
  }

  private failed(error: LabError): void {
    if (this.closed) return;
    const wrong = filterProblem(error);
    // What is there goes on to be renewed.
    if (wrong) this.query = { ...this.query, filter: this.shown.filter };
    this.store.set(wrong ? { filterProblem: wrong, waiting: false } : { problem: error, waiting: false });
    if (!wrong && !error.final) this.later(this.backoff.next());
  }

  private wait(): void {
    const { rows } = this.store.get();
    const goesOn = [...rows.values()].some((row) => row.status === "running");
    if (goesOn || !this.connection.live) this.later(POLL_MS);
  }

  private later(wait_ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.renew(!this.connection.live), wait_ms);
  }
}

function amounts(query: RunQuery, { total }: RunRows): { total: number; matching: number } {
  return { total: Math.min(total, mostOf(query)), matching: total };
}
