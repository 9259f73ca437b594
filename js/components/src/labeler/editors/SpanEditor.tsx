import type { Span } from "@modelship-lab/core";
import {
  useImperativeHandle,
  useMemo,
  useRef,
  useState,
  type CSSProperties,
  type KeyboardEvent,
  type ReactNode,
} from "react";
import { classColor } from "../../colors";
import { LONGEST_TEXT, Rest, sizeOfText } from "../SampleView";
import type { EditorProps } from "./editor";
import { PartList } from "./PartList";
import { CodePoints, lanesOf, piecesOf, trimmed, wordsOf, type Piece, type Stretch } from "./text";

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
  const whole = sample.text ?? "";
  const text = whole.slice(0, LONGEST_TEXT);
  const [mark, setMark] = useState(NOTHING);
  const place = useRef<HTMLDivElement>(null);
  /** Where the arrows have come to, by its place among the words. */
  const lastWord = useRef(-1);
  const points = useMemo(() => new CodePoints(whole), [whole]);
  const words = useMemo(() => wordsOf(text), [text]);
  const spans = useMemo(() => props.value.spans ?? [], [props.value.spans]);
  const stretches = useMemo(
    () => spans.map(({ start, end }) => ({ start: points.toUnit(start), end: points.toUnit(end) })),
    [spans, points],
  );
  const { picked } = mark;
  // After an undo there may be fewer of them.
  const chosen = mark.chosen !== null && mark.chosen < spans.length ? mark.chosen : null;
  const excerpt = ({ start, end }: Stretch): string => {
    const words = whole.slice(start, end).replace(/\s+/g, " ");
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
    setMark({ picked: null, chosen: null });
    lastWord.current = words.findIndex((word) => word.end >= stretch.end);
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

  /** Goes to another word, or (`more`) takes words in or leaves them out at the end. */
  const go = (step: 1 | -1, more: boolean): boolean => {
    if (words.length === 0) return false;
    const last = words.length - 1;
    if (picked) {
      const first = words.findIndex((word) => word.end > picked.start);
      const end = words.findLastIndex((word) => word.start < picked.end);
      if (first < 0 || end < 0) return false;
      const to = Math.min(last, Math.max(0, (step > 0 || more ? end : first) + step));
      if (more) pick({ start: picked.start, end: words[Math.max(to, first)]!.end });
      else pick(words[to]!);
      lastWord.current = to;
      return true;
    }
    const from = chosen !== null ? words.findIndex((word) => word.end >= stretches[chosen]!.end) : lastWord.current;
    const to = from < 0 && step < 0 ? last : Math.min(last, Math.max(0, from + step));
    lastWord.current = to;
    pick(words[to]!);
    return true;
  };

  /** Moves the end of what is picked by one character. */
  const trim = (step: 1 | -1): boolean => {
    if (!picked) return false;
    const end = points.toUnit(points.toPoint(picked.end) + step);
    if (end > picked.start && end <= text.length) pick({ start: picked.start, end });
    return true;
  };

  const press = (event: KeyboardEvent): boolean => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : null;
    if (step !== null && !event.altKey && !event.metaKey) return event.ctrlKey ? trim(step) : go(step, event.shiftKey);
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
      case "End":
        if (words.length > 0) pick(words.at(event.key === "Home" ? 0 : -1)!);
        return words.length > 0;
      case "Escape":
        if (picked || chosen !== null) setMark(NOTHING);
        else if (active !== null) props.activate(null);
        else return false;
        return true;
    }
    return false;
  };

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
      if (next === undefined) setMark(NOTHING);
      else choose(next);
      return;
    }
    const stretch = trimmed(text, { start, end });
    selection.removeAllRanges();
    if (!stretch) return;
    if (active === null) pick(stretch);
    else add(stretch, active);
  };

  const lanes = lanesOf(stretches);
  const color = (index: number): string => classColor(classes.indexOf(spans[index]!.label));
  return (
    <>
      <div className={active === null ? "mls-card" : "mls-card mls-card-drawing"}>
        <div className="mls-card-body">
          <div
            ref={place}
            className={`${sizeOfText(text)} mls-spans`}
            dir="auto"
            style={{ "--mls-lanes": Math.max(1, ...lanes.map((lane) => lane + 1)) } as CSSProperties}
            onPointerDown={(event) => {
              // The button may be let go of anywhere; the browser selects until then.
              if (event.button === 0) addEventListener("pointerup", () => setTimeout(release), { once: true });
            }}
          >
            {piecesOf(text.length, stretches, picked).map((piece) => (
              <span
                key={piece.start}
                data-start={piece.start}
                data-classes={piece.ending.map((one) => spans[one]!.label).join(" · ") || undefined}
                className={namesOf(piece, chosen)}
                style={lookOf(piece, lanes, color, stretches)}
              >
                {text.slice(piece.start, piece.end)}
              </span>
            ))}
          </div>
          <Rest text={whole} />
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

function namesOf(piece: Piece, chosen: number | null): string | undefined {
  const names = [
    piece.covering.length > 0 && "mls-span",
    chosen !== null && piece.covering.includes(chosen) && "mls-span-chosen",
    piece.picked && "mls-span-picked",
  ].filter(Boolean);
  return names.join(" ") || undefined;
}

/** The ground of the shortest span, and a line of its color for each. */
function lookOf(
  piece: Piece,
  lanes: readonly number[],
  color: (index: number) => string,
  stretches: readonly Stretch[],
): CSSProperties | undefined {
  if (piece.covering.length === 0) return undefined;
  const shortest = piece.covering.reduce((a, b) => (lengthOf(stretches[b]!) < lengthOf(stretches[a]!) ? b : a));
  const lines: string[] = [];
  for (const index of [...piece.covering].sort((a, b) => lanes[a]! - lanes[b]!)) {
    const top = lanes[index]! * 4;
    // The ground covers whatever of a deeper line would shine through.
    if (top > 0) lines.push(`0 ${top}px 0 var(--mls-raised)`);
    lines.push(`0 ${top + 2}px 0 ${color(index)}`);
  }
  return { "--mls-class-color": color(shortest), boxShadow: lines.join(", ") } as CSSProperties;
}

/** Where in the text a place in the page is; null outside of it. */
function offsetIn(place: HTMLElement, node: Node | null, offset: number): number | null {
  if (!node || !place.contains(node)) return null;
  if (node.nodeType === Node.TEXT_NODE) {
    const start = node.parentElement?.closest<HTMLElement>("[data-start]")?.dataset.start;
    return start === undefined ? null : Number(start) + offset;
  }
  // Between two elements: the beginning of the one that follows, or the end of all.
  const next = node === place ? place.children[offset] : (node as HTMLElement);
  const start = (next as HTMLElement | undefined)?.dataset.start;
  return start === undefined ? (place.textContent?.length ?? 0) : Number(start) + (node === place ? 0 : offset && (next?.textContent?.length ?? 0));
}
