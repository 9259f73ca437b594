import type { Connection, MetricsMessage } from "./connection";
import { MetricSeries, type Axis, type Range } from "./metric_series";
import { byNameOf, sameContext, Shelf } from "./metric_shelf";
import type { Context, Metrics, MetricSummary, Page, SeriesPoints } from "./records";

/** At most so many points are fetched for a stretch that is zoomed into. */
const ZOOM_POINTS = 2000;
const ZOOM_WAIT_MS = 120;
/** What has become stale is fetched at most so often. */
const REFETCH_MS = 1000;
/** So many series are listed before somebody asks for all of them, and then at once. */
const LISTED_AT_FIRST = 2000;
const LISTED_AT_ONCE = 20_000;
const NAMES_A_REQUEST = 20;
/** An address longer than about 8 kB is refused on the way. */
const LETTERS_A_REQUEST = 4000;
/** So many metrics stay in the page although nobody looks at them. */
const KEPT = 200;
const EARLY_MESSAGES = 1000;

export interface MetricFeedOptions {
  /** Into so many ranges a longer series is reduced. */
  points: number;
  /** Called when the catalog, its newest figures or `busy` changed. */
  changed: () => void;
  failed: (error: unknown) => void;
}

/**
 * The metrics of one run, each fetched when somebody watches it and followed live from there.
 *
 * A metric that missed a message is fetched again. While a stretch is zoomed into, its points are fetched beside
 * the whole series, which stays.
 */
export class MetricFeed {
  /** What is known of each series, by name. Changed in place. */
  readonly catalog = new Map<string, MetricSummary[]>();
  /** How many series the server has beyond those in the catalog. */
  unlisted = 0;
  /** The newest step of what trains, without the figures of its machine. */
  newestStep = 0;
  /** Whether the points of a stretch are on their way. */
  busy = false;
  axis: Axis = "step";
  range: Range | null = null;

  private whole: Shelf;
  private stretch: Shelf | null = null;
  /** What is drawn until the points of a new stretch are here. */
  private before: Shelf | null = null;
  private readonly watchers = new Map<string, Set<() => void>>();
  private early: MetricsMessage[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private refetched_at = -Infinity;
  private listing: Promise<void> | null = null;
  /** How many of the server's series were listed. */
  private offset = 0;
  private closed = false;

  constructor(
    private readonly connection: Connection,
    private readonly runId: number,
    private readonly options: MetricFeedOptions,
  ) {
    this.whole = new Shelf(this.axis, null, options.points);
  }

  /** Calls `changed` whenever the points of a metric did, until the returned function is called. */
  watch(name: string, changed: () => void): () => void {
    const group = this.watchers.get(name) ?? new Set();
    this.watchers.set(name, group.add(changed));
    const kept = this.whole.loaded.get(name);
    if (kept) {
      // To the end of the line of those that are forgotten first.
      this.whole.loaded.delete(name);
      this.whole.loaded.set(name, kept);
    }
    if (this.shelves().some((shelf) => shelf.isMissing(name))) this.fetchSoon(0);
    return () => {
      group.delete(changed);
      if (group.size === 0 && this.watchers.get(name) === group) this.watchers.delete(name);
    };
  }

  /** The series of a metric as they are to be drawn: of the stretch as soon as it is here. */
  series(name: string): readonly MetricSeries[] {
    const near = this.stretch?.loaded.get(name);
    if (near) return near.series;
    // Zooming in from one stretch to another shows what is there of the first.
    if (this.range && this.before && covers(this.before.range!, this.range)) {
      const there = this.before.loaded.get(name);
      if (there) return there.series;
    }
    return this.whole.loaded.get(name)?.series ?? [];
  }

  /** The series of a metric from their first point to their last. */
  wholeSeries(name: string): readonly MetricSeries[] {
    return this.whole.loaded.get(name)?.series ?? [];
  }

  /** The newest value of a series; null if it is no number, or not known. */
  last(name: string, context: Context): number | null {
    return this.catalog.get(name)?.find((one) => sameContext(one.context, context))?.last ?? null;
  }

  /** Orders all series by another axis. */
  setAxis(axis: Axis): void {
    if (axis === this.axis) return;
    this.axis = axis;
    this.range = null;
    for (const shelf of this.shelves()) shelf.abort.abort();
    this.whole = new Shelf(axis, null, this.options.points);
    this.stretch = this.before = null;
    this.setBusy(false);
    this.tell(this.watchers.keys());
    this.fetchSoon(0);
  }

  /** Fetches the points of a stretch of the axis, once nothing else is asked for; null is the whole again. */
  zoom(range: Range | null): void {
    if (range?.start === this.range?.start && range?.end === this.range?.end) return;
    this.range = range;
    this.stretch?.abort.abort();
    this.before = range && this.stretch && this.stretch.loaded.size > 0 ? this.stretch : range && this.before;
    this.stretch = range && new Shelf(this.axis, range, ZOOM_POINTS);
    this.setBusy(range !== null && this.watchers.size > 0);
    this.tell(this.watchers.keys());
    clearTimeout(this.timer);
    this.timer = undefined;
    this.fetchSoon(range ? ZOOM_WAIT_MS : 0);
  }

  /** Asks for everything again that somebody watches: messages may have been missed. */
  async refresh(): Promise<void> {
    for (const shelf of this.shelves()) for (const name of shelf.loaded.keys()) shelf.stale.add(name);
    clearTimeout(this.timer);
    this.timer = undefined;
    await Promise.all([this.list(), this.fetch()]);
  }

  /** Completes the catalog. */
  async listAll(): Promise<void> {
    while (this.unlisted > 0 && !this.closed) {
      await this.listing;
      const before = this.unlisted;
      await this.list(this.offset, LISTED_AT_ONCE);
      if (this.unlisted >= before) return;
    }
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    for (const shelf of this.shelves()) shelf.abort.abort();
    this.watchers.clear();
  }

  follow(message: MetricsMessage): void {
    if (this.shelves().some((shelf) => shelf.fetching.size > 0)) {
      if (this.early.length === EARLY_MESSAGES) this.early.shift();
      this.early.push(message);
    }
    this.note(message.series);
    const byName = byNameOf(message);
    const moved = new Set<string>();
    for (const shelf of this.shelves()) {
      for (const name of shelf.loaded.keys()) if (shelf.append(name, message, byName)) moved.add(name);
    }
    this.tell(moved);
    this.fetchStale();
  }

  /** Keeps the catalog's newest figures. */
  private note(series: readonly SeriesPoints[]): void {
    for (const { name, context, steps, values } of series) {
      const last_step = steps.at(-1);
      if (last_step === undefined) continue;
      const known = this.catalog.get(name) ?? [];
      const before = known.find((one) => sameContext(one.context, context));
      const summary = { name, context, last: values.at(-1) ?? null, last_step, count: (before?.count ?? 0) + steps.length };
      this.add(summary);
    }
    this.options.changed();
  }

  private add(summary: MetricSummary): void {
    const known = this.catalog.get(summary.name);
    const place = known?.findIndex((one) => sameContext(one.context, summary.context)) ?? -1;
    if (!known) this.catalog.set(summary.name, [summary]);
    else if (place < 0) known.push(summary);
    else if (known[place]!.last_step <= summary.last_step) known[place] = summary;
    if (!summary.name.startsWith("system/")) this.newestStep = Math.max(this.newestStep, summary.last_step);
  }

  private list(offset = 0, limit = LISTED_AT_FIRST): Promise<void> {
    this.listing ??= this.listPage(offset, limit).finally(() => (this.listing = null));
    return this.listing;
  }

  private async listPage(offset: number, limit: number): Promise<void> {
    const path = `runs/${this.runId}/metrics/summary`;
    const page = await this.connection.request<Page<MetricSummary>>("GET", path, { query: { limit, offset } });
    for (const summary of page.items) this.add(summary);
    this.offset = Math.max(this.offset, offset + page.items.length);
    this.unlisted = Math.max(0, page.total - this.offset);
    this.options.changed();
  }

  private shelves(): Shelf[] {
    return this.stretch ? [this.stretch, this.whole] : [this.whole];
  }

  private fetchSoon(wait_ms: number): void {
    if (this.closed) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.fetch().catch(this.options.failed);
    }, wait_ms);
  }

  private fetchStale(): void {
    if (this.shelves().every((shelf) => shelf.stale.size === 0)) return;
    this.fetchSoon(Math.max(0, this.refetched_at + REFETCH_MS - Date.now()));
  }

  private async fetch(): Promise<void> {
    await Promise.all(this.shelves().map((shelf) => this.fill(shelf)));
  }

  /** Fetches what is watched and missing on a shelf. */
  private async fill(shelf: Shelf): Promise<void> {
    const names = [...this.watchers.keys()].filter((name) => shelf.isMissing(name));
    if (shelf.stale.size > 0) this.refetched_at = Date.now();
    for (const name of shelf.stale) if (!this.watchers.has(name)) shelf.loaded.delete(name);
    shelf.stale.clear();
    for (const name of names) shelf.fetching.add(name);
    const { signal } = shelf.abort;
    try {
      await Promise.all(chunksOf(names).map((chunk) => this.fetchNames(shelf, chunk)));
    } catch (error) {
      // What was taken back is missed by nobody.
      if (!signal.aborted) throw error;
    } finally {
      for (const name of names) shelf.fetching.delete(name);
      if (this.shelves().every((one) => one.fetching.size === 0)) this.early = [];
      if (shelf === this.stretch) this.setBusy(false);
    }
  }

  private async fetchNames(shelf: Shelf, names: string[]): Promise<void> {
    const { range, points, abort } = shelf;
    const metrics = await this.connection.request<Metrics>("GET", `runs/${this.runId}/metrics`, {
      query: { names, x: this.axis === "step" ? null : this.axis, max_points: points, start: range?.start, end: range?.end },
      signal: abort.signal,
    });
    if (abort.signal.aborted || this.closed) return;
    for (const name of names) {
      const series = metrics.series
        .filter((one) => one.name === name)
        .map((one) => new MetricSeries(name, one.context, this.axis, points, one));
      shelf.loaded.set(name, { sequence: metrics.sequence, series });
      shelf.fetching.delete(name);
      for (const message of this.early) shelf.append(name, message, byNameOf(message));
    }
    shelf.forget((name) => this.watchers.has(name), KEPT);
    this.tell(names);
    this.fetchStale();
  }

  private setBusy(busy: boolean): void {
    this.busy = busy;
    this.options.changed();
  }

  private tell(names: Iterable<string>): void {
    for (const name of [...names]) for (const changed of [...(this.watchers.get(name) ?? [])]) changed();
  }
}

function covers(outer: Range, inner: Range): boolean {
  return outer.start <= inner.start && outer.end >= inner.end;
}

/** Names in portions that an address can hold. */
function chunksOf(names: readonly string[]): string[][] {
  const chunks: string[][] = [];
  let letters = Infinity;
  for (const name of names) {
    const length = encodeURIComponent(name).length;
    if (letters + length > LETTERS_A_REQUEST || chunks.at(-1)!.length === NAMES_A_REQUEST) {
      chunks.push([]);
      letters = 0;
    }
    chunks.at(-1)!.push(name);
    letters += length;
  }
  return chunks;
}
