import type { CellValue, Sample } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { textOf } from "../format";
import { Picture, type PictureCache } from "../Picture";

/** More text than this slows the browser down and nobody reads it to decide. */
const LONGEST_TEXT = 50_000;

/** One sample as its kind is best judged: text, picture or row. */
export function SampleView(props: { sample: Sample; pictures: PictureCache }): ReactNode {
  const { sample } = props;
  if (sample.image !== null) {
    return (
      <div className="mls-sample-image">
        <Picture cache={props.pictures} digest={sample.image} alt={`Sample ${sample.id}`} />
      </div>
    );
  }
  if (sample.row !== null) return <RowView row={sample.row} />;
  return <TextView text={sample.text ?? ""} />;
}

function TextView({ text }: { text: string }): ReactNode {
  const size = text.length < 160 ? "large" : text.length < 800 ? "medium" : "small";
  if (text.trim() === "") return <p className="mls-muted">This text is empty.</p>;
  return (
    <div className={`mls-sample-text mls-sample-text-${size}`} dir="auto">
      {text.slice(0, LONGEST_TEXT)}
      {text.length > LONGEST_TEXT && <p className="mls-muted">… and {text.length - LONGEST_TEXT} more characters.</p>}
    </div>
  );
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
