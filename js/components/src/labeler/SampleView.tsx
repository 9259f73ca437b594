import type { CellValue, Sample } from "@modelship-lab/core";
import type { ReactNode, Ref } from "react";
import { textOf } from "../format";
import type { PictureCache } from "../Picture";
import { MarkedText } from "./MarkedText";
import { ZoomStage, type ZoomHandle } from "./ZoomStage";

/** A value of more letters than this has a line of its own. */
const LONG_CELL = 40;

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

function TextView({ text }: { text: string }): ReactNode {
  if (text.trim() === "") return <p className="mls-muted">This text is empty.</p>;
  return <MarkedText text={text} />;
}

function RowView({ row }: { row: Record<string, CellValue> }): ReactNode {
  return (
    <dl className="mls-sample-row">
      {Object.entries(row).map(([name, value]) => (
        <div key={name} className={typeof value === "string" && value.length > LONG_CELL ? "mls-cell mls-cell-wide" : "mls-cell"}>
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
