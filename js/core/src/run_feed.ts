import { Backoff } from "./backoff";
import { asLabError, type Connection, type LabError, type LiveMessage } from "./connection";
import { MetricFeed } from "./metric_feed";
import type { Evaluation, Run } from "./records";
import { Store } from "./store";

/** How often a page without a live socket asks. */
const POLL_MS = 1500;
/** The newest figures are told at most so often; curves move by themselves. */
const TELL_MS = 500;
/** Several events in a row (summary, status) are one look at the run. */
const EVENT_MS = 150;

export interface RunFeedState {
  run: Run | null;
  /** Grows with every change of what the metrics' catalog says. */
  revision: number;
  /** Whether it is known which metrics there are. */
  listed: boolean;
  /** Whether the points of a stretch are on their way. */
  busy: boolean;
  evaluation: Evaluation | null;
  problem: LabError | null;
  stopping: boolean;
}

/** One run as it goes: its record from the server, renewed by events, and its metrics. */
export class RunFeed {
  readonly store: Store<RunFeedState>;
  readonly metrics: MetricFeed;
  private closed = false;
  private fetching = false;
  /** When the training ended whose evaluation is shown. */
  private evaluated: string | null = null;
  private again = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private runTimer: ReturnType<typeof setTimeout> | undefined;
  private tellTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff();
  private readonly stopListening: (() => void)[];

  /** @param points into so many ranges a longer series is reduced */
  constructor(
    private readonly connection: Connection,
    readonly runId: number,
    points = 700,
  ) {
    this.store = new Store<RunFeedState>({
      run: null,
      revision: 0,
      listed: false,
      busy: false,
      evaluation: null,
      problem: null,
      stopping: false,
    });
    this.metrics = new MetricFeed(connection, runId, {
      points,
      changed: () => this.catalogChanged(),
      failed: (error) => this.fail(error),
    });
    this.stopListening = [
      connection.subscribe(`run:${runId}`, (message) => this.hear(message)),
      // Of its children nobody knows the numbers before they are there.
      connection.subscribe("*", (message) => {
        if (message.type === "event" && message.event.payload.parent_id === runId) this.lookSoon();
      }),
    ];
    void this.fetchAll();
  }

  /** Asks the run to end at its next step, with a checkpoint. */
  async stop(): Promise<void> {
    this.store.set({ stopping: true });
    try {
      this.setRun(await this.connection.request<Run>("POST", `runs/${this.runId}/stop`));
    } catch (error) {
      this.store.set({ problem: asLabError(error), stopping: false });
    }
  }

  retry(): void {
    this.backoff.reset();
    void this.fetchAll();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.runTimer);
    clearTimeout(this.tellTimer);
    for (const stop of this.stopListening) stop();
    this.metrics.close();
  }

  private async fetchAll(): Promise<void> {
    if (this.closed) return;
    if (this.fetching) {
      this.again = true;
      return;
    }
    this.fetching = true;
    clearTimeout(this.timer);
    try {
      const [run] = await Promise.all([
        this.connection.request<Run>("GET", `runs/${this.runId}`),
        this.metrics.refresh(),
      ]);
      if (this.closed) return;
      this.backoff.reset();
      this.store.set({ problem: null, listed: true });
      this.setRun(run);
      if (!this.connection.live && goesOn(run)) this.later(POLL_MS);
    } catch (error) {
      this.fail(error);
    } finally {
      this.fetching = false;
    }
    if (this.again) {
      this.again = false;
      void this.fetchAll();
    }
  }

  private fail(error: unknown): void {
    if (this.closed) return;
    const problem = asLabError(error);
    this.store.set({ problem });
    if (!problem.final) this.later(this.backoff.next());
  }

  private later(wait_ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.fetchAll(), wait_ms);
  }

  private hear(message: LiveMessage): void {
    if (message.type === "metrics") {
      this.metrics.follow(message);
    } else if (message.type === "reconnected") {
      void this.fetchAll();
    } else if (message.type === "event") {
      this.lookSoon();
    }
  }

  private lookSoon(): void {
    this.runTimer ??= setTimeout(() => {
      this.runTimer = undefined;
      void this.fetchRun();
    }, EVENT_MS);
  }

  private async fetchRun(): Promise<void> {
    try {
      const run = await this.connection.request<Run>("GET", `runs/${this.runId}`);
      if (!this.closed) this.setRun(run);
    } catch (error) {
      if (!this.closed) this.store.set({ problem: asLabError(error) });
    }
  }

  private setRun(run: Run): void {
    const ended = goesOn(run) ? null : run.ended_at;
    const { stopping, evaluation } = this.store.get();
    // One that is gone on with is another model afterwards.
    const stands = ended === this.evaluated ? evaluation : null;
    this.evaluated = ended;
    this.store.set({ run, evaluation: stands, stopping: goesOn(run) && (run.stop_requested || stopping) });
    // Only what a recipe trained is evaluated.
    if (run.recipe && !goesOn(run) && !stands) void this.fetchEvaluation();
  }

  private async fetchEvaluation(): Promise<void> {
    const { evaluated } = this;
    try {
      const evaluation = await this.connection.request<Evaluation>("GET", `runs/${this.runId}/evaluation`);
      // It may have been gone on with meanwhile.
      if (!this.closed && evaluated === this.evaluated) this.store.set({ evaluation });
    } catch (error) {
      // A training that failed has no evaluation, and that is no problem to report.
      if (asLabError(error).status !== 404 && !this.closed) this.store.set({ problem: asLabError(error) });
    }
  }

  private catalogChanged(): void {
    const { metrics, store } = this;
    if (metrics.busy !== store.get().busy) store.set({ busy: metrics.busy });
    this.tellTimer ??= setTimeout(() => {
      this.tellTimer = undefined;
      store.set({ revision: store.get().revision + 1 });
    }, store.get().revision === 0 ? 0 : TELL_MS);
  }
}

/** Whether more may come of a run. */
function goesOn(run: Run): boolean {
  return run.status === "running" || run.status === "unreachable";
}
