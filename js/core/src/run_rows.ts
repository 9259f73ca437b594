import type { RunStatus } from "./records";

/** What a run has in a column: a figure, a text, a yes or no, or nothing. */
export type RunValue = number | string | boolean | null;

/** A parameter, metric or final figure that some runs have. */
export interface RunColumn {
  /** As it is asked for and sorted by: `params.lr`, `metrics.loss`, `summary.accuracy`. */
  name: string;
  kind: "param" | "metric" | "summary";
  type: "number" | "text" | "bool";
  /** How many runs have it. */
  runs: number;
  min: number | null;
  max: number | null;
}

/** One run as a row of the table; `values` by the names of the columns that were asked for. */
export interface RunRow {
  id: number;
  name: string;
  status: RunStatus;
  project: string | null;
  recipe: string;
  group: string;
  parent_id: number | null;
  /** How many runs it is the parent of. */
  children: number;
  tags: string[];
  started_at: string;
  ended_at: string | null;
  duration_s: number;
  values: Record<string, RunValue>;
}

export interface RunRows {
  items: RunRow[];
  total: number;
  limit: number;
  offset: number;
}

/** Which runs, in which order, with which columns. */
export interface RunQuery {
  /** A project's name; null for the runs of all. */
  project: string | null;
  /** A Python expression over the columns, empty for all runs. */
  filter: string;
  /** Columns, the most important first, with `-` before those that go down. */
  sort: readonly string[];
  columns: readonly string[];
  /** At most so many, the first of the order. */
  limit?: number | null;
}

/** What is wrong with a filter, and where. */
export interface FilterProblem {
  message: string;
  /** How many characters of the filter stand before the place; null when it has none. */
  place: number | null;
}
