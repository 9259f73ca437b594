import type { Kind } from "@modelship-lab/core";
import { useEffect, useRef, type ReactNode } from "react";
import { MANY_CLASSES } from "./ClassList";

/** All keys at a glance, over the labeler. */
export function Help(props: { classes: string[]; keys: string[][]; kind: Kind; close: () => void }): ReactNode {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current?.focus(), []);
  const chord = props.keys.findIndex((own) => own.length === 2);
  const digits = props.keys.some((own) => own[0] === "0");
  const draws = props.kind === "spans" || props.kind === "boxes";
  return (
    <div className="mls-overlay" onClick={props.close}>
      <div
        className="mls-help"
        role="dialog"
        aria-modal="true"
        aria-label="Keys of the labeler"
        onClick={(event) => event.stopPropagation()}
        // What lies behind it is not to be reached; Escape closes it.
        onKeyDown={(event) => event.key === "Tab" && event.preventDefault()}
      >
        <h3>Keys</h3>
        <dl>
          {props.kind === "number" ? (
            <Row keys={["0", "–", "9", ".", "-"]}>Type the number; Backspace takes the last character back</Row>
          ) : (
            <Row keys={[digits ? "0" : "1", "–", "9"]}>
              {props.kind === "labels" ? "Choose the class with this key, or take it back" : "Choose the class with this key"}
            </Row>
          )}
          {chord >= 0 && (
            <Row keys={props.keys[chord]!.map((key) => key.toUpperCase())}>
              Choose a class with two keys, one after the other. These choose “{props.classes[chord]}”.
            </Row>
          )}
          {props.classes.length > MANY_CLASSES && <Row keys={["/"]}>Find a class by its name</Row>}
          {props.kind === "spans" && (
            <>
              <Row keys={["←", "→"]}>Choose a word</Row>
              <Row keys={["Shift", "→"]}>A word more, or ← less; with Ctrl a letter. Also of a span that Tab has chosen</Row>
              <Row keys={["Ctrl", "Shift", "→"]}>The beginning by a letter; with Alt and Shift by a word</Row>
              <Row keys={["1", "–", "9"]}>Make what is chosen a span, or give a span another class</Row>
            </>
          )}
          {props.kind === "boxes" && (
            <>
              <Row keys={["←", "→"]}>Move the box; with Shift make it larger or smaller; with Ctrl in large steps</Row>
              <Row keys={["1", "1"]}>A class’s key once more puts a box into the middle</Row>
              <Row keys={["+", "-", "0"]}>Larger, smaller, all of it</Row>
            </>
          )}
          {draws && (
            <>
              <Row keys={["Tab"]}>Go to the next one that is drawn</Row>
              <Row keys={["Del"]}>Remove it</Row>
            </>
          )}
          {props.kind !== "label" && <Row keys={["Enter"]}>Save, and go on to the next sample</Row>}
          <Row keys={["Space"]}>
            {props.kind === "label" ? "Accept the suggestion" : "Take the suggestion over; once more saves it"}
          </Row>
          <Row keys={["S"]}>Skip: leave it undecided; with Shift say why</Row>
          <Row keys={["F"]}>Flag: set it aside to look at it later; with Shift say why</Row>
          <Row keys={["N"]}>Write a note about it</Row>
          <Row keys={["U"]}>Undo, also Ctrl+Z; again goes further back, also over earlier days</Row>
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
