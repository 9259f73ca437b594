/**
 * What the API sends and takes, as its documentation names it.
 *
 * Times are ISO 8601 in UTC without a zone. A value that is not finite arrives as null: JSON has no word for it.
 */

export interface Account {
  id: number;
  email: string | null;
  username: string;
  is_active: boolean;
  is_superuser: boolean;
  created_at: string;
  updated_at: string;
}

export interface Project {
  id: number;
  name: string;
  description: string;
  owner_id: number;
  is_public: boolean;
  created_at: string;
  updated_at: string;
}

export interface NewProject {
  name: string;
  description?: string;
  is_public?: boolean;
}

export type ProjectChange = Partial<NewProject>;

export type RunStatus = "running" | "completed" | "failed" | "stopped";

export interface RunRecord {
  id: number;
  name: string;
  project_id: number | null;
  status: RunStatus;
  config: Record<string, unknown>;
  tags: string[];
  started_at: string;
  ended_at: string | null;
  created_at: string;
  updated_at: string;
}

export interface NewRun {
  name: string;
  config?: Record<string, unknown>;
  tags?: readonly string[];
}

export interface RunChange extends Partial<NewRun> {
  status?: RunStatus;
  ended_at?: string;
}

export interface Metric {
  id: number;
  run_id: number;
  name: string;
  value: number | null;
  step: number;
  timestamp: string;
}

export interface NewMetric {
  name: string;
  value: number;
  step?: number;
}

export interface MetricBatch {
  metrics: Record<string, number>;
  step?: number;
}

export interface MetricHistory {
  name: string;
  values: (number | null)[];
  steps: number[];
  timestamps: string[];
}

export interface MetricSummary {
  name: string;
  current_value: number | null;
  min_value: number | null;
  max_value: number | null;
  mean_value: number | null;
  total_points: number;
}

/** What a watched run says. */
export type RunMessage =
  | ({ type: "metric" } & Omit<Metric, "id">)
  | { type: "run"; run_id: number; status: RunStatus }
  | { type: "deleted"; run_id: number }
  /** More was logged at once than this connection takes: it is in `manager.metrics`. */
  | { type: "gap"; run_id: number }
  /** The connection was away: what was logged meanwhile is in `manager.metrics`. */
  | { type: "reconnected"; run_id: number };
