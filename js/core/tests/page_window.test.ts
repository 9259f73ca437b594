import { describe, expect, it } from "vitest";
import { PageWindow, placed } from "../src/page_window";

const part = (offset: number, size = 10): { items: number[]; offset: number } => ({
  items: Array.from({ length: size }, (_, index) => offset + index),
  offset,
});

describe("the pages of a long list", () => {
  it("are those that are looked at, of which the first that has not come is missing", () => {
    const pages = new PageWindow(10);
    expect(pages.pages()).toEqual([0]);
    pages.show(15, 41);
    expect(pages.pages()).toEqual([1, 2, 3, 4]);
    const rows = new Map(placed(part(10)));
    expect(pages.missing(rows, 100)).toBe(2);
    // What lies beyond the end is not missing.
    expect(pages.missing(rows, 20)).toBeUndefined();
    pages.restart();
    expect(pages.pages()).toEqual([0]);
  });

  it("begin at the first row however far one scrolls back", () => {
    const pages = new PageWindow(10);
    pages.show(-30, -5);
    expect(pages.pages()).toEqual([0]);
  });

  it("keep what lies near, and forget the rest", () => {
    const pages = new PageWindow(10);
    let rows = pages.extended(new Map(), part(0));
    pages.show(100, 109);
    rows = pages.extended(rows, part(100));
    expect([rows.get(0), rows.get(109), rows.size]).toEqual([0, 109, 20]);
    pages.show(110, 119);
    rows = pages.extended(rows, part(110));
    expect([rows.has(0), rows.has(100), rows.size]).toEqual([false, true, 20]);
  });
});
