import type { RunColumn, RunRow, RunValue, SweepSummary } from "@modelship-lab/core";
import { allColumns, type Column } from "../runs/columns";

/** The trials of a sweep as rows of a table of runs: what was swept, and what came of it. */
export function trialRows({ trials, names, metric }: SweepSummary): RunRow[] {
  return trials.map(({ run, value }) => {
    const end_ms = run.ended_at ? Date.parse(run.ended_at) : Date.now();
    const params = names.map((name): [string, RunValue] => [`params.${name}`, plain(run.params[name])]);
    return {
      ...run,
      duration_s: (end_ms - Date.parse(run.started_at)) / 1000,
      values: { ...Object.fromEntries(params), [`summary.${metric}`]: value },
    };
  });
}

/** The columns that these rows have. */
export function trialColumns({ names, metric }: SweepSummary, rows: readonly RunRow[]): Column[] {
  const column = (kind: "param" | "summary", name: string): RunColumn => {
    const values = rows.map((row) => row.values[name] ?? null).filter((value) => value !== null);
    const figures = values.filter((value) => typeof value === "number");
    const isNumber = figures.length === values.length && figures.length > 0;
    return {
      name,
      kind,
      type: isNumber ? "number" : "text",
      runs: values.length,
      min: isNumber ? Math.min(...figures) : null,
      max: isNumber ? Math.max(...figures) : null,
    };
  };
  return allColumns([...names.map((name) => column("param", `params.${name}`)), column("summary", `summary.${metric}`)]);
}

function plain(value: unknown): RunValue {
  if (value === null || value === undefined) return null;
  return typeof value === "number" || typeof value === "string" || typeof value === "boolean" ? value : JSON.stringify(value);
}
