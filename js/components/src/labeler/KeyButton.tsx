import type { ReactNode } from "react";

/** A button that shows its key. */
export function KeyButton(props: {
  name: string;
  keyName: string;
  disabled: boolean;
  primary?: boolean;
  run: () => void;
  /** Does it with a reason; its key is the same with Shift. */
  why?: () => void;
}): ReactNode {
  const button = (
    <button
      type="button"
      className={props.primary ? "mls-button mls-button-primary" : "mls-button"}
      disabled={props.disabled}
      aria-keyshortcuts={props.keyName}
      onClick={props.run}
    >
      {props.name} <kbd className="mls-key">{props.keyName}</kbd>
    </button>
  );
  if (!props.why) return button;
  return (
    <span className="mls-button-pair">
      {button}
      <button
        type="button"
        className="mls-button"
        disabled={props.disabled}
        aria-keyshortcuts={`Shift+${props.keyName}`}
        aria-label={`${props.name} with a reason`}
        title={`${props.name} with a reason (Shift+${props.keyName})`}
        onClick={props.why}
      >
        …
      </button>
    </span>
  );
}
