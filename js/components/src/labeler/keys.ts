/** Letters that begin a chord for the classes beyond the ninth; s, f and u are taken. */
const PREFIXES = ["q", "w", "e", "r", "t", "a", "d", "g", "z", "x", "c", "v", "b"];
const DIGITS = 9;

/**
 * The keys of every class: a digit for each of the first nine, then a letter followed by a digit. Beyond
 * the last chord there are none; such a class is found with `/`. Classes that are digits themselves
 * ("0" to "9") have their own key.
 */
export function keysOfClasses(classes: readonly string[]): string[][] {
  if (classes.every((name) => /^[0-9]$/.test(name))) return classes.map((name) => [name]);
  return classes.map((_, index) => {
    if (index < DIGITS) return [String(index + 1)];
    const chord = index - DIGITS;
    const prefix = PREFIXES[Math.floor(chord / DIGITS)];
    return prefix ? [prefix, String((chord % DIGITS) + 1)] : [];
  });
}

export type KeyMeaning =
  | { kind: "class"; index: number }
  | { kind: "prefix"; prefix: string }
  | { kind: "accept" | "skip" | "flag" | "undo" | "help" | "search" | "cancel" }
  | { kind: "none" };

/**
 * What a key means.
 *
 * @param keys the keys of every class, see `keysOfClasses`
 * @param prefix the first key of a chord that was begun
 */
export function meaningOfKey(
  event: { key: string; ctrlKey: boolean; metaKey: boolean; altKey: boolean; shiftKey: boolean },
  keys: readonly string[][],
  prefix: string | null,
): KeyMeaning {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    return key === "z" && !event.shiftKey && !event.altKey ? { kind: "undo" } : { kind: "none" };
  }
  if (event.altKey) return { kind: "none" };
  const index = keys.findIndex((sequence) =>
    prefix === null
      ? sequence.length === 1 && sequence[0] === key
      : sequence.length === 2 && sequence[0] === prefix && sequence[1] === key,
  );
  if (index >= 0) return { kind: "class", index };
  // A digit that ends no chord takes the chord back rather than choosing another class.
  if (prefix !== null && /^[0-9]$/.test(key)) return { kind: "cancel" };
  switch (key) {
    case " ":
      return { kind: "accept" };
    case "s":
      return { kind: "skip" };
    case "f":
      return { kind: "flag" };
    case "u":
      return { kind: "undo" };
    case "?":
      return { kind: "help" };
    case "/":
      return { kind: "search" };
    case "Escape":
      return { kind: "cancel" };
  }
  const begins = keys.some((sequence) => sequence.length === 2 && sequence[0] === key);
  return begins ? { kind: "prefix", prefix: key } : { kind: "none" };
}
