import { AIManagerError } from "./errors.js";
import { Http, type CallOptions, type HttpOptions } from "./http.js";
import type {
  Account,
  Metric,
  MetricBatch,
  MetricHistory,
  MetricSummary,
  NewMetric,
  NewProject,
  NewRun,
  Project,
  ProjectChange,
  RunChange,
  RunMessage,
  RunRecord,
} from "./records.js";
import { Run } from "./run.js";
import { watch, type WatchOptions, type WebSocketClass } from "./watch.js";

const PAGE = 100;

export interface AIManagerOptions extends HttpOptions {
  /** The project of the runs; it is created with the first run when it is not there. */
  projectName: string;
  /** Default: that of `globalThis`. Node has one since version 22; before, give that of the package `ws`. */
  WebSocket?: WebSocketClass;
}

export interface PageOptions extends CallOptions {
  /** How many are left out at the beginning. */
  skip?: number;
  /** At most so many. */
  limit?: number;
}

/**
 * Tracks the runs of one project.
 *
 *     const manager = new AIManager({ projectName: "my_project", apiUrl, username, password });
 *     const run = await manager.run({ name: "training_run" });
 *     for (let epoch = 0; epoch < 100; epoch++) await run.log({ loss: 0.5, accuracy: 0.85 }, { step: epoch });
 *     await run.finish();
 */
export class AIManager {
  readonly projectName: string;
  readonly projects: Projects;
  readonly runs: Runs;
  readonly metrics: Metrics;
  private readonly http: Http;
  private readonly socketClass: WebSocketClass | undefined;
  private found: Promise<Project> | null = null;

  constructor(options: AIManagerOptions) {
    this.projectName = options.projectName;
    this.http = new Http(options);
    this.socketClass = options.WebSocket;
    this.projects = new Projects(this.http);
    this.runs = new Runs(this.http);
    this.metrics = new Metrics(this.http);
  }

  /** The account that the credential belongs to. */
  me(options?: CallOptions): Promise<Account> {
    return this.http.request("GET", "auth/me", options);
  }

  /** The project of the runs; created when it is not there. */
  project(options: CallOptions = {}): Promise<Project> {
    this.found ??= this.findProject(options).catch((error: unknown) => {
      this.found = null;
      throw error;
    });
    return this.found;
  }

  /** Starts a run that this program executes. */
  async run(run: Partial<NewRun> = {}, options: CallOptions = {}): Promise<Run> {
    const { id } = await this.project(options);
    return new Run(this.http, await this.runs.create(id, { name: "run", ...run }, options));
  }

  /**
   * Calls `listener` with each metric of a run and each change of its status, until the returned function is
   * called. A lost connection comes back by itself and is told of.
   */
  watch(runId: number, listener: (message: RunMessage) => void, options?: WatchOptions): () => void {
    const socketClass = this.socketClass ?? (globalThis.WebSocket);
    if (!socketClass) {
      throw new TypeError("There is no WebSocket here: give one to AIManager, e.g. that of the package 'ws'.");
    }
    return watch(this.http, socketClass, runId, listener, options);
  }

  private async findProject(options: CallOptions): Promise<Project> {
    const found = await this.ownProject(options);
    if (found) return found;
    try {
      return await this.projects.create({ name: this.projectName }, options);
    } catch (error) {
      // Another program may have created it in between.
      const now = error instanceof AIManagerError && error.status < 500 ? await this.ownProject(options) : undefined;
      if (now) return now;
      throw error;
    }
  }

  /** The account's own project: one of this name that somebody else has made public takes no runs of ours. */
  private async ownProject(options: CallOptions): Promise<Project | undefined> {
    const { id } = await this.me(options);
    for (let skip = 0; ; skip += PAGE) {
      const page = await this.projects.list({ ...options, skip, limit: PAGE });
      const own = page.find((project) => project.name === this.projectName && project.owner_id === id);
      if (own || page.length < PAGE) return own;
    }
  }
}

/** `/projects` */
export class Projects {
  constructor(private readonly http: Http) {}

  list({ signal, skip, limit }: PageOptions = {}): Promise<Project[]> {
    return this.http.request("GET", "projects/", { query: { skip, limit }, signal });
  }

  create(project: NewProject, { signal }: CallOptions = {}): Promise<Project> {
    return this.http.request("POST", "projects/", { body: project, signal });
  }

  get(id: number, { signal }: CallOptions = {}): Promise<Project> {
    return this.http.request("GET", `projects/${id}`, { signal });
  }

  /** Changes what is named; the rest stays as it is. */
  update(id: number, change: ProjectChange, { signal }: CallOptions = {}): Promise<Project> {
    return this.http.request("PUT", `projects/${id}`, { body: change, signal });
  }

  /** Deletes a project with its runs. */
  async delete(id: number, { signal }: CallOptions = {}): Promise<void> {
    await this.http.request("DELETE", `projects/${id}`, { signal });
  }
}

/** `/runs` */
export class Runs {
  constructor(private readonly http: Http) {}

  list({ signal, projectId, skip, limit }: PageOptions & { projectId?: number } = {}): Promise<RunRecord[]> {
    return this.http.request("GET", "runs/", { query: { project_id: projectId, skip, limit }, signal });
  }

  create(projectId: number, run: NewRun, { signal }: CallOptions = {}): Promise<RunRecord> {
    return this.http.request("POST", "runs/", { query: { project_id: projectId }, body: run, signal });
  }

  get(id: number, { signal }: CallOptions = {}): Promise<RunRecord> {
    return this.http.request("GET", `runs/${id}`, { signal });
  }

  /** Changes what is named; the rest stays as it is. */
  update(id: number, change: RunChange, { signal }: CallOptions = {}): Promise<RunRecord> {
    return this.http.request("PUT", `runs/${id}`, { body: change, signal });
  }

  async delete(id: number, { signal }: CallOptions = {}): Promise<void> {
    await this.http.request("DELETE", `runs/${id}`, { signal });
  }
}

/** `/metrics` */
export class Metrics {
  constructor(private readonly http: Http) {}

  /** Stores one point, and is done when it is stored. In a training loop `run.log` is quicker. */
  log(runId: number, metric: NewMetric, { signal }: CallOptions = {}): Promise<Metric> {
    return this.http.request("POST", `metrics/${runId}`, { body: metric, signal });
  }

  /** Stores the values of one step. */
  async logBatch(runId: number, batch: MetricBatch, { signal }: CallOptions = {}): Promise<void> {
    await this.http.request("POST", `metrics/${runId}/batch`, { body: batch, signal });
  }

  list(runId: number, { signal, metricName, skip, limit }: PageOptions & { metricName?: string } = {}): Promise<Metric[]> {
    return this.http.request("GET", `metrics/${runId}`, { query: { metric_name: metricName, skip, limit }, signal });
  }

  history(runId: number, metricName: string, { signal }: CallOptions = {}): Promise<MetricHistory> {
    return this.http.request("GET", `metrics/${runId}/history/${encodeURIComponent(metricName)}`, { signal });
  }

  summary(runId: number, { signal }: CallOptions = {}): Promise<MetricSummary[]> {
    return this.http.request("GET", `metrics/${runId}/summary`, { signal });
  }
}
