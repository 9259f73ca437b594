import type { RunRow, RunValue } from "@modelship-lab/core";
import type { Column } from "../runs/columns";
import { usualColumns, valueOf } from "../runs/columns";

/** What can be an axis: what runs have logged, and how long they took. */
export function axisColumns(columns: readonly Column[]): Column[] {
  return columns.filter((column) => column.kind !== "run" || ["duration_s", "status", "recipe", "group"].includes(column.name));
}

/** The figure by which runs are judged, among the columns that there are. */
export function mainColumn(columns: readonly Column[]): string | null {
  const known = columns.flatMap((column) => (isLogged(column) ? [column] : []));
  const figures = usualColumns(known).filter((name) => known.some((one) => one.name === name && one.kind !== "param" && one.type === "number"));
  return figures[0] ?? null;
}

/** The parameters that differ, the figure last: what one looks at first. */
export function usualAxes(columns: readonly Column[], most = 8): string[] {
  const known = columns.flatMap((column) => (isLogged(column) ? [column] : []));
  const names = usualColumns(known);
  const params = names.filter((name) => known.some((one) => one.name === name && one.kind === "param"));
  const figures = names.filter((name) => known.some((one) => one.name === name && one.kind !== "param")).slice(0, 2);
  return [...params.slice(0, most - figures.length), ...figures.reverse()];
}

type Logged = Column & { kind: "param" | "metric" | "summary"; type: "number" | "text" | "bool"; runs: number };

function isLogged(column: Column): column is Logged {
  return column.kind !== "run";
}

export function valuesOf(rows: readonly RunRow[], name: string): RunValue[] {
  return rows.map((row) => valueOf(row, name));
}

/** Figures of a column, a yes as 1 and a no as 0; null for what is none. */
export function figuresOf(rows: readonly RunRow[], name: string): (number | null)[] {
  return rows.map((row) => {
    const value = valueOf(row, name);
    if (typeof value === "boolean") return value ? 1 : 0;
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  });
}
