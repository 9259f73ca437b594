/** A stretch of a text in the units of strings in JavaScript (UTF-16). */
export interface Stretch {
  start: number;
  end: number;
}

/** Translates between the units of strings in JavaScript (UTF-16) and the Unicode code points that spans count. */
export class CodePoints {
  /** Where each code point begins; null where both count alike. */
  private readonly begins: number[] | null;

  constructor(text: string) {
    this.begins = /[\uD800-\uDFFF]/.test(text) ? begins(text) : null;
  }

  toUnit(point: number): number {
    return this.begins ? this.begins[Math.min(point, this.begins.length - 1)]! : point;
  }

  /** The code point that begins at a unit, or that the unit is in. */
  toPoint(unit: number): number {
    const { begins } = this;
    if (!begins) return unit;
    let low = 0;
    let high = begins.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (begins[middle]! <= unit) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function begins(text: string): number[] {
  const places = [0];
  for (const character of text) places.push(places.at(-1)! + character.length);
  return places;
}

/** The words of a text, as its script divides them. */
export function wordsOf(text: string): Stretch[] {
  const words: Stretch[] = [];
  for (const { index, segment, isWordLike } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)) {
    if (isWordLike) words.push({ start: index, end: index + segment.length });
  }
  return words;
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

/** Divides a text wherever a span or what is picked begins or ends. */
export function piecesOf(length: number, spans: readonly Stretch[], picked: Stretch | null): Piece[] {
  const cuts = new Set([0, length]);
  for (const { start, end } of picked ? [...spans, picked] : spans) {
    cuts.add(Math.min(start, length));
    cuts.add(Math.min(end, length));
  }
  const places = [...cuts].sort((a, b) => a - b);
  return places.slice(0, -1).map((start, index) => {
    const end = places[index + 1]!;
    const covering = [...spans.keys()].filter((one) => spans[one]!.start <= start && spans[one]!.end >= end);
    return {
      start,
      end,
      covering,
      ending: covering.filter((one) => Math.min(spans[one]!.end, length) === end),
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
