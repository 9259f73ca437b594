import { Backoff } from "./backoff";
import { asLabError, type Connection, type LabError } from "./connection";
import type { Deployment, DeploymentMetrics, Job, Page, Progress, Project, Run, WindowMetrics } from "./records";
import { Store } from "./store";

/** Figures such as p95 change without an event, so it asks now and then all the same. */
const POLL_MS = 5000;
/** Many events in a row are one look. */
const AFTER_EVENT_MS = 800;
const SHOWN = 50;

export interface OverviewState {
  projects: Project[];
  progress: Record<number, Progress>;
  runs: Run[];
  deployments: Deployment[];
  /** The newest first. */
  jobs: Job[];
  /** What each ready deployment did in the last minute. */
  traffic: Record<number, WindowMetrics>;
  loaded: boolean;
  problem: LabError | null;
}

/** Everything in the lab at a glance; asks every few seconds while it is `active`. */
export class OverviewFeed {
  readonly store = new Store<OverviewState>({
    projects: [],
    progress: {},
    runs: [],
    deployments: [],
    jobs: [],
    traffic: {},
    loaded: false,
    problem: null,
  });
  private closed = false;
  private active = true;
  private fetching = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Projects whose progress is known and has not changed since. */
  private readonly counted = new Set<number>();
  private soon: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff(1000);
  private readonly stopListening: () => void;

  constructor(private readonly connection: Connection) {
    this.stopListening = connection.subscribe("*", (message) => {
      const project = message.type === "event" ? /^project:(\d+)$/.exec(message.event.topic)?.[1] : undefined;
      if (project) this.counted.delete(Number(project));
      else if (message.type === "reconnected") this.counted.clear();
      this.soon ??= setTimeout(() => {
        this.soon = undefined;
        void this.fetchAll();
      }, AFTER_EVENT_MS);
    });
    void this.fetchAll();
  }

  /** A panel that nobody sees asks for nothing. */
  setActive(active: boolean): void {
    if (active === this.active) return;
    this.active = active;
    clearTimeout(this.timer);
    if (active) void this.fetchAll();
  }

  retry(): void {
    this.backoff.reset();
    void this.fetchAll();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.soon);
    this.stopListening();
  }

  private async fetchAll(): Promise<void> {
    if (this.closed || !this.active || this.fetching) return;
    this.fetching = true;
    clearTimeout(this.timer);
    const query = { limit: SHOWN };
    let wait_ms = POLL_MS;
    try {
      const [projects, runs, deployments, jobs] = await Promise.all([
        this.connection.request<Page<Project>>("GET", "projects", { query }),
        this.connection.request<Page<Run>>("GET", "runs", { query }),
        this.connection.request<Page<Deployment>>("GET", "deployments"),
        this.connection.request<Page<Job>>("GET", "jobs", { query }),
      ]);
      if (!this.connection.live) this.counted.clear();
      const uncounted = projects.items.filter((project) => !this.counted.has(project.id));
      for (const project of uncounted) this.counted.add(project.id);
      const progress = await this.each(uncounted, (project) =>
        this.connection.request<Progress>("GET", `projects/${project.id}/progress`),
      );
      const traffic = await this.each(
        deployments.items.filter((deployment) => deployment.status === "ready"),
        async (deployment) => {
          const path = `deployments/${deployment.id}/metrics`;
          return (await this.connection.request<DeploymentMetrics>("GET", path, { query: { window_s: 60 } })).total;
        },
      );
      if (this.closed) return;
      this.backoff.reset();
      this.store.set({
        projects: projects.items,
        runs: runs.items,
        deployments: deployments.items,
        jobs: jobs.items,
        progress: { ...this.store.get().progress, ...progress },
        traffic,
        loaded: true,
        problem: null,
      });
    } catch (error) {
      wait_ms = this.backoff.next();
      this.counted.clear();
      this.store.set({ problem: asLabError(error) });
    } finally {
      this.fetching = false;
    }
    if (!this.closed && this.active) this.timer = setTimeout(() => void this.fetchAll(), wait_ms);
  }

  /** One answer for each item; an item that was deleted meanwhile is left out. */
  private async each<Item extends { id: number }, Answer>(
    items: Item[],
    ask: (item: Item) => Promise<Answer>,
  ): Promise<Record<number, Answer>> {
    const answers: Record<number, Answer> = {};
    await Promise.all(
      items.map(async (item) => {
        try {
          answers[item.id] = await ask(item);
        } catch (error) {
          if (asLabError(error).status !== 404) throw error;
        }
      }),
    );
    return answers;
  }
}
