import type { Run } from "./records";

/** One trial of a sweep. */
export interface Trial {
  /** From 1, in the order in which they began. */
  number: number;
  run: Run;
  /** `pruned` says more than that it was stopped. */
  status: Run["status"] | "pruned";
  /** Null unless it ran to its end and has one. */
  value: number | null;
}

/** What is known of a sweep by its run and those of its trials. */
export interface SweepSummary {
  metric: string;
  isMax: boolean;
  /** How many trials there will be; null: as many as the time allows. */
  planned: number | null;
  /** The parameters that differ between trials. */
  names: string[];
  /** Those with a value first, the best on top. */
  trials: Trial[];
  best: Trial | null;
  ended: number;
  /** How long the trials that are left will take, if that can be told. */
  remaining_s: number | null;
  /** Number, value and best value so far of the trials with a value. */
  course: { number: number; value: number; best: number }[];
}

/** Whether a run is that of a sweep, whose trials are its children. */
export function isSweep({ params, tags }: Run): boolean {
  return tags.includes("sweep") && typeof params.metric === "string" && typeof params.space === "object" && params.space !== null;
}

/** Null when the run is no sweep's. */
export function summarizeSweep(sweep: Run, runs: readonly Run[]): SweepSummary | null {
  if (!isSweep(sweep)) return null;
  const { mode, trials: planned, parallel } = sweep.params;
  const { metric, space } = sweep.params as { metric: string; space: object };
  const isMax = mode === "max";
  const begun = [...runs].sort((a, b) => a.id - b.id).map((run, place): Trial => {
    const value = run.status === "finished" ? (run.summary[metric] ?? null) : null;
    return { number: place + 1, run, status: run.tags.includes("pruned") ? "pruned" : run.status, value };
  });
  const course: SweepSummary["course"] = [];
  for (const { number, value } of begun) {
    if (value === null) continue;
    const before = course.at(-1)?.best ?? value;
    course.push({ number, value, best: isMax ? Math.max(value, before) : Math.min(value, before) });
  }
  const trials = [...begun].sort((a, b) => {
    if (a.value === null || b.value === null) return Number(a.value === null) - Number(b.value === null) || a.number - b.number;
    return (isMax ? b.value - a.value : a.value - b.value) || a.number - b.number;
  });
  const took_s = begun.flatMap(({ run }) => (run.ended_at ? [(Date.parse(run.ended_at) - Date.parse(run.started_at)) / 1000] : []));
  // One that failed or was interrupted is no end of what was planned.
  const done = begun.filter(({ run, status }) => run.status === "finished" || status === "pruned").length;
  const goal = typeof planned === "number" ? planned : null;
  const mean_s = took_s.reduce((sum, one) => sum + one, 0) / Math.max(1, took_s.length);
  const goesOn = sweep.ended_at === null && goal !== null && took_s.length > 0;
  return {
    metric,
    isMax,
    planned: goal,
    names: Object.entries(space)
      .filter(([, values]) => typeof values === "object" && values !== null)
      .map(([name]) => name),
    trials,
    best: trials.find(({ value }) => value !== null) ?? null,
    ended: done,
    remaining_s: goesOn ? (Math.max(0, goal - done) * mean_s) / Math.max(1, Number(parallel) || 1) : null,
    course,
  };
}
