import { Backoff } from "./backoff";
import { asLabError, type Connection, type LabError, type Query } from "./connection";
import { PageWindow, placed } from "./page_window";
import type { Page, Sample, SampleFilter } from "./records";
import { Store } from "./store";

/** Somewhat more than is seen at once. */
export const SAMPLE_PAGE = 100;
/** So much of a long text comes with a page: more of it nobody sees in a row. */
export const SAMPLE_PREVIEW = 400;
/** The most that the server gives at once. */
const WHOLE_PAGE = 1000;
/** Many events in a row are one look. */
const AFTER_EVENT_MS = 600;
/** Where no events come. */
const POLL_MS = 5000;

/** Which samples, in which order: a column of `SampleOrder`, with `-` before one that goes down. */
export interface SampleQuery {
  filter: SampleFilter;
  sort: string;
}

export interface SampleFeedState {
  /** Samples by their position; those that were not looked at, or long ago, are not there. */
  samples: ReadonlyMap<number, Sample>;
  /** How many the filter means. */
  total: number;
  /** Whether anything has come yet. */
  loaded: boolean;
  /** Whether the samples of another query are on their way. */
  waiting: boolean;
  problem: LabError | null;
}

/** A filter as query parameters; what says nothing is left out. */
export function filterQuery(filter: SampleFilter): Query {
  return { ...filter, search: filter.search?.trim() || null };
}

/**
 * The samples of a project that a filter means, as far as they are looked at: sorted and cut into pages by the server,
 * and renewed when the lab tells of a change.
 */
export class SampleFeed {
  readonly store = new Store<SampleFeedState>({ samples: new Map(), total: 0, loaded: false, waiting: true, problem: null });
  private readonly window = new PageWindow(SAMPLE_PAGE);
  /** Grows when all is asked for anew, so that answers of before are known for such. */
  private generation = 0;
  private fetching = false;
  private active = true;
  private closed = false;
  private soon: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff(1000);
  private readonly stopListening: () => void;

  constructor(
    private readonly connection: Connection,
    private readonly projectId: number,
    private query: SampleQuery,
  ) {
    this.stopListening = connection.subscribe(`project:${projectId}`, () => {
      this.soon ??= setTimeout(() => {
        this.soon = undefined;
        void this.renew();
      }, AFTER_EVENT_MS);
    });
    void this.renew();
  }

  /** Other samples or another order. Those that are there stay until the new ones come. */
  ask(query: SampleQuery): void {
    if (JSON.stringify(query) === JSON.stringify(this.query)) return;
    this.query = query;
    this.window.restart();
    this.store.set({ waiting: true });
    void this.renew();
  }

  /** Has the samples at these positions fetched, if they are not there. */
  show(first: number, last: number): void {
    this.window.show(first, last);
    void this.fetchSeen();
  }

  /** The ids of the samples at these positions, fetched where they are not there. */
  async between(first: number, last: number): Promise<number[]> {
    const { samples } = this.store.get();
    const places = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    if (places.every((place) => samples.has(place))) return places.map((place) => samples.get(place)!.id);
    const ids: number[] = [];
    for (let offset = first; offset <= last; offset += WHOLE_PAGE) {
      const page = await this.request(offset, Math.min(WHOLE_PAGE, last + 1 - offset));
      ids.push(...page.items.map((sample) => sample.id));
    }
    return ids;
  }

  /** A grid that nobody sees asks for nothing. */
  setActive(active: boolean): void {
    if (active === this.active) return;
    this.active = active;
    clearTimeout(this.timer);
    if (active) void this.renew();
  }

  /** Fetches what is looked at, and forgets the rest: positions may be others than they were. */
  async renew(): Promise<void> {
    if (this.closed || !this.active) return;
    const generation = ++this.generation;
    clearTimeout(this.timer);
    try {
      const pages = await Promise.all(this.window.pages().map((page) => this.request(page * SAMPLE_PAGE)));
      if (this.closed || generation !== this.generation) return;
      this.backoff.reset();
      this.store.set({
        samples: new Map(pages.flatMap(placed)),
        total: pages.at(-1)!.total,
        loaded: true,
        waiting: false,
        problem: null,
      });
      // It was scrolled meanwhile.
      void this.fetchSeen();
      if (!this.connection.live) this.timer = setTimeout(() => void this.renew(), POLL_MS);
    } catch (error) {
      if (generation === this.generation) this.failed(asLabError(error));
    }
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.soon);
    this.stopListening();
  }

  /** Fetches what is seen and not there, one page after the other: what is scrolled past meanwhile is not asked for. */
  private async fetchSeen(): Promise<void> {
    if (this.fetching) return;
    this.fetching = true;
    for (let page = this.missing(); page !== undefined; page = this.missing()) {
      const generation = this.generation;
      try {
        const answer = await this.request(page * SAMPLE_PAGE);
        if (!this.closed && generation === this.generation) this.add(answer);
      } catch (error) {
        if (generation !== this.generation) continue;
        this.failed(asLabError(error));
        break;
      }
    }
    this.fetching = false;
  }

  private missing(): number | undefined {
    const { loaded, samples, total } = this.store.get();
    if (this.closed || !loaded) return undefined;
    return this.window.missing(samples, total);
  }

  private add(answer: Page<Sample>): void {
    this.store.set({ samples: this.window.extended(this.store.get().samples, answer), total: answer.total, problem: null });
  }

  private request(offset: number, limit = SAMPLE_PAGE): Promise<Page<Sample>> {
    const { filter, sort } = this.query;
    return this.connection.request("GET", `projects/${this.projectId}/samples`, {
      query: { ...filterQuery(filter), sort, limit, offset, preview: SAMPLE_PREVIEW },
    });
  }

  private failed(error: LabError): void {
    if (this.closed) return;
    this.store.set({ problem: error, waiting: false });
    if (!error.final) this.timer = setTimeout(() => void this.renew(), this.backoff.next());
  }
}
