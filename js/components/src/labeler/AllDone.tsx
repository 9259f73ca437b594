import type { LabelingSession, LabelingSource } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { count, counted } from "../format";
import { useStore } from "../useStore";
import { SOURCES } from "./Sources";

/** What is on screen when no sample is left. */
export function AllDone({ session }: { session: LabelingSession }): ReactNode {
  const { progress, source, order, project } = useStore(session.store);
  if (progress && progress.total === 0) {
    return (
      <div className="mls-done">
        <h3>This project has no samples yet</h3>
        <p className="mls-muted">
          Import some with <code>%mlship import {project?.name} FILE</code>; they appear here by themselves.
        </p>
      </div>
    );
  }
  const aside: [LabelingSource, number][] =
    source === "queue" && progress
      ? [
          ["skipped", progress.skipped],
          ["flagged", progress.flagged],
        ]
      : [];
  const reviewed = source === "queue" && order === "below_threshold";
  const held = source === "queue" && !reviewed ? (progress?.unlabeled ?? 0) : 0;
  return (
    <div className="mls-done">
      <div className="mls-done-mark" aria-hidden="true">
        ✓
      </div>
      <h3>
        {source !== "queue"
          ? `Nothing is left: ${SOURCES[source]}`
          : reviewed
            ? "No suggestion is below its threshold any more"
            : held > 0
              ? "Nothing is left for you"
              : "Everything is labeled"}
      </h3>
      <p className="mls-muted">
        {held > 0 && `Others have the last ${counted(held, "sample")} in hand. `}
        New samples appear here by themselves.
      </p>
      <div className="mls-done-actions">
        {source !== "queue" && (
          <button type="button" className="mls-button" onClick={() => session.restart("queue")}>
            Back to the queue
          </button>
        )}
        {aside.map(
          ([status, amount]) =>
            amount > 0 && (
              <button key={status} type="button" className="mls-button" onClick={() => session.restart(status)}>
                Look at the {count(amount)} {status}
              </button>
            ),
        )}
      </div>
    </div>
  );
}
