import { Backoff } from "./backoff";
import { asLabError, type Connection, type LabError, type LiveMessage } from "./connection";
import type { Page, Run } from "./records";
import { Store } from "./store";

const PAGE = 500;
/** Many events in a row are one look. */
const AFTER_EVENT_MS = 400;
/** How often a page without a live socket asks. */
const POLL_MS = 2000;

export interface SweepFeedState {
  run: Run | null;
  trials: Run[];
  problem: LabError | null;
}

/** A sweep and its trials as they are made: asked again whenever something happened to a run. */
export class SweepFeed {
  readonly store = new Store<SweepFeedState>({ run: null, trials: [], problem: null });
  private closed = false;
  private fetching = false;
  private again = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff();
  private readonly stopListening: (() => void)[];

  constructor(
    private readonly connection: Connection,
    readonly runId: number,
  ) {
    const hear = (message: LiveMessage): void => {
      const other = message.type === "event" && !message.event.topic.startsWith("run:");
      if (other || message.type === "metrics" || this.store.get().run?.ended_at) return;
      this.later(AFTER_EVENT_MS);
    };
    // Of trials that are still to come nobody knows the numbers.
    this.stopListening = ["*", `run:${runId}`].map((topic) => connection.subscribe(topic, hear));
    void this.fetchAll();
  }

  retry(): void {
    this.backoff.reset();
    void this.fetchAll();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    for (const stop of this.stopListening) stop();
  }

  private later(wait_ms: number): void {
    this.timer ??= setTimeout(() => void this.fetchAll(), wait_ms);
  }

  private async fetchAll(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.closed) return;
    if (this.fetching) {
      this.again = true;
      return;
    }
    this.fetching = true;
    try {
      // The sweep first: once it has ended, all its trials have.
      const run = await this.connection.request<Run>("GET", `runs/${this.runId}`);
      const trials = await this.fetchTrials();
      if (this.closed) return;
      this.backoff.reset();
      this.store.set({ run, trials, problem: null });
      if (!this.connection.live && !run.ended_at) this.later(POLL_MS);
    } catch (error) {
      if (this.closed) return;
      const problem = asLabError(error);
      this.store.set({ problem });
      if (!problem.final) this.later(this.backoff.next());
    } finally {
      this.fetching = false;
    }
    if (this.again) {
      this.again = false;
      this.later(AFTER_EVENT_MS);
    }
  }

  private async fetchTrials(): Promise<Run[]> {
    const trials: Run[] = [];
    for (;;) {
      const query = { parent_id: this.runId, limit: PAGE, offset: trials.length };
      const page = await this.connection.request<Page<Run>>("GET", "runs", { query });
      trials.push(...page.items);
      if (page.items.length === 0 || trials.length >= page.total) return trials;
    }
  }
}
