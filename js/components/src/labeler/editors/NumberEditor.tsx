import { useImperativeHandle, useRef, useState, type ReactNode } from "react";
import { SampleView } from "../SampleView";
import type { ZoomHandle } from "../ZoomStage";
import type { EditorProps } from "./editor";

/** What a number is made of while it is typed; a comma is taken for a point. */
const PART = /^[-+]?\d*[.,]?\d*(?:e[-+]?\d*)?$/i;

/** A number for each sample, typed without going into a field first. */
export function NumberEditor(props: EditorProps): ReactNode {
  const { sample, value, settings } = props;
  const zoom = useRef<ZoomHandle>(null);
  const said = value.number ?? null;
  const [typed, setTyped] = useState({ sample: sample.id, text: "" });
  // A half of a number, such as "1." or "-", is what was typed; a value that came otherwise shows itself.
  const text =
    typed.sample === sample.id && numberOf(typed.text) === said ? typed.text : said === null ? "" : String(said);
  const type = (next: string): void => {
    if (!PART.test(next)) return;
    setTyped({ sample: sample.id, text: next });
    const number = numberOf(next);
    if (number !== said) props.change(number === null ? {} : { number });
  };
  useImperativeHandle(props.handle, () => ({
    choose: () => undefined,
    press: (event) => {
      if (zoom.current?.press(event)) return true;
      if (event.ctrlKey || event.metaKey || event.altKey) return false;
      if (event.key === "Backspace") type(text.slice(0, -1));
      else if (event.key === "Delete") type("");
      else if (/^[\d.,+\-e]$/i.test(event.key)) type(text + event.key);
      else return false;
      return true;
    },
  }));
  const limits = rangeInWords(settings.lowest ?? null, settings.highest ?? null);
  return (
    <>
      <SampleView sample={sample} pictures={props.pictures} zoom={zoom} />
      <label className="mls-number-field">
        <span className="mls-muted">Number</span>
        <input
          className="mls-input"
          type="text"
          inputMode="decimal"
          autoComplete="off"
          placeholder="Type a number"
          value={text}
          onChange={(event) => type(event.target.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.nativeEvent.isComposing) return;
            event.preventDefault();
            props.submit();
          }}
        />
        {settings.unit && <span dir="auto">{settings.unit}</span>}
        {limits && <span className="mls-muted mls-number">{limits}</span>}
      </label>
    </>
  );
}

function numberOf(text: string): number | null {
  const plain = text.replace(",", ".");
  const number = Number(plain);
  return plain.trim() === "" || !Number.isFinite(number) ? null : number;
}

function rangeInWords(lowest: number | null, highest: number | null): string {
  if (lowest !== null && highest !== null) return `${lowest} to ${highest}`;
  if (lowest !== null) return `from ${lowest}`;
  return highest === null ? "" : `up to ${highest}`;
}
