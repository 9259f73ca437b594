import type { Purpose, QueuedSample } from "@modelship-lab/core";
import type { ReactNode } from "react";

/** What a decision is asked for. Whoever knew that the answer is known, or his own, would not judge as usual. */
const ASKED: Partial<Record<Purpose, string>> = {
  overlap: "Second opinion",
  review: "Review",
  adjudication: "Disagreement",
  error: "Suspected error",
  request: "Requested",
};

/** Which sample this is, why it is this one, and what was noted about it. */
export function Why(props: { sample: QueuedSample | null; edit: () => void }): ReactNode {
  const { sample } = props;
  if (!sample) return <div className="mls-why" />;
  const purpose = sample.purpose ?? "label";
  const asked = ASKED[purpose];
  return (
    <div className="mls-why">
      {asked && <span className="mls-badge mls-badge-busy">{asked}</span>}
      <span className="mls-why-reason" dir="auto" title={sample.detail}>
        {sample.reason}
        {sample.detail && <span className="mls-muted"> · {sample.detail}</span>}
      </span>
      {sample.note && (
        <button type="button" className="mls-note" title="Change this note (N)" onClick={props.edit}>
          <span aria-hidden="true">✎</span> <span dir="auto">{sample.note}</span>
        </button>
      )}
      <span className="mls-muted mls-why-name" title={sample.name ?? undefined}>
        Sample {sample.id}
        {sample.name && <> · {sample.name}</>}
        {sample.status !== "unlabeled" && purpose === "label" && <> · {sample.status}</>}
      </span>
    </div>
  );
}
