import type { DeploymentStatus, JobStatus, Run, RunStatus } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { figure, percent } from "../format";

/** What a run, a trial of a sweep, a deployment or a job can be. */
type Status = RunStatus | DeploymentStatus | JobStatus | "stopping" | "pruned";

const TONES: Record<Status, string> = {
  running: "busy",
  stopping: "warn",
  finished: "good",
  failed: "bad",
  stopped: "warn",
  interrupted: "bad",
  unreachable: "warn",
  pruned: "warn",
  waiting: "plain",
  cancelled: "warn",
  starting: "busy",
  ready: "good",
};

/** The status of a run, deployment or job as a colored word. */
export function StatusBadge({ status }: { status: Status }): ReactNode {
  return (
    <span className={`mls-badge mls-badge-${TONES[status]}`} title={status}>
      <span className="mls-dot" aria-hidden="true" />
      {status}
    </span>
  );
}

const SHARE = /(^|_)(accuracy|acc|f1|precision|recall|auc|auroc)$/i;

/** A metric's name as it is read: "test macro F1". */
export function metricName(name: string): string {
  return name.replaceAll("_", " ").replace(/\bf1\b/g, "F1");
}

/** A summary figure: shares as percent, others with their leading digits. */
export function summaryFigure(name: string, value: number): string {
  return SHARE.test(name) && value >= 0 && value <= 1 ? percent(value) : figure(value);
}

const MAIN = [
  "test_accuracy", "accuracy", "val_accuracy", "test_macro_f1", "val_f1", "test_mae", "test_r2", "test_loss", "val_loss",
];

/** The figure by which a run is judged, if it has one. */
export function mainFigure(run: Run): { name: string; value: number } | null {
  const name = MAIN.find((known) => known in run.summary) ?? Object.keys(run.summary)[0];
  return name === undefined ? null : { name, value: run.summary[name]! };
}

/** Summary figures in the order in which they matter. */
export function summaryEntries(run: Run): [string, number][] {
  const rank = (name: string): number => (MAIN.indexOf(name) + 1 || MAIN.length + 1) + (name.startsWith("test_") ? 0 : 20);
  return Object.entries(run.summary).sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

/** What a run is called on screen. */
export function runTitle(run: Run): string {
  return run.name || run.recipe || `run ${run.id}`;
}
