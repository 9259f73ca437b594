import { memo, useMemo, type CSSProperties, type PointerEventHandler, type ReactNode, type Ref } from "react";
import { chunksOf, lanesOf, piecesOf, type Piece, type Stretch } from "./editors/text";

/** A span as it is drawn. */
export interface Mark extends Stretch {
  label: string;
  color: string;
  chosen?: boolean;
}

interface LaidMark extends Mark {
  /** Which of the lines under the text is its own. */
  lane: number;
}

const NO_MARKS: readonly Mark[] = [];

/**
 * A text of any length, with what is marked in it.
 *
 * A long one is laid out in parts, of which the browser draws those that are in sight, and of which only those are drawn
 * again in which a mark has changed.
 */
export function MarkedText(props: {
  text: string;
  marks?: readonly Mark[];
  picked?: Stretch | null;
  className?: string;
  place?: Ref<HTMLDivElement>;
  onPointerDown?: PointerEventHandler;
}): ReactNode {
  const { text, marks = NO_MARKS, picked = null, className = "", place, onPointerDown } = props;
  const chunks = useMemo(() => chunksOf(text), [text]);
  const laid = useMemo(() => {
    const lanes = lanesOf(marks);
    return marks.map((mark, index) => ({ ...mark, lane: lanes[index]! }));
  }, [marks]);
  const lanes = Math.max(1, ...laid.map(({ lane }) => lane + 1));
  return (
    <div
      ref={place}
      className={`${sizeOfText(text)} ${className}`}
      dir="auto"
      style={{ "--mls-lanes": lanes } as CSSProperties}
      onPointerDown={onPointerDown}
    >
      {chunks.map((chunk) => (
        <Chunk
          key={chunk.start}
          text={text}
          chunk={chunk}
          alone={chunks.length === 1}
          marks={laid.filter((mark) => overlap(mark, chunk))}
          picked={picked && overlap(picked, chunk) ? picked : null}
        />
      ))}
    </div>
  );
}

/** The shorter a text, the larger its letters. */
function sizeOfText(text: string): string {
  const size = text.length < 160 ? "large" : text.length < 800 ? "medium" : "small";
  return `mls-sample-text mls-sample-text-${size}`;
}

function overlap(one: Stretch, other: Stretch): boolean {
  return one.start < other.end && one.end > other.start;
}

interface ChunkProps {
  text: string;
  chunk: Stretch;
  /** There is no other: it is drawn as it is. */
  alone: boolean;
  marks: readonly LaidMark[];
  picked: Stretch | null;
}

const Chunk = memo(function Chunk({ text, chunk, alone, marks, picked }: ChunkProps): ReactNode {
  return (
    <div className={alone ? undefined : "mls-chunk"} dir="auto">
      {piecesOf(chunk, marks, picked).map((piece) => (
        <span
          key={piece.start}
          data-classes={piece.ending.map((one) => marks[one]!.label).join(" · ") || undefined}
          className={namesOf(piece, marks)}
          style={lookOf(piece, marks)}
        >
          {text.slice(piece.start, piece.end)}
        </span>
      ))}
    </div>
  );
}, isDrawn);

/** Whether a part is on the page already as it should be. */
function isDrawn(before: ChunkProps, after: ChunkProps): boolean {
  return (
    before.text === after.text &&
    before.chunk === after.chunk &&
    JSON.stringify([before.marks, before.picked]) === JSON.stringify([after.marks, after.picked])
  );
}

function namesOf(piece: Piece, marks: readonly LaidMark[]): string | undefined {
  const names = [
    piece.covering.length > 0 && "mls-span",
    piece.covering.some((one) => marks[one]!.chosen) && "mls-span-chosen",
    piece.picked && "mls-span-picked",
  ].filter(Boolean);
  return names.join(" ") || undefined;
}

/** The ground of the shortest span, and a line of its color for each. */
function lookOf(piece: Piece, marks: readonly LaidMark[]): CSSProperties | undefined {
  if (piece.covering.length === 0) return undefined;
  const covering = piece.covering.map((one) => marks[one]!);
  const shortest = covering.reduce((a, b) => (b.end - b.start < a.end - a.start ? b : a));
  const lines: string[] = [];
  for (const { lane, color } of covering.sort((a, b) => a.lane - b.lane)) {
    const top = lane * 4;
    // The ground covers whatever of a deeper line would shine through.
    if (top > 0) lines.push(`0 ${top}px 0 var(--mls-raised)`);
    lines.push(`0 ${top + 2}px 0 ${color}`);
  }
  return { "--mls-class-color": shortest.color, boxShadow: lines.join(", ") } as CSSProperties;
}
