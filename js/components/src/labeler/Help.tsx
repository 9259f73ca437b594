import { useEffect, useRef, type ReactNode } from "react";
import { MANY_CLASSES } from "./ClassList";

/** All keys at a glance, over the labeler. */
export function Help(props: { classes: string[]; keys: string[][]; close: () => void }): ReactNode {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current?.focus(), []);
  const chord = props.keys.findIndex((own) => own.length === 2);
  const digits = props.keys.some((own) => own[0] === "0");
  return (
    <div className="mls-overlay" onClick={props.close}>
      <div
        className="mls-help"
        role="dialog"
        aria-modal="true"
        aria-label="Keys of the labeler"
        onClick={(event) => event.stopPropagation()}
      >
        <h3>Keys</h3>
        <dl>
          <Row keys={[digits ? "0" : "1", "–", "9"]}>Choose the class with this digit</Row>
          {chord >= 0 && (
            <Row keys={props.keys[chord]!.map((key) => key.toUpperCase())}>
              Choose a class beyond the ninth: its letter, then its digit. These choose “{props.classes[chord]}”.
            </Row>
          )}
          {props.classes.length > MANY_CLASSES && <Row keys={["/"]}>Find a class by its name</Row>}
          <Row keys={["Space"]}>Accept the suggestion</Row>
          <Row keys={["S"]}>Skip: leave it undecided</Row>
          <Row keys={["F"]}>Flag: set it aside to look at it later</Row>
          <Row keys={["U"]}>Undo, also Ctrl+Z; again goes further back</Row>
          <Row keys={["?"]}>Show or hide this help</Row>
        </dl>
        <p className="mls-muted">
          Every decision is on screen at once and saved in the background. Keys work while the labeler has the focus;
          click it once.
        </p>
        <button ref={button} type="button" className="mls-button mls-button-primary" onClick={props.close}>
          Close
        </button>
      </div>
    </div>
  );
}

function Row(props: { keys: string[]; children: ReactNode }): ReactNode {
  return (
    <div>
      <dt>
        {props.keys.map((key, index) =>
          key === "–" ? (
            <span key={index}>–</span>
          ) : (
            <kbd key={index} className="mls-key">
              {key}
            </kbd>
          ),
        )}
      </dt>
      <dd>{props.children}</dd>
    </div>
  );
}
