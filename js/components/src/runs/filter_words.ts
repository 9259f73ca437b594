import type { RunColumn } from "@modelship-lab/core";
import { inFilter } from "./columns";

const FIELDS = ["id", "name", "status", "project", "recipe", "group", "tags", "notes", "parent_id", "started_at", "ended_at", "duration_s"];
const STATUSES = ["running", "finished", "failed", "stopped", "interrupted", "unreachable"];
const WORDS = ["and", "or", "not", "in"];
const MOST = 12;

export interface Suggestion {
  text: string;
  /** What it is: `param`, `metric`, … or how far its figures go. */
  help: string;
}

/** The words that can stand at the cursor, with the place where the word that they complete begins. */
export function suggestions(
  filter: string,
  cursor: number,
  columns: readonly RunColumn[],
): { start: number; items: Suggestion[] } {
  const before = filter.slice(0, cursor);
  const status = /\bstatus\s*(?:==|!=|in\s*\(.*,?)\s*("?[a-z]*)$/.exec(before);
  if (status) {
    const begun = status[1]!.replace('"', "");
    return {
      start: cursor - status[1]!.length,
      items: STATUSES.filter((one) => one.startsWith(begun)).map((one) => ({ text: `"${one}"`, help: "status" })),
    };
  }
  // Not in a text.
  if ((before.replace(/(params|metrics|summary)\["/g, "").match(/"/g)?.length ?? 0) % 2 === 1) return { start: cursor, items: [] };
  const begun = /[A-Za-z_](?:[\w.{}=/-]|\["[^"]*"?\]?)*$/.exec(before)?.[0] ?? "";
  const sought = plain(begun);
  const all: Suggestion[] = [
    ...columns.map((column) => ({ text: inFilter(column.name), help: helpOf(column) })),
    ...FIELDS.map((text) => ({ text, help: "run" })),
    ...WORDS.map((text) => ({ text, help: "" })),
  ];
  const found = all.filter((one) => one.text !== begun && (sought === "" || plain(one.text).includes(sought)));
  // What begins so first, then where a part of the name does.
  const rank = (text: string): number => {
    const name = plain(text);
    if (name.startsWith(sought)) return 0;
    return name.split(/[./_]/).some((part) => part.startsWith(sought)) ? 1 : 2;
  };
  found.sort((a, b) => rank(a.text) - rank(b.text));
  return { start: cursor - begun.length, items: found.slice(0, MOST) };
}

function plain(text: string): string {
  return text.toLowerCase().replace(/\["/g, ".").replace(/"\]?/g, "");
}

function helpOf(column: RunColumn): string {
  if (column.type !== "number" || column.min === null || column.max === null) return `${column.kind} · ${column.type}`;
  return `${column.kind} · ${short(column.min)} – ${short(column.max)}`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** The newest filter first, each once, the oldest forgotten. */
export function remembered(filters: readonly string[], filter: string, most = 12): string[] {
  const text = filter.trim();
  return text ? [text, ...filters.filter((one) => one !== text)].slice(0, most) : [...filters];
}
