import type { Run, RunRow } from "../src/index";

/** A row of the table of runs. */
export const runRow = (id: number, change: Partial<RunRow> = {}): RunRow => ({
  id,
  name: `run ${id}`,
  status: "finished",
  project: "spam",
  recipe: "",
  group: "",
  parent_id: null,
  children: 0,
  tags: [],
  started_at: "2026-01-01T00:00:00Z",
  ended_at: null,
  duration_s: 1,
  values: {},
  ...change,
});

/** A trial of a sweep, with what the sweep's views read of a run. */
export const trialRun = (id: number, change: Partial<Run> = {}): Run =>
  ({
    id,
    name: `first #${id}`,
    project: "spam",
    recipe: "",
    status: "finished",
    params: {},
    tags: [],
    summary: {},
    error: "",
    stop_requested: false,
    started_at: "2026-01-01T00:00:00Z",
    ended_at: "2026-01-01T00:00:04Z",
    ...change,
  }) as Run;
