import { Backoff } from "./backoff";
import { asLabError, type Connection, type LabError, type LiveMessage } from "./connection";
import type { Deployment, DeploymentMetrics, ModelVersion, PredictInput, Prediction, WindowMetrics } from "./records";
import { Store } from "./store";

/** How many seconds are shown. */
export const WINDOW_S = 300;
const POLL_MS = 2000;

export interface DeploymentFeedState {
  deployment: Deployment | null;
  /** The model version that is served, with its bundle's manifest; null where it cannot be read. */
  version: ModelVersion | null;
  /** One entry a second, oldest first, at most `WINDOW_S`. */
  windows: WindowMetrics[];
  problem: LabError | null;
}

/** One deployment as it serves: its record, and what it did in each of the last seconds. */
export class DeploymentFeed {
  readonly store = new Store<DeploymentFeedState>({ deployment: null, version: null, windows: [], problem: null });
  private closed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff();
  private readonly stopListening: () => void;

  constructor(
    private readonly connection: Connection,
    readonly deploymentId: number,
  ) {
    this.stopListening = connection.subscribe(`deployment:${deploymentId}`, (message) => this.hear(message));
    void this.fetchAll();
  }

  /** Asks the deployed model. @throws LabError */
  predict(data: PredictInput, explain: boolean): Promise<Prediction> {
    return this.connection.request<Prediction>("POST", `deployments/${this.deploymentId}/predict`, {
      body: { data, explain },
    });
  }

  retry(): void {
    this.backoff.reset();
    void this.fetchAll();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.stopListening();
  }

  private async fetchAll(): Promise<void> {
    if (this.closed) return;
    clearTimeout(this.timer);
    const path = `deployments/${this.deploymentId}`;
    try {
      const [deployment, metrics] = await Promise.all([
        this.connection.request<Deployment>("GET", path),
        this.connection.request<DeploymentMetrics>("GET", `${path}/metrics`, { query: { window_s: WINDOW_S } }),
      ]);
      if (this.closed) return;
      this.backoff.reset();
      this.store.set({ deployment, windows: metrics.series.slice(-WINDOW_S), problem: null });
      void this.fetchVersion(deployment.model);
      if (!this.connection.live || deployment.status === "starting") this.later(POLL_MS);
    } catch (error) {
      if (this.closed) return;
      const problem = asLabError(error);
      this.store.set({ problem });
      if (!problem.final) this.later(this.backoff.next());
    }
  }

  private later(wait_ms: number): void {
    this.timer = setTimeout(() => void this.fetchAll(), wait_ms);
  }

  private async fetchVersion(model: string): Promise<void> {
    const { version } = this.store.get();
    if (version && `${version.model}/${version.version}` === model) return;
    const slash = model.lastIndexOf("/");
    const path = `models/${encodeURIComponent(model.slice(0, slash))}/versions/${model.slice(slash + 1)}`;
    try {
      const found = await this.connection.request<ModelVersion>("GET", path);
      if (!this.closed) this.store.set({ version: found });
    } catch (error) {
      if (!this.closed) this.store.set({ problem: asLabError(error) });
    }
  }

  private hear(message: LiveMessage): void {
    if (message.type === "deployment") this.addWindow(message.window);
    else void this.fetchAll();
  }

  private addWindow(window: WindowMetrics): void {
    const { windows } = this.store.get();
    const newest = windows.at(-1);
    if (newest && newest.time >= window.time) return;
    this.store.set({ windows: [...windows, window].slice(-WINDOW_S) });
  }
}
