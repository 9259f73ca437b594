import { textOf } from "../format";

export interface ComparedValue {
  /** Null when the run has none. */
  text: string | null;
  /** Whether it is another one than the reference's. */
  differs: boolean;
  /** How much more than the reference's it is, of figures that differ. */
  change: number | null;
}

export interface ComparedRow {
  name: string;
  values: ComparedValue[];
  /** Whether any two differ. */
  differs: boolean;
}

/** What several runs have under each name, compared with one of them. */
export function compared(sides: readonly ReadonlyMap<string, unknown>[], reference: number): ComparedRow[] {
  const names = new Set(sides.flatMap((side) => [...side.keys()]));
  return [...names].map((name) => {
    const values = sides.map((side) => side.get(name));
    const known = JSON.stringify(values[reference] ?? null);
    const compare = values.map((value): ComparedValue => {
      const differs = JSON.stringify(value ?? null) !== known;
      const base = values[reference];
      const change = differs && typeof value === "number" && typeof base === "number" ? value - base : null;
      return { text: textOf(value), differs, change };
    });
    return { name, values: compare, differs: compare.some((value) => value.differs) };
  });
}
