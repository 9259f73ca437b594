import type { LabelingSource, LabelingState } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { count } from "../format";

/** Where samples come from, in words. */
export const SOURCES: Record<LabelingSource, string> = {
  queue: "the queue",
  review: "labels to review",
  adjudication: "disagreements",
  error: "suspected errors",
  request: "requested samples",
  overlap: "second opinions",
  audit: "automatic labels to audit",
  repeat: "samples once more",
  gold: "samples with known answers",
  skipped: "skipped samples",
  flagged: "flagged samples",
};

/** Strewn among the others, so that nobody knows which they are. */
const UNKNOWN: ReadonlySet<LabelingSource> = new Set(["repeat", "gold"]);

/** Chooses where the samples come from, with how many there are. */
export function Sources(props: { state: LabelingState; choose: (source: LabelingSource) => void }): ReactNode {
  const { source, waiting, progress } = props.state;
  const amounts: Partial<Record<LabelingSource, number>> = {
    ...waiting,
    queue: progress?.unlabeled,
    skipped: progress?.skipped,
    flagged: progress?.flagged,
  };
  const all = Object.keys(SOURCES) as LabelingSource[];
  const offered = all.filter(
    (one) => one === "queue" || one === source || (!UNKNOWN.has(one) && (amounts[one] ?? 0) > 0),
  );
  return (
    <label className="mls-order">
      <span className="mls-muted">From</span>
      <select
        className="mls-input"
        value={source}
        onChange={(event) => props.choose(event.target.value as LabelingSource)}
      >
        {offered.map((one) => (
          <option key={one} value={one}>
            {SOURCES[one]}
            {amounts[one] !== undefined && ` (${count(amounts[one])})`}
          </option>
        ))}
      </select>
    </label>
  );
}
