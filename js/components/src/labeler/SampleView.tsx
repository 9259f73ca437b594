import type { CellValue, Sample, Value } from "@modelship-lab/core";
import { useMemo, type ReactNode, type Ref } from "react";
import { classColor } from "../colors";
import { textOf } from "../format";
import type { PictureCache } from "../Picture";
import { BoxMark } from "./BoxMark";
import { CodePoints } from "./editors/text";
import { MarkedText } from "./MarkedText";
import { ZoomStage, type ZoomHandle } from "./ZoomStage";

/** A value of more letters than this has a line of its own. */
const LONG_CELL = 40;

/** What is said of a sample, to be seen in it: spans in its text, boxes on its picture. */
export interface Drawn {
  value: Value;
  /** The project's classes, in the order of their colors. */
  classes: readonly string[];
  /** Nobody has said so: a model has. */
  suggested: boolean;
}

/** One sample as its kind is best judged: text, picture or row. */
export function SampleView(props: { sample: Sample; pictures: PictureCache; zoom?: Ref<ZoomHandle>; drawn?: Drawn }): ReactNode {
  const { sample, drawn } = props;
  if (sample.image !== null) {
    return (
      <div className="mls-card">
        <ZoomStage
          key={sample.id}
          cache={props.pictures}
          digest={sample.image}
          alt={`Sample ${sample.id}`}
          handle={props.zoom}
        >
          {drawn?.value.boxes && (
            <div className="mls-boxes">
              {drawn.value.boxes.map((box, index) => (
                <BoxMark key={index} box={box} classes={drawn.classes} suggested={drawn.suggested} />
              ))}
            </div>
          )}
        </ZoomStage>
      </div>
    );
  }
  return (
    <div className="mls-card" aria-live="polite">
      {/* The key makes a long text begin at its top again. */}
      <div className="mls-card-body" key={sample.id}>
        {sample.row !== null ? <RowView row={sample.row} /> : <TextView text={sample.text ?? ""} drawn={drawn} />}
      </div>
    </div>
  );
}

function TextView({ text, drawn }: { text: string; drawn?: Drawn }): ReactNode {
  const marks = useMemo(() => {
    const spans = drawn?.value.spans;
    if (!drawn || !spans) return undefined;
    const points = new CodePoints(text);
    return spans.map((span) => ({
      ...points.toUnits(span),
      label: span.label,
      color: classColor(drawn.classes.indexOf(span.label)),
    }));
  }, [text, drawn]);
  if (text.trim() === "") return <p className="mls-muted">This text is empty.</p>;
  return <MarkedText text={text} marks={marks} className={marks && (drawn?.suggested ? "mls-spans mls-spans-suggested" : "mls-spans")} />;
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
