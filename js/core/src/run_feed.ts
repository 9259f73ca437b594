import { Backoff } from "./backoff";
import { LabError, type Connection, type LiveMessage, type MetricsMessage } from "./connection";
import { MetricPoints } from "./points";
import type { Evaluation, Metrics, Run } from "./records";
import { Store } from "./store";

const MAX_POINTS = 1000;
/** How often a page without a live socket asks. */
const POLL_MS = 1500;

export interface RunFeedState {
  run: Run | null;
  metrics: ReadonlyMap<string, MetricPoints>;
  /** Grows with every change of `metrics`, whose arrays are changed in place. */
  revision: number;
  evaluation: Evaluation | null;
  problem: LabError | null;
  stopping: boolean;
}

/**
 * One run as it goes: its record and metrics from the server, then the deltas of the live socket.
 *
 * A delta that does not follow the newest batch known here is a gap: everything is fetched again.
 */
export class RunFeed {
  readonly store: Store<RunFeedState>;
  private metrics = new Map<string, MetricPoints>();
  private sequence: number | null = null;
  private early: MetricsMessage[] = [];
  private fetching = false;
  private again = false;
  private closed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private runTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff();
  private readonly stopListening: () => void;

  constructor(
    private readonly connection: Connection,
    readonly runId: number,
  ) {
    this.store = new Store<RunFeedState>({
      run: null,
      metrics: this.metrics,
      revision: 0,
      evaluation: null,
      problem: null,
      stopping: false,
    });
    this.stopListening = connection.subscribe(`run:${runId}`, (message) => this.hear(message));
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
    this.stopListening();
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
      const [run, metrics] = await Promise.all([
        this.connection.request<Run>("GET", `runs/${this.runId}`),
        this.connection.request<Metrics>("GET", `runs/${this.runId}/metrics`, { query: { max_points: MAX_POINTS } }),
      ]);
      if (this.closed) return;
      this.metrics = new Map(
        Object.entries(metrics.series).map(([name, series]) => [name, MetricPoints.from(series, MAX_POINTS)]),
      );
      this.sequence = metrics.sequence;
      this.backoff.reset();
      this.store.set({ problem: null });
      this.setRun(run);
      this.changed();
      const early = this.early;
      this.early = [];
      for (const message of early) this.follow(message);
      if (!this.connection.live && goesOn(run)) this.later(POLL_MS);
    } catch (error) {
      if (this.closed) return;
      const problem = asLabError(error);
      this.store.set({ problem });
      // A run that does not exist will not appear; a server that is away or a login will come back.
      if (problem.temporary || problem.signedOut) this.later(this.backoff.next());
    } finally {
      this.fetching = false;
    }
    if (this.again) {
      this.again = false;
      void this.fetchAll();
    }
  }

  private later(wait_ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.fetchAll(), wait_ms);
  }

  private hear(message: LiveMessage): void {
    if (message.type === "metrics") {
      if (this.sequence === null || this.fetching) this.early.push(message);
      else this.follow(message);
    } else if (message.type === "reconnected") {
      void this.fetchAll();
    } else if (message.type === "event") {
      // Several events in a row (summary, status) are one look at the run.
      this.runTimer ??= setTimeout(() => {
        this.runTimer = undefined;
        void this.fetchRun();
      }, 150);
    }
  }

  private follow(message: MetricsMessage): void {
    if (this.sequence === null || message.sequence <= this.sequence) return;
    if (message.gap || message.from !== this.sequence) {
      // Points are missing, or overlap with those here: only the server can tell which are new.
      void this.fetchAll();
      return;
    }
    for (const [name, points] of Object.entries(message.series)) {
      let series = this.metrics.get(name);
      if (!series) this.metrics.set(name, (series = new MetricPoints(MAX_POINTS)));
      series.append(points);
    }
    this.sequence = message.sequence;
    this.changed();
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
    const before = this.store.get();
    this.store.set({ run, stopping: goesOn(run) && (run.stop_requested || before.stopping) });
    if (!goesOn(run) && !before.evaluation) void this.fetchEvaluation();
  }

  private async fetchEvaluation(): Promise<void> {
    try {
      const evaluation = await this.connection.request<Evaluation>("GET", `runs/${this.runId}/evaluation`);
      if (!this.closed) this.store.set({ evaluation });
    } catch (error) {
      // A tracked cell has no evaluation, and that is no problem to report.
      if (asLabError(error).status !== 404 && !this.closed) this.store.set({ problem: asLabError(error) });
    }
  }

  private changed(): void {
    this.store.set({ metrics: this.metrics, revision: this.store.get().revision + 1 });
  }
}

export function asLabError(error: unknown): LabError {
  return error instanceof LabError ? error : new LabError(0, "UNREACHABLE", String(error));
}

/** Whether more may come of a run. */
function goesOn(run: Run): boolean {
  return run.status === "running" || run.status === "unreachable";
}
