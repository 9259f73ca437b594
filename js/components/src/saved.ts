import { useCallback, useEffect, useState } from "react";

/** Nothing but choices stands under it: the oldest of them are thrown away. */
const PREFIX = "modelship-lab:view:";
/** Of so many views the choices are remembered, those that were seen last. */
const KEPT = 100;

/**
 * What a reader has chosen, there again when the page is loaded anew or the notebook is opened another day;
 * for as long as the page is open where the browser may keep nothing.
 *
 * @param name of the view
 * @param usual what it is until something else is chosen
 */
export function useSaved<Value>(name: string, usual: Value): [Value, (change: Partial<Value>) => void] {
  const [held, setHeld] = useState(() => ({ name, usual, value: read(name, usual) }));
  // A view that is turned to something else has other things saved.
  const current = held.name === name ? held : { name, usual, value: read(name, usual) };
  if (current !== held) setHeld(current);
  useEffect(() => write(held.name, held.value, held.usual), [held]);
  const save = useCallback(
    (change: Partial<Value>): void =>
      setHeld((before) => ({
        ...before,
        value: isPlain(change) ? { ...before.value, ...change } : change,
      })),
    [],
  );
  return [current.value, save];
}

function isPlain(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function read<Value>(name: string, usual: Value): Value {
  try {
    const { value } = JSON.parse(localStorage.getItem(PREFIX + name) ?? "{}") as { value?: Value };
    if (value === undefined || Array.isArray(value) !== Array.isArray(usual)) return usual;
    return isPlain(usual) ? { ...usual, ...value } : value;
  } catch {
    // Storage may be forbidden, or hold what another version wrote.
    return usual;
  }
}

/** Only what is not as usual is kept, so that another version may have other usages. */
function write<Value>(name: string, value: Value, usual: Value): void {
  const kept = isPlain(value) ? changed(value, usual as object) : value;
  try {
    if (JSON.stringify(kept) === (isPlain(value) ? "{}" : JSON.stringify(usual))) {
      localStorage.removeItem(PREFIX + name);
      return;
    }
    localStorage.setItem(PREFIX + name, JSON.stringify({ at: Date.now(), value: kept }));
    forgetOldest();
  } catch {
    // Private windows and full storages keep nothing.
  }
}

function changed(value: object, usual: object): object {
  const before = new Map<string, unknown>(Object.entries(usual));
  return Object.fromEntries(Object.entries(value).filter(([key, one]) => JSON.stringify(one) !== JSON.stringify(before.get(key))));
}

function forgetOldest(): void {
  const names = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  if (names.length <= KEPT) return;
  const at = (key: string): number => (JSON.parse(localStorage.getItem(key) ?? "{}") as { at?: number }).at ?? 0;
  for (const key of names.sort((a, b) => at(a) - at(b)).slice(0, names.length - KEPT)) localStorage.removeItem(key);
}
