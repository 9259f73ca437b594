import type { RunRow } from "@modelship-lab/core";
import type { GridRow } from "./GridRow";

export interface Tree {
  total: number;
  rowAt: (place: number) => GridRow | undefined;
  /** The position, among the rows without their children, of the row at or above a place. */
  rootAt: (place: number) => number;
}

/**
 * Rows with the children of those that are unfolded below them.
 *
 * @param rows the rows that are known, by their position
 * @param total how many rows there are
 * @param children of the runs that are unfolded, by the run's id
 */
export function tree(
  rows: ReadonlyMap<number, RunRow>,
  total: number,
  children: ReadonlyMap<number, readonly RunRow[]>,
  folds: boolean,
): Tree {
  const below = new Map<number, GridRow[]>();
  if (folds && children.size > 0) {
    for (const [position, row] of rows) if (children.has(row.id)) below.set(position, descendants(row, children, 1));
  }
  const unfolded = [...below].sort(([a], [b]) => a - b);
  const asRoot = (position: number): GridRow | undefined => {
    const row = rows.get(position);
    return row && { row, depth: 0, open: foldOf(row, children, folds) };
  };
  const find = (place: number): { root: number; row: GridRow | undefined } => {
    let added = 0;
    for (const [position, list] of unfolded) {
      if (place <= position + added) break;
      const within = place - (position + added) - 1;
      if (within < list.length) return { root: position, row: list[within] };
      added += list.length;
    }
    return { root: place - added, row: asRoot(place - added) };
  };
  return {
    total: total + unfolded.reduce((sum, [, list]) => sum + list.length, 0),
    rowAt: (place) => find(place).row,
    rootAt: (place) => find(place).root,
  };
}

function descendants(row: RunRow, children: ReadonlyMap<number, readonly RunRow[]>, depth: number): GridRow[] {
  return (children.get(row.id) ?? []).flatMap((child) => [
    { row: child, depth, open: foldOf(child, children, true) },
    ...descendants(child, children, depth + 1),
  ]);
}

function foldOf(row: RunRow, children: ReadonlyMap<number, readonly RunRow[]>, folds: boolean): boolean | null {
  return folds && row.children > 0 ? children.has(row.id) : null;
}
