/** The labeler's own: skip, flag, undo, note, help, search, and the blank that accepts. */
const TAKEN = new Set("sfun?/ ");
/** Letters that begin a chord for classes beyond the ninth. */
const PREFIXES = [..."qwertadgzxcvbhjklmopyi"];
const DIGITS = [..."123456789"];

/**
 * The keys of every class: what the project's settings say, else the class itself if all are digits, else a digit
 * for each of the first nine, then a letter followed by a digit. No sequence is another one's beginning. Beyond the
 * last chord there are none; such a class is found with `/`.
 *
 * @param given keys of one or two characters by class
 */
export function keysOfClasses(classes: readonly string[], given: Readonly<Record<string, string>> = {}): string[][] {
  const chosen = new Map<string, string[]>();
  for (const name of classes) {
    const keys = [...(given[name] ?? "")];
    if (keys.length > 0 && !TAKEN.has(keys[0]!)) chosen.set(name, keys);
  }
  const free = withoutCollisions([...chosen.values()]);
  const digits = classes.every((name) => /^[0-9]$/.test(name));
  return classes.map((name) => {
    const own = chosen.get(name);
    if (own) return own;
    return free.next(digits ? name : null);
  });
}

/** Hands out sequences that none of `taken` begins with, nor the other way round. */
function withoutCollisions(taken: readonly string[][]): { next: (wish: string | null) => string[] } {
  const singles = new Set(taken.filter((keys) => keys.length === 1).map((keys) => keys[0]!));
  const begun = new Set(taken.map((keys) => keys[0]!));
  const chords = new Set(taken.map((keys) => keys.join("")));
  const sequences = [
    ...DIGITS.filter((digit) => !begun.has(digit)).map((digit) => [digit]),
    ...PREFIXES.filter((letter) => !singles.has(letter)).flatMap((letter) =>
      DIGITS.filter((digit) => !chords.has(letter + digit)).map((digit) => [letter, digit]),
    ),
  ];
  let place = 0;
  return {
    next: (wish) => {
      if (wish !== null && !begun.has(wish)) return [wish];
      return wish === null ? (sequences[place++] ?? []) : [];
    },
  };
}

export type KeyMeaning =
  | { kind: "class"; index: number }
  | { kind: "prefix"; prefix: string }
  | {
      kind:
        | "accept"
        | "skip"
        | "skip_why"
        | "flag"
        | "flag_why"
        | "undo"
        | "note"
        | "help"
        | "search"
        | "save"
        | "cancel";
    }
  | { kind: "none" };

/** What there is to know about a key that was pressed. */
export interface Pressed {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  shiftKey: boolean;
}

/**
 * What a key means.
 *
 * @param keys the keys of every class, see `keysOfClasses`
 * @param prefix the first key of a chord that was begun
 */
export function meaningOfKey(event: Pressed, keys: readonly string[][], prefix: string | null): KeyMeaning {
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
  // A key that ends no chord takes the chord back rather than doing something else.
  if (prefix !== null && key.length === 1) return { kind: "cancel" };
  switch (key) {
    case " ":
      return { kind: "accept" };
    case "Enter":
      return { kind: "save" };
    case "s":
      return { kind: event.shiftKey ? "skip_why" : "skip" };
    case "f":
      return { kind: event.shiftKey ? "flag_why" : "flag" };
    case "u":
      return { kind: "undo" };
    case "n":
      return { kind: "note" };
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
