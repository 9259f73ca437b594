import { classesOf, type Value } from "@modelship-lab/core";
import { memo, useCallback, useDeferredValue, useId, useMemo, useState, type CSSProperties, type KeyboardEvent, type ReactNode } from "react";
import { classColor } from "../colors";
import { count } from "../format";

/** With more classes than this, a search box helps. */
export const MANY_CLASSES = 12;

/** A button is made wide enough for so many letters where several stand side by side. */
const LONGEST_NAME = 40;

const NO_COUNTS: Record<string, number> = {};

/** The classes as buttons with their keys and how often each was chosen. */
export const ClassList = memo(function ClassList(props: {
  classes: string[];
  /** The keys of every class. */
  keys: string[][];
  byClass?: Record<string, number>;
  /** The first key of a chord that was begun. */
  prefix: string | null;
  suggested: Value | null;
  /** The class or classes that are chosen now. */
  pressed: string | readonly string[] | null;
  disabled: boolean;
  choose: (label: string) => void;
  /** Gives the keyboard back to the labeler. */
  leave: () => void;
}): ReactNode {
  const { classes, keys, byClass = NO_COUNTS, prefix, choose, leave } = props;
  const [wanted, setWanted] = useState("");
  /** The place of the found class that Enter chooses. */
  const [place, setPlace] = useState(0);
  const id = useId();
  const needle = wanted.trim().toLowerCase();
  // The next sample is painted first, then how often each of a thousand classes was chosen.
  const counts = useDeferredValue(byClass);
  const suggested = useDeferredValue(props.suggested);
  // While a chord is begun, only the classes that its second key can choose.
  const shown = useMemo(
    () =>
      classes
        .map((name, index) => ({ name, index, keys: keys[index]! }))
        .filter(({ name, keys: own }) =>
          prefix === null ? name.toLowerCase().includes(needle) : own.length === 2 && own[0] === prefix,
        ),
    [classes, keys, prefix, needle],
  );
  const found = needle === "" ? null : shown[Math.min(place, shown.length - 1)];

  const finish = useCallback(
    (label: string | undefined): void => {
      setWanted("");
      setPlace(0);
      leave();
      if (label !== undefined) choose(label);
    },
    [choose, leave],
  );

  const search = (event: KeyboardEvent<HTMLInputElement>): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") finish(undefined);
    else if (event.key === "Enter" && found) finish(found.name);
    else if (step !== undefined && found) {
      const next = (Math.min(place, shown.length - 1) + step + shown.length) % shown.length;
      setPlace(next);
      document.getElementById(`${id}${shown[next]!.index}`)?.scrollIntoView({ block: "nearest" });
    } else return;
    event.preventDefault();
  };

  return (
    <div className="mls-classes">
      {classes.length > MANY_CLASSES && (
        <input
          className="mls-input mls-class-search"
          type="search"
          role="combobox"
          aria-expanded={needle !== ""}
          aria-controls={id}
          aria-activedescendant={found ? `${id}${found.index}` : undefined}
          placeholder="Find a class ( / )"
          aria-label="Find a class; the arrows go through what is found, Enter chooses"
          value={wanted}
          onChange={(event) => {
            setWanted(event.target.value);
            setPlace(0);
          }}
          onKeyDown={search}
        />
      )}
      <div className="mls-class-list" id={id} role="group" aria-label="Classes">
        <ClassButtons
          id={id}
          classes={shown}
          counts={counts}
          begun={prefix !== null}
          suggested={suggested}
          found={found?.name ?? null}
          pressed={props.pressed}
          disabled={props.disabled}
          choose={finish}
        />
        {shown.length === 0 && <p className="mls-muted">No class contains “{wanted}”.</p>}
      </div>
    </div>
  );
});

interface ListedClass {
  name: string;
  index: number;
  keys: string[];
}

const ClassButtons = memo(function ClassButtons(props: {
  id: string;
  classes: readonly ListedClass[];
  counts: Record<string, number>;
  begun: boolean;
  suggested: Value | null;
  found: string | null;
  pressed: string | readonly string[] | null;
  disabled: boolean;
  choose: (label: string) => void;
}): ReactNode {
  const { counts } = props;
  const most = Math.max(1, ...Object.values(counts));
  const suggested = new Set(props.suggested ? classesOf(props.suggested) : []);
  const pressed = new Set(typeof props.pressed === "string" ? [props.pressed] : props.pressed);
  const longest = Math.max(...props.classes.map(({ name }) => name.length));
  return (
    <div
      className="mls-class-buttons"
      style={{ "--mls-most": most, "--mls-longest": Math.min(longest, LONGEST_NAME) } as CSSProperties}
    >
      {props.classes.map(({ name, index, keys }) => (
        <ClassButton
          key={name}
          id={props.id + String(index)}
          name={name}
          index={index}
          keys={keys}
          amount={counts[name] ?? 0}
          begun={props.begun}
          suggested={suggested.has(name)}
          found={name === props.found}
          pressed={props.pressed === null ? null : pressed.has(name)}
          disabled={props.disabled}
          choose={props.choose}
        />
      ))}
    </div>
  );
});

/** There may be a thousand of them: only those are drawn again about which something else is to be said. */
const ClassButton = memo(function ClassButton(props: {
  id: string;
  name: string;
  index: number;
  keys: string[];
  amount: number;
  begun: boolean;
  suggested: boolean;
  found: boolean;
  pressed: boolean | null;
  disabled: boolean;
  choose: (label: string) => void;
}): ReactNode {
  const { name, keys, amount } = props;
  const marks = { suggested: props.suggested, found: props.found, pressed: props.pressed === true };
  const names = Object.entries(marks).flatMap(([mark, is]) => (is ? [`mls-class-${mark}`] : []));
  return (
    <button
      id={props.id}
      type="button"
      className={["mls-class", ...names].join(" ")}
      disabled={props.disabled}
      aria-pressed={props.pressed ?? undefined}
      aria-keyshortcuts={keys.join(" ") || undefined}
      onClick={() => props.choose(name)}
      style={{ "--mls-class-color": classColor(props.index), "--mls-amount": amount } as CSSProperties}
    >
      <span className="mls-keys" aria-hidden="true">
        {keys.map((key, place) => (
          <kbd key={place} className={props.begun && place === 0 ? "mls-key mls-key-down" : "mls-key"}>
            {key.toUpperCase()}
          </kbd>
        ))}
      </span>
      <span className="mls-class-name" title={name} dir="auto">
        {name}
      </span>
      <span className="mls-class-count">
        <span className="mls-screen-reader">, </span>
        {count(amount)}
        <span className="mls-screen-reader"> labeled{keys.length > 0 ? `, key ${keys.join(" then ")}` : ""}</span>
      </span>
    </button>
  );
});
