import type { Kind, Value } from "@modelship-lab/core";
import type { ComponentType } from "react";
import { BoxEditor } from "./BoxEditor";
import { ClassEditor } from "./ClassEditor";
import type { EditorProps } from "./editor";
import { LabelsEditor } from "./LabelsEditor";
import { NumberEditor } from "./NumberEditor";
import { SpanEditor } from "./SpanEditor";

interface KindOfEditor {
  Editor: ComponentType<EditorProps>;
  /** What is said of a sample before anything is. */
  empty: Value;
  /** What it means that there is nothing; null where choosing a class says all. */
  none: string | null;
  /** Whether a class is chosen for the parts that are drawn next. */
  draws: boolean;
}

/** How each kind of value is made. */
export const EDITORS: Record<Kind, KindOfEditor> = {
  label: { Editor: ClassEditor, empty: {}, none: null, draws: false },
  labels: { Editor: LabelsEditor, empty: { labels: [] }, none: "that no class applies", draws: false },
  spans: { Editor: SpanEditor, empty: { spans: [] }, none: "that this text has no span", draws: true },
  boxes: { Editor: BoxEditor, empty: { boxes: [] }, none: "that this image has no box", draws: true },
  number: { Editor: NumberEditor, empty: {}, none: "that there is no number", draws: false },
};
