/** A stretch of a text in the units of strings in JavaScript (UTF-16). */
export interface Stretch {
  start: number;
  end: number;
}

/** Translates between the units of strings in JavaScript (UTF-16) and the Unicode code points that spans count. */
export class CodePoints {
  /** Where the code points of two units begin. */
  private readonly pairs: number[];

  constructor(private readonly text: string) {
    this.pairs = Array.from(text.matchAll(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g), ({ index }) => index);
  }

  toUnit(point: number): number {
    return Math.min(point + this.before((pair, index) => pair - index < point), this.text.length);
  }

  toUnits({ start, end }: Stretch): Stretch {
    return { start: this.toUnit(start), end: this.toUnit(end) };
  }

  /** The code point that begins at a unit, or that the unit is in. */
  toPoint(unit: number): number {
    return unit - this.before((pair) => pair < unit);
  }

  /** How many pairs meet a condition that those after them do not. */
  private before(meets: (pair: number, index: number) => boolean): number {
    let low = 0;
    let high = this.pairs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (meets(this.pairs[middle]!, middle)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** So long are the parts in which a long text is laid out and searched for words. */
const CHUNK = 4000;

/** Divides a text at ends of lines into parts of bearable length, at blanks only where a line goes on and on. */
export function chunksOf(text: string): Stretch[] {
  const chunks: Stretch[] = [];
  for (let start = 0; start < text.length; ) {
    const end = endOfChunk(text, start);
    chunks.push({ start, end });
    start = end;
  }
  return chunks.length > 0 ? chunks : [{ start: 0, end: 0 }];
}

function endOfChunk(text: string, start: number): number {
  if (text.length - start <= CHUNK) return text.length;
  const most = Math.min(start + 4 * CHUNK, text.length);
  const line = text.lastIndexOf("\n", start + CHUNK);
  if (line > start) return line + 1;
  const next = text.indexOf("\n", start + CHUNK);
  if (next >= 0 && next < most) return next + 1;
  if (most === text.length) return most;
  const blank = Math.max(text.lastIndexOf(" ", most), text.lastIndexOf("\u3002", most));
  if (blank > start) return blank + 1;
  // Never between the two units of one code point.
  return /[\uDC00-\uDFFF]/.test(text[most]!) ? most - 1 : most;
}

/** The words of a text, as its script divides them; a long text is divided where it is asked about. */
export class Words {
  private readonly known = new Map<number, Stretch[]>();
  private readonly segmenter = new Intl.Segmenter(undefined, { granularity: "word" });

  constructor(
    private readonly text: string,
    private readonly chunks: readonly Stretch[],
  ) {}

  /** The first word from a place on of which something is true. */
  first(from: number, is: (word: Stretch) => boolean): Stretch | undefined {
    for (let index = this.chunkAt(from); index < this.chunks.length; index++) {
      const word = this.of(index).find(is);
      if (word) return word;
    }
    return undefined;
  }

  /** The last word up to a place of which something is true. */
  last(to: number, is: (word: Stretch) => boolean): Stretch | undefined {
    for (let index = this.chunkAt(to); index >= 0; index--) {
      const word = this.of(index).findLast(is);
      if (word) return word;
    }
    return undefined;
  }

  private chunkAt(unit: number): number {
    const index = this.chunks.findIndex(({ end }) => unit <= end);
    return index < 0 ? this.chunks.length - 1 : index;
  }

  private of(index: number): Stretch[] {
    let words = this.known.get(index);
    if (!words) {
      const { start, end } = this.chunks[index]!;
      words = [];
      for (const { index: at, segment, isWordLike } of this.segmenter.segment(this.text.slice(start, end))) {
        if (isWordLike) words.push({ start: start + at, end: start + at + segment.length });
      }
      this.known.set(index, words);
    }
    return words;
  }
}

/** The stretch without blanks at its ends; null when nothing else is in it. */
export function trimmed(text: string, { start, end }: Stretch): Stretch | null {
  const inner = text.slice(start, end);
  const from = start + (inner.length - inner.trimStart().length);
  const to = from + inner.trim().length;
  return to > from ? { start: from, end: to } : null;
}

/** A piece of a text that the same spans cover from its beginning to its end. */
export interface Piece extends Stretch {
  /** The spans that cover it, by their place in the list. */
  covering: number[];
  /** Those that end with it. */
  ending: number[];
  picked: boolean;
}

/** Divides a part of a text wherever a span or what is picked begins or ends. */
export function piecesOf(part: Stretch, spans: readonly Stretch[], picked: Stretch | null): Piece[] {
  const cuts = new Set([part.start, part.end]);
  for (const { start, end } of picked ? [...spans, picked] : spans) {
    for (const place of [start, end]) if (place > part.start && place < part.end) cuts.add(place);
  }
  const places = [...cuts].sort((a, b) => a - b);
  return places.slice(0, -1).map((start, index) => {
    const end = places[index + 1]!;
    const covering = [...spans.keys()].filter((one) => spans[one]!.start <= start && spans[one]!.end >= end);
    return {
      start,
      end,
      covering,
      ending: covering.filter((one) => spans[one]!.end === end),
      picked: picked !== null && picked.start <= start && picked.end >= end,
    };
  });
}

/** A line under the text for each span, so that no two that overlap share one: 0 is the uppermost. */
export function lanesOf(spans: readonly Stretch[]): number[] {
  const lanes = new Array<number>(spans.length).fill(0);
  const ends: number[] = [];
  const order = [...spans.keys()].sort((a, b) => spans[a]!.start - spans[b]!.start || spans[b]!.end - spans[a]!.end);
  for (const index of order) {
    const { start, end } = spans[index]!;
    let lane = ends.findIndex((last) => last <= start);
    if (lane < 0) lane = ends.length;
    ends[lane] = end;
    lanes[index] = lane;
  }
  return lanes;
}
