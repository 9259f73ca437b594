import { useState, type KeyboardEvent, type ReactNode } from "react";

/** What is about to be said of a sample besides its label. */
export type RemarkKind = "skip" | "flag" | "note";

const TITLES: Record<RemarkKind, string> = {
  skip: "Why is this sample skipped?",
  flag: "Why is this sample flagged?",
  note: "A note about this sample",
};
const LONGEST = 10_000;

/** A field for a note or a reason; reasons to choose from have the digits as keys while the field is empty. */
export function Remark(props: {
  kind: RemarkKind;
  reasons: readonly string[];
  start: string;
  done: (text: string) => void;
  leave: () => void;
}): ReactNode {
  const { kind } = props;
  const [text, setText] = useState(props.start);
  const reasons = kind === "skip" ? props.reasons : [];

  const press = (event: KeyboardEvent<HTMLTextAreaElement>): void => {
    if (event.nativeEvent.isComposing) return;
    const reason = text === "" && /^[1-9]$/.test(event.key) ? reasons[Number(event.key) - 1] : undefined;
    if (reason !== undefined) props.done(reason);
    else if (event.key === "Enter" && !event.shiftKey) props.done(text.trim());
    else return;
    event.preventDefault();
  };

  return (
    <div role="dialog" aria-label={TITLES[kind]}>
      <form
        className="mls-remark"
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.preventDefault();
          props.leave();
        }}
        onSubmit={(event) => {
          event.preventDefault();
          props.done(text.trim());
        }}
      >
        <strong>{TITLES[kind]}</strong>
        {reasons.length > 0 && (
          <div className="mls-reasons">
            {reasons.map((reason, index) => (
              <button key={reason} type="button" className="mls-button" onClick={() => props.done(reason)}>
                {index < 9 && <kbd className="mls-key">{index + 1}</kbd>} {reason}
              </button>
            ))}
          </div>
        )}
        <textarea
          className="mls-input"
          aria-label={TITLES[kind]}
          placeholder={reasons.length > 0 ? "A digit, or another reason" : undefined}
          rows={2}
          maxLength={LONGEST}
          value={text}
          // The reader has just asked for it.
          ref={(element) => {
            if (element && document.activeElement !== element && !element.dataset.shown) {
              element.dataset.shown = "true";
              element.focus();
            }
          }}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={press}
        />
        <div className="mls-remark-actions">
          <button type="submit" className="mls-button mls-button-primary">
            {kind === "note" ? "Save" : kind === "skip" ? "Skip" : "Flag"} <kbd className="mls-key">Enter</kbd>
          </button>
          <button type="button" className="mls-button" onClick={props.leave}>
            Cancel <kbd className="mls-key">Esc</kbd>
          </button>
        </div>
      </form>
    </div>
  );
}
