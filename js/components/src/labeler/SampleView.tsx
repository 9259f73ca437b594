import type { CellValue, Sample } from "@modelship-lab/core";
import type { ReactNode, Ref } from "react";
import { textOf } from "../format";
import type { PictureCache } from "../Picture";
import { ZoomStage, type ZoomHandle } from "./ZoomStage";

/** More text than this slows the browser down and nobody reads it to decide. */
export const LONGEST_TEXT = 50_000;

/** One sample as its kind is best judged: text, picture or row. */
export function SampleView(props: { sample: Sample; pictures: PictureCache; zoom?: Ref<ZoomHandle> }): ReactNode {
  const { sample } = props;
  if (sample.image !== null) {
    return (
      <div className="mls-card">
        <ZoomStage
          key={sample.id}
          cache={props.pictures}
          digest={sample.image}
          alt={`Sample ${sample.id}`}
          handle={props.zoom}
        />
      </div>
    );
  }
  return (
    <div className="mls-card" aria-live="polite">
      {/* The key makes a long text begin at its top again. */}
      <div className="mls-card-body" key={sample.id}>
        {sample.row !== null ? <RowView row={sample.row} /> : <TextView text={sample.text ?? ""} />}
      </div>
    </div>
  );
}

/** The shorter a text, the larger its letters. */
export function sizeOfText(text: string): string {
  const size = text.length < 160 ? "large" : text.length < 800 ? "medium" : "small";
  return `mls-sample-text mls-sample-text-${size}`;
}

function TextView({ text }: { text: string }): ReactNode {
  if (text.trim() === "") return <p className="mls-muted">This text is empty.</p>;
  return (
    <div className={sizeOfText(text)} dir="auto">
      {text.slice(0, LONGEST_TEXT)}
      <Rest text={text} />
    </div>
  );
}

/** Says how much of a text is not shown. */
export function Rest({ text }: { text: string }): ReactNode {
  if (text.length <= LONGEST_TEXT) return null;
  return <p className="mls-muted">… and {text.length - LONGEST_TEXT} more characters.</p>;
}

function RowView({ row }: { row: Record<string, CellValue> }): ReactNode {
  return (
    <dl className="mls-sample-row">
      {Object.entries(row).map(([name, value]) => (
        <div key={name} className="mls-cell">
          <dt title={name}>{name}</dt>
          <dd dir="auto">{cell(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

function cell(value: CellValue): ReactNode {
  if (value === null || value === "") return <span className="mls-muted">missing</span>;
  return textOf(value);
}
