/** Pages before and after what is seen that are kept, so that memory stays bounded however far one scrolls. */
const KEPT_PAGES = 10;

/** A part of a long list, as the server gives it. */
interface Part<Row> {
  items: readonly Row[];
  offset: number;
}

/** Which pages of a long list are looked at, which of them are missing, and which rows are kept. */
export class PageWindow {
  private first = 0;
  private last: number;

  /** @param size rows of a page */
  constructor(private readonly size: number) {
    this.last = size - 1;
  }

  /** Back to the beginning, as after a change of what is asked for. */
  restart(): void {
    [this.first, this.last] = [0, this.size - 1];
  }

  /** The rows at these positions are looked at. */
  show(first: number, last: number): void {
    this.first = Math.max(0, first);
    this.last = Math.max(this.first, last);
  }

  /** The numbers of the pages that are looked at. */
  pages(): number[] {
    const [from, to] = [Math.floor(this.first / this.size), Math.floor(this.last / this.size)];
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  }

  /** The first page that is looked at and has not come. */
  missing(rows: ReadonlyMap<number, unknown>, total: number): number | undefined {
    return this.pages().find((page) => page * this.size < total && !rows.has(page * this.size));
  }

  /** The rows with those that have come, without those far from what is looked at. */
  extended<Row>(rows: ReadonlyMap<number, Row>, part: Part<Row>): Map<number, Row> {
    const pages = this.pages();
    const [first, last] = [(pages[0]! - KEPT_PAGES) * this.size, (pages.at(-1)! + KEPT_PAGES + 1) * this.size];
    return new Map([...rows, ...placed(part)].filter(([place]) => place >= first && place < last));
  }
}

/** Rows with their positions. */
export function placed<Row>(part: Part<Row>): [number, Row][] {
  return part.items.map((row, index) => [part.offset + index, row]);
}
