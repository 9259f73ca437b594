import { useState, type CSSProperties, type ReactNode } from "react";
import { classColor } from "../colors";
import { count } from "../format";

/** With more classes than this, a search box helps. */
export const MANY_CLASSES = 12;

/** The classes as buttons with their keys and how often each was chosen. */
export function ClassList(props: {
  classes: string[];
  /** The keys of every class. */
  keys: string[][];
  byClass: Record<string, number>;
  /** The first key of a chord that was begun. */
  prefix: string | null;
  suggested: string | null;
  disabled: boolean;
  choose: (label: string) => void;
  /** Gives the keyboard back to the labeler. */
  leave: () => void;
}): ReactNode {
  const { classes, keys, byClass, prefix, suggested } = props;
  const [wanted, setWanted] = useState("");
  const most = Math.max(1, ...classes.map((name) => byClass[name] ?? 0));
  const needle = wanted.trim().toLowerCase();
  // While a chord is begun, only the classes that its second key can choose.
  const shown = classes
    .map((name, index) => ({ name, index, keys: keys[index] ?? [] }))
    .filter(({ name, keys: own }) =>
      prefix === null ? name.toLowerCase().includes(needle) : own.length === 2 && own[0] === prefix,
    );

  const finish = (label: string | undefined): void => {
    setWanted("");
    props.leave();
    if (label !== undefined) props.choose(label);
  };

  return (
    <div className="mls-classes">
      {classes.length > MANY_CLASSES && (
        <input
          className="mls-input mls-class-search"
          type="search"
          placeholder="Find a class ( / )"
          aria-label="Find a class; Enter chooses the first that fits"
          value={wanted}
          onChange={(event) => setWanted(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") finish(undefined);
            if (event.key === "Enter" && needle !== "") finish(shown[0]?.name);
          }}
        />
      )}
      <div className="mls-class-list">
        {shown.map(({ name, index, keys: own }) => {
          const amount = byClass[name] ?? 0;
          return (
            <button
              key={name}
              type="button"
              className={name === suggested ? "mls-class mls-class-suggested" : "mls-class"}
              disabled={props.disabled}
              aria-keyshortcuts={own.join(" ") || undefined}
              aria-label={`${name}, ${amount} labeled${own.length ? `, key ${own.join(" then ")}` : ""}`}
              onClick={() => finish(name)}
              style={{ "--mls-class-color": classColor(index), "--mls-share": amount / most } as CSSProperties}
            >
              <span className="mls-keys" aria-hidden="true">
                {own.map((key, place) => (
                  <kbd key={place} className={prefix !== null && place === 0 ? "mls-key mls-key-down" : "mls-key"}>
                    {key.toUpperCase()}
                  </kbd>
                ))}
              </span>
              <span className="mls-class-name" title={name} dir="auto">
                {name}
              </span>
              <span className="mls-class-count">{count(amount)}</span>
            </button>
          );
        })}
        {shown.length === 0 && <p className="mls-muted">No class contains “{wanted}”.</p>}
      </div>
    </div>
  );
}
