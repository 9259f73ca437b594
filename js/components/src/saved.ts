import { useCallback, useState } from "react";

/** Something that the browser keeps from one visit to the next under `key`; kept here alone where it may not. */
export function useSaved<Value>(key: string, usual: Value): [Value, (change: Partial<Value> | Value) => void] {
  const [held, setHeld] = useState(() => ({ key, value: read(key, usual) }));
  // A view that is turned to something else has other things saved.
  const current = held.key === key ? held : { key, value: read(key, usual) };
  if (current !== held) setHeld(current);
  const save = useCallback(
    (change: Partial<Value> | Value): void =>
      setHeld((before) => {
        const plain = typeof change === "object" && change !== null && !Array.isArray(change);
        const value = plain ? { ...before.value, ...change } : (change as Value);
        try {
          localStorage.setItem(before.key, JSON.stringify(value));
        } catch {
          // Private windows and full storages keep nothing.
        }
        return { key: before.key, value };
      }),
    [],
  );
  return [current.value, save];
}

function read<Value>(key: string, usual: Value): Value {
  try {
    const text = localStorage.getItem(key);
    if (text === null) return usual;
    const value = JSON.parse(text) as Value;
    return Array.isArray(usual) ? (Array.isArray(value) ? value : usual) : { ...usual, ...value };
  } catch {
    return usual;
  }
}
