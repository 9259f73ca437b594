import type { Store } from "@modelship-lab/core";
import { useEffect, useState, useSyncExternalStore } from "react";

/** The present value of a store; the component is drawn again when it changes. */
export function useStore<State>(store: Store<State>): State {
  return useSyncExternalStore(store.subscribe, store.get, store.get);
}

/**
 * Something that must be closed when the component goes or `dependencies` change; null until the first
 * effect has run.
 */
export function useClosable<Thing extends { close(): void }>(
  make: () => Thing,
  dependencies: readonly unknown[],
): Thing | null {
  const [thing, setThing] = useState<Thing | null>(null);
  useEffect(() => {
    const made = make();
    // eslint-disable-next-line react-hooks/set-state-in-effect -- it has to exist before it can be drawn
    setThing(made);
    return () => {
      setThing(null);
      made.close();
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the caller names what the thing depends on
  }, dependencies);
  return thing;
}

/** The present time, renewed every `interval_ms` while `running`. */
export function useNow(interval_ms: number, running = true): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now()), interval_ms);
    return () => clearInterval(timer);
  }, [interval_ms, running]);
  return now;
}
