import type { Purpose, QueuedSample } from "@modelship-lab/core";
import type { ReactNode } from "react";

/** What a decision is asked for, unless it is just the next sample. */
const ASKED: Record<Exclude<Purpose, "label">, [title: string, what: string]> = {
  overlap: ["Second opinion", "Somebody else judges it, too"],
  review: ["Review", "Is this label right?"],
  adjudication: ["Disagreement", "Decide which label counts"],
  audit: ["Audit", "A model has labeled it; judge for yourself"],
  repeat: ["Once more", "You have judged it before; judge it anew"],
  gold: ["Check", "The answer is known; judge for yourself"],
  error: ["Suspected error", "Is this label right?"],
  request: ["Requested", "Somebody asked for it"],
};

/** Which sample this is, why it is this one, and what was noted about it. */
export function Why(props: { sample: QueuedSample | null; edit: () => void }): ReactNode {
  const { sample } = props;
  if (!sample) return <div className="mls-why" />;
  const purpose = sample.purpose ?? "label";
  // Whoever knew that the answer is known would not judge as usual.
  const asked = purpose === "label" || purpose === "gold" ? null : ASKED[purpose];
  return (
    <div className="mls-why">
      {asked && <span className="mls-badge mls-badge-busy">{asked[0]}</span>}
      <span className="mls-why-reason" dir="auto">
        {purpose === "gold" ? "" : sample.reason || asked?.[1]}
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
