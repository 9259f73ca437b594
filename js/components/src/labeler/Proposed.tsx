import { classesOf, type Proposal, type QueuedSample, type Value } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { counted, percent } from "../format";

const MOST_NAMED = 4;

/** A value in a few words. */
export function inWords(value: Value): string {
  if (value.label != null) return value.label;
  if (value.number != null) return String(value.number);
  if (value.spans) return counted(value.spans.length, "span");
  if (value.boxes) return counted(value.boxes.length, "box", "boxes");
  const classes = classesOf(value);
  if (classes.length === 0) return "no class";
  const more = classes.length - MOST_NAMED;
  return classes.slice(0, MOST_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** What can be taken over with the blank: the label that counts, or a suggestion. */
export function Proposed(props: {
  sample: QueuedSample | null;
  proposal: Proposal | null;
  /** Whether it is taken over already, and the blank saves it. */
  taken: boolean;
  accept: () => void;
}): ReactNode {
  const { sample, proposal } = props;
  if (!sample || !proposal) {
    return (
      <div className="mls-suggestion mls-suggestion-none">
        <span className="mls-muted">{sample && "No suggestion for this sample"}</span>
      </div>
    );
  }
  const { suggestion } = sample;
  const suggested = proposal.from === "suggestion" ? suggestion : null;
  return (
    <div className="mls-suggestion">
      <button type="button" className="mls-suggestion-button" onClick={props.accept}>
        <span className="mls-muted">{suggested ? "Suggestion" : "Present label"}</span>
        <strong dir="auto">{inWords(proposal.value)}</strong>
        {/* No model says how sure it is of a number. */}
        {suggested && suggested.number == null && (
          <>
            <span className="mls-meter" aria-hidden="true">
              <span style={{ width: `${suggested.confidence * 100}%` }} />
            </span>
            <span className="mls-number">{percent(suggested.confidence)}</span>
          </>
        )}
        <span className="mls-muted mls-source" title={suggestion ? `Suggested by ${suggestion.source}` : undefined}>
          {suggested?.source ?? (suggestion && `${suggestion.source} suggests ${inWords(suggestion)}`)}
        </span>
        {props.taken && <span className="mls-muted">saves</span>}
        <kbd className="mls-key">Space</kbd>
      </button>
    </div>
  );
}
