import { describe, expect, it } from "vitest";
import { keysOfClasses, meaningOfKey } from "../src/labeler/keys";

const classes = (count: number): string[] => Array.from({ length: count }, (_, index) => `class ${index}`);
const pressed = (key: string, more: object = {}) => ({
  key,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  shiftKey: false,
  ...more,
});

describe("keysOfClasses", () => {
  it("gives given keys to their classes and the others what is left", () => {
    const keys = keysOfClasses(["a", "b", "c", "d"], { b: "1", d: "q1" });
    expect(keys).toEqual([["2"], ["1"], ["3"], ["q", "1"]]);
  });

  it.each<Record<string, string>>([
    {},
    { "class 3": "q" },
    { "class 3": "1a", "class 7": "1b", "class 40": "w" },
    { "class 9": "q1", "class 10": "w1", "class 2": "9" },
  ])("never gives a sequence that another one begins with: %j", (given) => {
    const all = keysOfClasses(classes(150), given).map((keys) => keys.join("")).filter((keys) => keys !== "");
    expect(new Set(all).size).toBe(all.length);
    for (const one of all) {
      expect(all.filter((other) => other.startsWith(one))).toEqual([one]);
      expect("sfun?/ ").not.toContain(one[0]);
    }
    expect(all.length).toBe(150);
  });

  it("gives classes that are digits their own key, unless it is given away", () => {
    expect(keysOfClasses(["0", "1", "2"])).toEqual([["0"], ["1"], ["2"]]);
    expect(keysOfClasses(["0", "1", "2"], { "0": "1" })).toEqual([["1"], [], ["2"]]);
  });

  it("has no keys for classes beyond the last chord", () => {
    const keys = keysOfClasses(classes(1000));
    expect(keys.at(-1)).toEqual([]);
    expect(keys.filter((sequence) => sequence.length > 0).length).toBeGreaterThan(150);
  });
});

describe("meaningOfKey", () => {
  const keys = [["1"], ["q", "1"], ["p"], ["+"]];

  it("tells a reason from none by the shift key", () => {
    expect(meaningOfKey(pressed("s"), keys, null)).toEqual({ kind: "skip" });
    expect(meaningOfKey(pressed("S", { shiftKey: true }), keys, null)).toEqual({ kind: "skip_why" });
    // With caps lock the letter is large, too.
    expect(meaningOfKey(pressed("S"), keys, null)).toEqual({ kind: "skip" });
  });

  it("lets classes have signs as keys", () => {
    expect(meaningOfKey(pressed("+"), keys, null)).toEqual({ kind: "class", index: 3 });
  });

  it("ends a chord with nothing but one of its keys", () => {
    expect(meaningOfKey(pressed("q"), keys, null)).toEqual({ kind: "prefix", prefix: "q" });
    expect(meaningOfKey(pressed("1"), keys, "q")).toEqual({ kind: "class", index: 1 });
    for (const key of ["p", "s", "2", " ", "Escape"]) {
      expect(meaningOfKey(pressed(key), keys, "q")).toEqual({ kind: "cancel" });
    }
  });
});
