import { kindOf, mediumOf, saidIn, SAMPLE_PREVIEW, type Project, type Sample, type SampleColumn } from "@modelship-lab/core";
import { percent, textOf } from "../format";

/** More features than these make a row that nobody reads. */
const MOST_FEATURES = 8;

/** A column of the table of samples. */
export interface Column {
  name: string;
  title: string;
  type: "text" | "number";
  width: number;
  /** What rows are sorted by under its heading; null: nothing. */
  sort: SampleColumn | null;
  text: (sample: Sample) => string;
}

const OWN: readonly Column[] = [
  { name: "id", title: "Id", type: "number", width: 72, sort: "id", text: ({ id }) => String(id) },
  { name: "label", title: "Label", type: "text", width: 120, sort: "label", text: saidIn },
  { name: "status", title: "Status", type: "text", width: 92, sort: "status", text: ({ status }) => status },
  {
    name: "suggestion",
    title: "Suggestion",
    type: "text",
    width: 130,
    sort: null,
    text: ({ suggestion }) => (suggestion ? saidIn(suggestion) : ""),
  },
  {
    name: "confidence",
    title: "Confidence",
    type: "number",
    width: 124,
    sort: "confidence",
    // No model says how sure it is of a number.
    text: ({ suggestion }) => (suggestion && suggestion.number == null ? percent(suggestion.confidence) : ""),
  },
  { name: "name", title: "Name", type: "text", width: 140, sort: "name", text: ({ name }) => name ?? "" },
  { name: "group", title: "Group", type: "text", width: 110, sort: "group", text: ({ group }) => group ?? "" },
  { name: "note", title: "Note", type: "text", width: 200, sort: null, text: ({ note }) => note ?? "" },
];

/** The columns of a project's samples, with those of its content; what no sample has is left out. */
export function columnsOf(project: Project, samples: Iterable<Sample>): Column[] {
  const seen = [...samples];
  const has = (column: Column): boolean => seen.some((sample) => column.text(sample) !== "");
  const content = contentColumns(project, seen);
  const [id, label, ...others] = OWN;
  const always = new Set(["status", "suggestion", ...(kindOf(project) === "number" ? [] : ["confidence"])]);
  const more = others.filter((column) => always.has(column.name) || has(column));
  // A text has as much room as there is; beside many fields the label would be out of sight.
  const one = content.length === 1;
  return [id!, ...(one ? content : []), label!, ...more.slice(0, 1), ...(one ? [] : content), ...more.slice(1)];
}

function contentColumns(project: Project, samples: readonly Sample[]): Column[] {
  const medium = project.task && mediumOf(project.task);
  if (medium === "table") {
    const features = [...new Set(samples.flatMap(({ row }) => Object.keys(row ?? {})))].slice(0, MOST_FEATURES);
    return features.map((name) => ({
      name: `feature ${name}`,
      title: name,
      type: samples.every(({ row }) => typeof (row?.[name] ?? 0) === "number") ? "number" : "text",
      width: 110,
      sort: null,
      text: ({ row }) => textOf(row?.[name]) ?? "",
    }));
  }
  const isText = medium === "text";
  return [
    {
      name: "content",
      title: isText ? "Text" : "Image",
      type: "text",
      width: isText ? 420 : 160,
      sort: "length",
      text: ({ text, name, image }) => text?.slice(0, SAMPLE_PREVIEW) ?? name ?? image?.slice(0, 12) ?? "",
    },
  ];
}
