import { diffLines, diffWordsWithSpace } from "diff";

/** A piece of a line, and whether it is what has changed in it. */
export interface Piece {
  text: string;
  changed: boolean;
}

export interface DiffLine {
  kind: "same" | "removed" | "added";
  /** Numbers in the left and in the right text, from 1; null on the side that has not the line. */
  left: number | null;
  right: number | null;
  pieces: Piece[];
}

/** A stretch of lines; equal ones far from any change are folded. */
export interface Hunk {
  folded: boolean;
  lines: DiffLine[];
}

const AROUND = 3;
const LONGEST_MS = 2000;
/** Longer lines are not compared by words: it would take longer than anybody wants to read. */
const LONGEST_LINE = 2000;

/** The lines of two texts against each other; null when they are too different to be compared in reasonable time. */
export function diff(left: string, right: string): DiffLine[] | null {
  const changes = diffLines(ended(left), ended(right), { timeout: LONGEST_MS });
  if (!changes) return null;
  const lines: DiffLine[] = [];
  let [atLeft, atRight] = [1, 1];
  for (const change of changes) {
    const kind = change.added ? "added" : change.removed ? "removed" : "same";
    for (const text of change.value.split("\n").slice(0, -1)) {
      lines.push({
        kind,
        left: kind === "added" ? null : atLeft++,
        right: kind === "removed" ? null : atRight++,
        pieces: [{ text, changed: false }],
      });
    }
  }
  return markWords(lines);
}

function ended(text: string): string {
  const unix = text.replaceAll("\r\n", "\n");
  return unix === "" || unix.endsWith("\n") ? unix : `${unix}\n`;
}

/** As many removed lines followed by as many added ones are the same lines, changed: marks the words that are. */
function markWords(lines: DiffLine[]): DiffLine[] {
  for (let start = 0; start < lines.length; ) {
    if (lines[start]!.kind !== "removed") {
      start++;
      continue;
    }
    let middle = start;
    while (lines[middle]?.kind === "removed") middle++;
    let end = middle;
    while (lines[end]?.kind === "added") end++;
    if (end - middle === middle - start) {
      for (let index = 0; index < middle - start; index++) {
        const [old, fresh] = [lines[start + index]!, lines[middle + index]!];
        const [before, after] = [old.pieces[0]!.text, fresh.pieces[0]!.text];
        if (before.length + after.length > LONGEST_LINE) continue;
        const words = diffWordsWithSpace(before, after);
        // Lines that have nothing in common say more as they are.
        if (!words.some((word) => !word.added && !word.removed && word.value.trim())) continue;
        old.pieces = words.filter((word) => !word.added).map((word) => ({ text: word.value, changed: word.removed }));
        fresh.pieces = words.filter((word) => !word.removed).map((word) => ({ text: word.value, changed: word.added }));
      }
    }
    start = end;
  }
  return lines;
}

/** Lines in stretches: changes with a few lines around them, the rest folded. */
export function hunks(lines: readonly DiffLine[]): Hunk[] {
  const near = new Uint8Array(lines.length);
  lines.forEach((line, index) => {
    if (line.kind === "same") return;
    near.fill(1, Math.max(0, index - AROUND), Math.min(lines.length, index + AROUND + 1));
  });
  const found: Hunk[] = [];
  lines.forEach((line, index) => {
    const folded = !near[index];
    const last = found.at(-1);
    if (last && last.folded === folded) last.lines.push(line);
    else found.push({ folded, lines: [line] });
  });
  return found;
}

/** Lines in pairs for two columns: what was removed beside what was added in its place. */
export function sideBySide(lines: readonly DiffLine[]): [DiffLine | null, DiffLine | null][] {
  const pairs: [DiffLine | null, DiffLine | null][] = [];
  for (let index = 0; index < lines.length; ) {
    const line = lines[index]!;
    if (line.kind === "same") {
      pairs.push([line, line]);
      index++;
      continue;
    }
    const removed: DiffLine[] = [];
    const added: DiffLine[] = [];
    for (; lines[index] && lines[index]!.kind !== "same"; index++) {
      (lines[index]!.kind === "removed" ? removed : added).push(lines[index]!);
    }
    for (let row = 0; row < Math.max(removed.length, added.length); row++) pairs.push([removed[row] ?? null, added[row] ?? null]);
  }
  return pairs;
}
