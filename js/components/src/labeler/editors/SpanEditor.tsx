import type { Span } from "@modelship-lab/core";
import { useEffect, useImperativeHandle, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { classColor } from "../../colors";
import { MarkedText } from "../MarkedText";
import type { EditorProps } from "./editor";
import { PartList } from "./PartList";
import { chunksOf, CodePoints, trimmed, Words, type Stretch } from "./text";

/** So much of a span is named in the list. */
const EXCERPT = 40;

interface Mark {
  /** What a class is to be chosen for. */
  picked: Stretch | null;
  /** The span that keys mean, by its place in the list. */
  chosen: number | null;
}

const NOTHING: Mark = { picked: null, chosen: null };

/** Spans of a text: drawn with the mouse, or word by word with the arrows. */
export function SpanEditor(props: EditorProps): ReactNode {
  // Another text: nothing is picked or chosen in it.
  return <Spans key={props.sample.id} {...props} />;
}

function Spans(props: EditorProps): ReactNode {
  const { sample, classes, active, announce } = props;
  const text = sample.text ?? "";
  const [mark, setMark] = useState(NOTHING);
  const place = useRef<HTMLDivElement>(null);
  /** Where the arrows go on from. */
  const cursor = useRef<Stretch | null>(null);
  const points = useMemo(() => new CodePoints(text), [text]);
  const words = useMemo(() => new Words(text, chunksOf(text)), [text]);
  const spans = useMemo(() => props.value.spans ?? [], [props.value.spans]);
  const stretches = useMemo(
    () => spans.map((span) => points.toUnits(span)),
    [spans, points],
  );
  const { picked } = mark;
  // After an undo there may be fewer of them.
  const chosen = mark.chosen !== null && mark.chosen < spans.length ? mark.chosen : null;
  const excerpt = ({ start, end }: Stretch): string => {
    const words = text.slice(start, Math.min(end, start + 4 * EXCERPT)).replace(/\s+/g, " ");
    return words.length > EXCERPT ? `${words.slice(0, EXCERPT)}…` : words;
  };

  const set = (changed: Span[]): void =>
    props.change({ spans: changed.sort((a, b) => a.start - b.start || a.end - b.end) });
  const add = (stretch: Stretch, label: string): void => {
    const span: Span = { start: points.toPoint(stretch.start), end: points.toPoint(stretch.end), label };
    const known = spans.some((one) => one.start === span.start && one.end === span.end && one.label === label);
    if (!known) set([...spans, span]);
    announce(`${label}: ${excerpt(stretch)}.`);
    // The next word is a step away.
    setMark(NOTHING);
    cursor.current = stretch;
  };
  const remove = (index: number): void => {
    set(spans.filter((_, other) => other !== index));
    setMark(NOTHING);
    announce("Removed.");
  };
  const choose = (index: number): void => {
    setMark({ picked: null, chosen: index });
    announce(`${spans[index]!.label}: ${excerpt(stretches[index]!)}, ${index + 1} of ${spans.length}.`);
  };
  const pick = (stretch: Stretch): void => {
    setMark({ picked: stretch, chosen: null });
    announce(excerpt(stretch));
  };

  /** Goes to the next or the last word. */
  const go = (step: 1 | -1): boolean => {
    const from = picked ?? (chosen === null ? cursor.current : stretches[chosen]!);
    const to =
      step > 0
        ? words.first(from?.end ?? 0, (word) => word.start >= (from?.end ?? 0))
        : words.last(from?.start ?? text.length, (word) => word.end <= (from?.start ?? text.length));
    if (to) pick(to);
    return to !== undefined || from !== null;
  };

  /** Moves one end of what is picked, or of the span that is chosen, by a word or by a character. */
  const adjust = (side: "start" | "end", step: 1 | -1, by: "word" | "character"): boolean => {
    const before = picked ?? (chosen === null ? null : stretches[chosen]!);
    if (!before) return false;
    const from = before[side];
    let to: number | undefined;
    if (by === "character") to = points.toUnit(Math.max(0, points.toPoint(from) + step));
    else if (step > 0) to = words.first(from, (word) => word[side] > from)?.[side];
    else to = words.last(from, (word) => word[side] < from)?.[side];
    const after = { ...before, [side]: to ?? from };
    if (after.start >= after.end) return true;
    if (picked) pick(after);
    else if (chosen !== null) {
      const span = { ...spans[chosen]!, start: points.toPoint(after.start), end: points.toPoint(after.end) };
      const changed = spans.map((one, index) => (index === chosen ? span : one));
      set(changed);
      setMark({ picked: null, chosen: changed.indexOf(span) });
      announce(`${span.label}: ${excerpt(after)}.`);
    }
    return true;
  };

  const press = (event: KeyboardEvent): boolean => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : null;
    if (step !== null && !event.metaKey) {
      if (event.ctrlKey) return adjust(event.shiftKey ? "start" : "end", step, "character");
      if (event.shiftKey) return adjust(event.altKey ? "start" : "end", step, "word") || go(step);
      return !event.altKey && go(step);
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    switch (event.key) {
      case "Tab": {
        const next = chosen === null ? (event.shiftKey ? spans.length - 1 : 0) : chosen + (event.shiftKey ? -1 : 1);
        // Past the last one the focus goes on as it does everywhere.
        if (next < 0 || next >= spans.length) {
          setMark(NOTHING);
          return false;
        }
        choose(next);
        return true;
      }
      case "Delete":
      case "Backspace":
        if (chosen !== null) remove(chosen);
        return chosen !== null;
      case "Home":
      case "End": {
        const word = event.key === "Home" ? words.first(0, () => true) : words.last(text.length, () => true);
        if (word) pick(word);
        return word !== undefined;
      }
      case "Escape":
        if (picked || chosen !== null) setMark(NOTHING);
        else if (active !== null) props.activate(null);
        else return false;
        return true;
    }
    return false;
  };

  useEffect(() => {
    if (picked || chosen !== null) {
      const name = picked ? ".mls-span-picked" : ".mls-span-chosen";
      place.current?.querySelector(name)?.scrollIntoView?.({ block: "nearest" });
    }
  }, [picked, chosen]);

  useImperativeHandle(props.handle, () => ({
    choose: (label) => {
      if (picked) add(picked, label);
      else if (chosen !== null) {
        set(spans.map((span, index) => (index === chosen ? { ...span, label } : span)));
        announce(`Now ${label}.`);
      } else {
        props.activate(active === label ? null : label);
        announce(active === label ? "No class is chosen." : `${label} is chosen: select text.`);
      }
    },
    press,
  }));

  /** What the mouse has selected, or the span that it was pointed at. */
  const release = (): void => {
    const root = place.current?.getRootNode() as (Document | ShadowRoot) & { getSelection?: () => Selection | null };
    const selection = root.getSelection?.() ?? document.getSelection();
    if (!selection || selection.rangeCount === 0 || !place.current) return;
    const ends = [
      offsetIn(place.current, selection.anchorNode, selection.anchorOffset),
      offsetIn(place.current, selection.focusNode, selection.focusOffset),
    ];
    if (ends[0] === null || ends[1] === null) return;
    const [start, end] = ends.sort((a, b) => a! - b!) as [number, number];
    if (start === end) {
      const under = [...stretches.keys()]
        .filter((one) => stretches[one]!.start <= start && start <= stretches[one]!.end)
        .sort((a, b) => lengthOf(stretches[a]!) - lengthOf(stretches[b]!));
      // Pointing at the same place again chooses what lies below.
      const next = under[(under.indexOf(chosen ?? -1) + 1) % under.length];
      if (next !== undefined) return choose(next);
      setMark(NOTHING);
      // The arrows go on from where it was pointed at.
      const word = words.first(start, (one) => one.end > start);
      cursor.current = word ? { start: word.start, end: word.start } : null;
      return;
    }
    const stretch = trimmed(text, { start, end });
    selection.removeAllRanges();
    if (!stretch) return;
    if (active === null) pick(stretch);
    else add(stretch, active);
  };

  const marks = useMemo(
    () =>
      spans.map(({ label }, index) => ({
        ...stretches[index]!,
        label,
        color: classColor(classes.indexOf(label)),
        chosen: index === chosen,
      })),
    [spans, stretches, classes, chosen],
  );
  return (
    <>
      <div className={active === null ? "mls-card" : "mls-card mls-card-drawing"}>
        <div className="mls-card-body">
          <MarkedText
            text={text}
            marks={marks}
            picked={picked}
            className="mls-spans"
            place={place}
            onPointerDown={(event) => {
              // The button may be let go of anywhere; the browser selects until then.
              if (event.button === 0) addEventListener("pointerup", () => setTimeout(release), { once: true });
            }}
          />
        </div>
      </div>
      <PartList
        name="Spans"
        none={
          active === null
            ? "No span yet: choose a class, then select text; or select first"
            : `Select text that is “${active}”`
        }
        classes={classes}
        parts={spans.map(({ label }, index) => ({ label, text: excerpt(stretches[index]!) }))}
        chosen={chosen}
        choose={choose}
        remove={remove}
      />
    </>
  );
}

function lengthOf({ start, end }: Stretch): number {
  return end - start;
}

/** Where in the text a place in the page is; null outside of it. */
function offsetIn(place: HTMLElement, node: Node | null, offset: number): number | null {
  if (!node || !place.contains(node)) return null;
  const before = document.createRange();
  before.setStart(place, 0);
  before.setEnd(node, offset);
  return before.toString().length;
}
