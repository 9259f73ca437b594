import type { RunColumn, RunRow, RunValue } from "@modelship-lab/core";
import { ago, count, duration, figure } from "../format";
import { metricName } from "./status";

/** A column as it can be shown: one of every run's own, or one of what runs have logged. */
export interface Column {
  /** As the server knows it, which sorts by it. */
  name: string;
  title: string;
  kind: "run" | RunColumn["kind"];
  type: "number" | "text" | "bool" | "status" | "tags" | "time" | "duration";
  width: number;
  min: number | null;
  max: number | null;
  /** How many runs have it; null for those that every run has. */
  runs: number | null;
}

const OWN: [string, string, Column["type"], number][] = [
  ["status", "Status", "status", 118],
  ["started_at", "Started", "time", 98],
  ["duration_s", "Took", "duration", 92],
  ["project", "Project", "text", 120],
  ["recipe", "Recipe", "text", 120],
  ["group", "Group", "text", 110],
  ["tags", "Tags", "tags", 140],
  ["id", "Number", "number", 76],
];

const OWN_COLUMNS: Column[] = OWN.map(([name, title, type, width]) => ({
  name,
  title,
  kind: "run",
  type,
  width,
  min: null,
  max: null,
  runs: null,
}));

const MAIN = /(^|_|\.|\/)(accuracy|acc|f1|macro_f1|auc|auroc|loss|rmse|mae|r2|score|reward|bleu|perplexity|error)$/i;
/** What is measured of the machine, and what each of several processes says for itself. */
const OF_THE_MACHINE = /^metrics(\.system\b|\["system)|\{.*\b(rank|system)\b/;
const MOST_FIGURES = 6;
/** Of figures that say little by their names. */
const MOST_OTHERS = 3;
const MOST_PARAMS = 8;
const MOST_NAMES = 40;

/** All columns that there are, a run's own first. */
export function allColumns(known: readonly RunColumn[]): Column[] {
  return [
    ...OWN_COLUMNS,
    ...known.map((column) => ({
      ...column,
      title: plainName(column.name),
      width: Math.min(150, Math.max(column.type === "text" ? 116 : 92, plainName(column.name).length * 8 + 30)),
    })),
  ];
}

/** `lr` of `params.lr`, `val/loss` of `metrics["val/loss"]`. */
export function plainName(name: string): string {
  const rest = name.replace(/^(params|metrics|summary)\.?/, "");
  return rest.replace(/^\["(.*)"\]/, "$1");
}

/** A column's name without its context. */
function bare(name: string): string {
  return plainName(name).replace(/\{.*\}$/, "");
}

/** How a filter calls a column: `metrics["loss", "subset=val"]` for `metrics.loss{subset=val}`. */
export function inFilter(name: string): string {
  const found = /^(metrics)(?:\.([^{[]+)|\["(.*)"\])\{(.*)\}$/.exec(name);
  if (!found) return name;
  const [, kind, plain, quoted, context] = found;
  // A comma in quotes is one of a value.
  const pairs = context!.match(/(?:"(?:[^"\\]|\\.)*"|[^,])+/g)!.map((pair) => JSON.stringify(pair.trim()));
  return `${kind}[${[`"${plain ?? quoted}"`, ...pairs].join(", ")}]`;
}

/** The columns of somebody who has not chosen: how it ended, its figures, and the parameters that differ. */
export function usualColumns(known: readonly RunColumn[]): string[] {
  const figures = known
    .filter((column) => column.kind !== "param" && !OF_THE_MACHINE.test(column.name))
    .sort((a, b) => rank(a) - rank(b) || b.runs - a.runs);
  // A final figure and the metric of the same name mostly say the same: that is shown which more runs have.
  const fullest = new Map<string, RunColumn>();
  for (const column of figures) {
    const name = plainName(column.name);
    if (column.runs > (fullest.get(name)?.runs ?? 0)) fullest.set(name, column);
  }
  const different = [...fullest.values()];
  const params = known.filter((column) => column.kind === "param" && !(column.type === "number" && column.min === column.max));
  return [
    "status",
    ...[
      ...different.filter((column) => MAIN.test(bare(column.name))),
      ...different.filter((column) => !MAIN.test(bare(column.name))).slice(0, MOST_OTHERS),
    ]
      .slice(0, MOST_FIGURES)
      .map((column) => column.name),
    ...params.slice(0, MOST_PARAMS).map((column) => column.name),
    "duration_s",
    "started_at",
  ];
}

function rank(column: RunColumn): number {
  return (MAIN.test(bare(column.name)) ? 0 : 2) + (column.kind === "summary" ? 0 : 1);
}

export function valueOf(row: RunRow, name: string): RunValue {
  switch (name) {
    case "id":
      return row.id;
    case "duration_s":
      return row.duration_s;
    case "name":
    case "status":
    case "project":
    case "recipe":
    case "group":
    case "started_at":
      return row[name];
    case "tags":
      return row.tags.join(", ");
    default:
      return row.values[name] ?? null;
  }
}

export function valueText(value: RunValue, type: Column["type"]): string {
  if (value === null || value === "") return "";
  if (type === "time") return ago(String(value));
  if (type === "duration") return duration(Number(value));
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return value;
  return Number.isInteger(value) && Math.abs(value) < 1e6 ? count(value) : figure(value);
}

/** Where a figure stands between the smallest and the largest of its column, 0 to 1; null where that says nothing. */
export function share(value: RunValue, column: Pick<Column, "min" | "max">): number | null {
  const { min, max } = column;
  if (typeof value !== "number" || !Number.isFinite(value) || min === null || max === null || !(max > min)) return null;
  // Rates and the like go over magnitudes: on a linear scale all but the largest would look the same.
  const scale = min > 0 && max / min >= 100 ? Math.log : (one: number): number => one;
  return Math.min(1, Math.max(0, (scale(value) - scale(min)) / (scale(max) - scale(min))));
}

/** What the filter calls a column. */
function titleOf(column: Column): string {
  return column.kind === "run" ? column.title : column.title.length > MOST_NAMES ? `${column.title.slice(0, MOST_NAMES)}…` : column.title;
}

/** A figure's name as it is read, a parameter's as it was given. */
export function heading(column: Column): string {
  return column.kind === "summary" ? metricName(titleOf(column)) : titleOf(column);
}

export interface SortKey {
  name: string;
  down: boolean;
}

export function sortKeys(sort: readonly string[]): SortKey[] {
  return sort.map((one) => (one.startsWith("-") ? { name: one.slice(1), down: true } : { name: one, down: false }));
}

/** The order after a click on a heading: first up (figures and times: first down), then the other way, then without it. */
export function nextSort(sort: readonly string[], column: Pick<Column, "name" | "type">, adds: boolean): string[] {
  const downFirst = column.type === "time" || column.type === "duration" || column.type === "number";
  const [first, second] = downFirst ? [`-${column.name}`, column.name] : [column.name, `-${column.name}`];
  const present = sort.find((one) => one === first || one === second);
  const next = present === undefined ? [first] : present === first ? [second] : [];
  if (!adds) return next;
  return present === undefined ? [...sort, ...next] : sort.flatMap((one) => (one === present ? next : [one]));
}
