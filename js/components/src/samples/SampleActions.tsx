import { kindOf, type Project } from "@modelship-lab/core";
import { useState, type ReactNode } from "react";
import { Banner } from "../Banner";
import { counted } from "../format";

/** A decision about the selected samples that waits for a yes. */
export interface Proposal {
  /** "Label 4,120 samples as spam" */
  title: string;
  count: number;
}

export interface SampleActionsProps {
  project: Project;
  amount: number;
  /** Everything that the filter means is selected. */
  everything: boolean;
  proposal: Proposal | null;
  busy: boolean;
  failed: string | null;
  onLabel: (name: string) => void;
  onSkip: () => void;
  onFlag: () => void;
  onQueue: (detail: string) => void;
  onSave: (name: string) => void;
  onYes: () => void;
  onNo: () => void;
  onClear: () => void;
  onSeen: () => void;
}

/** What can be done with the samples that are selected. */
export function SampleActions(props: SampleActionsProps): ReactNode {
  const { project, amount, proposal, busy } = props;
  const [asked, setAsked] = useState<"queue" | "save" | null>(null);
  const [words, setWords] = useState("");
  const single = ["label", "labels"].includes(kindOf(project));
  const ask = (what: "queue" | "save" | null): void => {
    setWords("");
    setAsked(what);
  };
  return (
    <div className="mls-actions" role="region" aria-label="Selected samples">
      <strong className="mls-number">
        {props.everything ? `All ${counted(amount, "sample")} of the filter` : counted(amount, "sample")} selected
      </strong>
      {proposal ? (
        <>
          <span role="alert">{proposal.title}?</span>
          <button type="button" className="mls-button mls-button-primary" disabled={busy || proposal.count === 0} onClick={props.onYes}>
            {proposal.title} <kbd className="mls-key">Enter</kbd>
          </button>
          <button type="button" className="mls-button" disabled={busy} onClick={props.onNo}>
            Cancel <kbd className="mls-key">Esc</kbd>
          </button>
        </>
      ) : asked ? (
        <form
          className="mls-actions-tag"
          onSubmit={(event) => {
            event.preventDefault();
            if (asked === "queue") props.onQueue(words.trim());
            else props.onSave(words.trim());
            ask(null);
          }}
        >
          <input
            className="mls-input"
            aria-label={asked === "queue" ? "Why somebody should look at them" : "Name of the selection"}
            placeholder={asked === "queue" ? "why (may be left out)" : "name"}
            maxLength={200}
            autoFocus
            value={words}
            onChange={(event) => setWords(event.target.value)}
            onKeyDown={(event) => {
              event.stopPropagation();
              if (event.key === "Escape") ask(null);
            }}
          />
          <button type="submit" className="mls-button mls-button-primary" disabled={busy || (asked === "save" && !words.trim())}>
            {asked === "queue" ? `Send ${counted(amount, "sample")} to the queue` : `Save ${counted(amount, "sample")}`}
          </button>
          <button type="button" className="mls-button" onClick={() => ask(null)}>
            Cancel
          </button>
        </form>
      ) : (
        <>
          {single && (
            <select
              aria-label="Label the selected samples as"
              value=""
              disabled={busy}
              onChange={(event) => event.target.value && props.onLabel(event.target.value)}
            >
              <option value="">Label as…</option>
              {project.classes.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          )}
          <button type="button" className="mls-button" disabled={busy} onClick={props.onSkip}>
            Skip <kbd className="mls-key">S</kbd>
          </button>
          <button type="button" className="mls-button" disabled={busy} onClick={props.onFlag}>
            Flag <kbd className="mls-key">F</kbd>
          </button>
          <button type="button" className="mls-button" disabled={busy} onClick={() => ask("queue")}>
            Send to the queue…
          </button>
          <button type="button" className="mls-button" disabled={busy} onClick={() => ask("save")}>
            Save selection as…
          </button>
          <button type="button" className="mls-link" onClick={props.onClear}>
            Clear
          </button>
        </>
      )}
      {props.failed && (
        <Banner kind="error" action={{ label: "OK", run: props.onSeen }}>
          {props.failed}
        </Banner>
      )}
    </div>
  );
}
