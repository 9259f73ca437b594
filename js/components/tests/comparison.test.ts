import type { RunRow } from "@modelship-lab/core";
import { describe, expect, it } from "vitest";
import { runRow } from "../../core/tests/example_runs";
import { diff, hunks, sideBySide } from "../src/comparison/code_diff";
import { compared } from "../src/comparison/differences";
import { axisOf, axisY, nearest, NOWHERE, passing } from "../src/comparison/parallel";
import { spearman } from "../src/comparison/rank_correlation";
import { scaleOf, steps } from "../src/comparison/scale";
import { inFilter, nextSort, share, usualColumns } from "../src/runs/columns";
import { remembered, suggestions } from "../src/runs/filter_words";
import { tree } from "../src/runs/tree";

const row = (id: number, values: RunRow["values"] = {}, change: Partial<RunRow> = {}): RunRow =>
  runRow(id, { name: "", project: null, values, ...change });
const column = (name: string, kind: "param" | "metric" | "summary", min = 0, max = 1, type: "number" | "text" = "number") => ({ name, kind, type, runs: 3, min, max });

describe("scales", () => {
  it("go over magnitudes by themselves when figures do", () => {
    const scale = scaleOf([1e-5, 1e-3, 1e-1, null]);
    expect(scale.log).toBe(true);
    expect(scale.place(1e-3)).toBeCloseTo(0.5);
    expect(scale.ticks.map((tick) => tick.label)).toEqual(["1e-5", "1e-4", "0.001", "0.01", "0.1"]);
    expect(scale.place(null)).toBeNull();
    expect(scale.place(NaN)).toBeNull();
    expect(scaleOf([1e-5, 1e-1], false).place(0.05)).toBeCloseTo(0.5, 2);
    expect(scaleOf([-1, 100], true).log).toBe(false);
  });

  it("have a place for each text in the order of reading, and one for a single value", () => {
    const scale = scaleOf(["run 10", "run 2", true, null]);
    expect(scale.kind).toBe("category");
    expect(scale.ticks.map((tick) => tick.label)).toEqual(["run 2", "run 10", "yes"]);
    expect(scale.place("run 10")).toBe(0.5);
    expect(scaleOf([3, 3]).place(3)).toBe(0.5);
  });

  it("mark round figures", () => {
    expect(steps(0.03, 1.02)).toEqual([0.2, 0.4, 0.6, 0.8, 1]);
    expect(steps(-40, 100)).toEqual([0, 50, 100]);
  });
});

describe("Spearman's rank correlation", () => {
  it("is 1 for whatever rises together, shares ranks of ties, and leaves out what is missing", () => {
    expect(spearman([1, 2, 3, null], [1, 8, 27, 5])).toEqual({ rho: 1, pairs: 3 });
    expect(spearman([1, 2, 3, 4], [9, 7, 5, 1])!.rho).toBeCloseTo(-1);
    // scipy.stats.spearmanr([1, 2, 2, 3, 5], [2, 1, 4, 4, 3]).statistic
    expect(spearman([1, 2, 2, 3, 5], [2, 1, 4, 4, 3])!.rho).toBeCloseTo(0.3947368, 6);
    expect(spearman([1, 1, 1], [1, 2, 3])).toBeNull();
    expect(spearman([1, 2], [1, 2])).toBeNull();
  });
});

describe("parallel coordinates", () => {
  const rows = [row(1, { a: 0, b: 1 }), row(2, { a: 1, b: 0 }), row(3, { a: 0.5 })];
  const axes = [axisOf(rows, "a", undefined), axisOf(rows, "b", undefined)];
  const frame = { width: 200, top: 0, height: 100, left: 0, right: 0 };

  it("leave the runs that pass all brushes; those without a value only pass below the axis", () => {
    expect([...passing(axes, {}, 3)]).toEqual([1, 1, 1]);
    expect([...passing(axes, { a: [0.4, 1] }, 3)]).toEqual([0, 1, 1]);
    expect([...passing(axes, { a: [0.4, 1], b: [0, 1] }, 3)]).toEqual([0, 1, 0]);
    expect([...passing(axes, { b: [NOWHERE, -0.05] }, 3)]).toEqual([0, 0, 1]);
  });

  it("find the line under the pointer, among those that pass", () => {
    expect(nearest(frame, axes, passing(axes, {}, 3), 10, axisY(frame, 0.06))).toBe(0);
    expect(nearest(frame, axes, passing(axes, { a: [0.4, 1] }, 3), 10, axisY(frame, 0.06))).toBeNull();
  });

  it("draw many runs with the same value a little apart, nearer to their value than to the next", () => {
    const many = axisOf(Array.from({ length: 100 }, (_, id) => row(id, { a: id % 4 })), "a", undefined);
    expect(new Set(many.drawn).size).toBeGreaterThan(50);
    many.drawn.forEach((place, run) => expect(Math.abs(place - many.places[run]!)).toBeLessThan(1 / 6));
  });
});

describe("differences", () => {
  it("compare with the reference, tell how much, and which rows differ at all", () => {
    const sides = [new Map<string, unknown>([["lr", 0.1], ["opt", "sgd"]]), new Map<string, unknown>([["lr", 0.3], ["opt", "sgd"], ["seed", 4]])];
    const rows = compared(sides, 0);
    expect(rows.map((one) => [one.name, one.differs])).toEqual([["lr", true], ["opt", false], ["seed", true]]);
    expect(rows[0]!.values[1]).toMatchObject({ text: "0.3", differs: true });
    expect(rows[0]!.values[1]!.change).toBeCloseTo(0.2);
    expect(rows[2]!.values[0]!.text).toBeNull();
    expect(compared(sides, 1)[0]!.values[0]!.change).toBeCloseTo(-0.2);
  });
});

describe("code", () => {
  const left = "a\nb\nlr = 0.1\nc\n1\n2\n3\n4\n5\n6\n7\n8\nend";
  const right = "a\nb\nlr = 0.3\nc\n1\n2\n3\n4\n5\n6\n7\n8\nend\nmore\n";

  it("marks what has changed in a line, and numbers both sides", () => {
    const lines = diff(left, right)!;
    const removed = lines.find((line) => line.kind === "removed")!;
    expect(removed.left).toBe(3);
    expect(removed.pieces.filter((piece) => piece.changed).map((piece) => piece.text).join("")).toMatch(/1/);
    expect(lines.filter((line) => line.kind === "added").map((line) => line.right)).toEqual([3, 14]);
    expect(diff("x\r\ny", "x\ny\n")!.every((line) => line.kind === "same")).toBe(true);
  });

  it("folds what is far from any change, and puts what replaces a line beside it", () => {
    const lines = diff(left, right)!;
    expect(hunks(lines).map((hunk) => [hunk.folded, hunk.lines.length])).toEqual([[false, 7], [true, 4], [false, 4]]);
    const pairs = sideBySide(lines);
    expect(pairs[2]!.map((line) => line!.pieces.map((piece) => piece.text).join(""))).toEqual(["lr = 0.1", "lr = 0.3"]);
    expect(pairs.at(-1)![0]).toBeNull();
  });
});

describe("columns", () => {
  it("are sorted by a click up, down and not at all; with Shift beside the others", () => {
    const figures = { name: "metrics.loss", type: "number" } as const;
    expect(nextSort(["-id"], figures, false)).toEqual(["-metrics.loss"]);
    expect(nextSort(["-metrics.loss"], figures, false)).toEqual(["metrics.loss"]);
    expect(nextSort(["metrics.loss"], figures, false)).toEqual([]);
    expect(nextSort(["name", "-metrics.loss"], figures, true)).toEqual(["name", "metrics.loss"]);
    expect(nextSort(["name"], figures, true)).toEqual(["name", "-metrics.loss"]);
  });

  it("that nobody chose are figures by which runs are judged and parameters that differ", () => {
    const known = [
      column("params.same", "param", 2, 2),
      column("params.lr", "param"),
      column("metrics.lr", "metric"),
      column("metrics.val_loss", "metric"),
      column("metrics.loss{rank=1}", "metric"),
      column("summary.accuracy", "summary"),
      column("metrics.accuracy", "metric"),
    ];
    expect(usualColumns(known)).toEqual(["status", "summary.accuracy", "metrics.val_loss", "metrics.lr", "params.lr", "duration_s", "started_at"]);
    // A final figure that few runs have does not hide the metric that all have.
    const few = [{ ...column("summary.loss", "summary"), runs: 1 }, { ...column("metrics.loss", "metric"), runs: 9 }];
    expect(usualColumns(few)).toEqual(["status", "metrics.loss", "duration_s", "started_at"]);
  });

  it("are called in a filter as it takes them", () => {
    expect(inFilter("params.lr")).toBe("params.lr");
    expect(inFilter('metrics["val/loss"].min')).toBe('metrics["val/loss"].min');
    expect(inFilter("metrics.loss{subset=val}")).toBe('metrics["loss", "subset=val"]');
    expect(inFilter('metrics["val/loss"]{rank=0,subset=val}')).toBe('metrics["val/loss", "rank=0", "subset=val"]');
    expect(inFilter('metrics.loss{a="x,y"}')).toBe(String.raw`metrics["loss", "a=\"x,y\""]`);
  });

  it("show figures over magnitudes by magnitude", () => {
    expect(share(0.01, { min: 0.0001, max: 1 })).toBeCloseTo(0.5);
    expect(share(5, { min: 0, max: 10 })).toBe(0.5);
    expect(share("x", { min: 0, max: 10 })).toBeNull();
    expect(share(1, { min: 1, max: 1 })).toBeNull();
  });
});

describe("words of a filter", () => {
  const known = [column("metrics.val_loss", "metric"), column("params.lr", "param"), column('params["net.depth"]', "param")];
  const texts = (filter: string): string[] => suggestions(filter, filter.length, known).items.map((one) => one.text);

  it("are names that begin so or have it in them, from where the word begins", () => {
    expect(texts("status == \"finished\" and loss")).toEqual(["metrics.val_loss"]);
    expect(texts("params.")).toEqual(["params.lr", 'params["net.depth"]']);
    expect(texts('params["net')).toEqual(['params["net.depth"]']);
    expect(suggestions("x > 1 and lr", 12, known).start).toBe(10);
    expect(texts("dur")[0]).toBe("duration_s");
  });

  it("are the statuses behind `status ==`, and none inside of a text", () => {
    expect(texts("status == ")).toContain('"finished"');
    expect(texts('status == "fa')).toEqual(['"failed"']);
    expect(texts('"base')).toEqual([]);
  });

  it("of the last filters come back, each once", () => {
    expect(remembered(["a", "b", "c"], " b ")).toEqual(["b", "a", "c"]);
    expect(remembered(["a"], "  ")).toEqual(["a"]);
  });
});

describe("children", () => {
  const parent = row(5, {}, { children: 2 });
  const child = row(7, {}, { parent_id: 5, children: 1 });
  const grandchild = row(9, {}, { parent_id: 7 });
  const rows = new Map([[0, row(6)], [1, parent], [2, row(4)]]);

  it("stand below their parents when these are unfolded", () => {
    const closed = tree(rows, 3, new Map(), true);
    expect([closed.total, closed.rowAt(1)!.open, closed.rowAt(0)!.open]).toEqual([3, false, null]);
    const open = tree(rows, 3, new Map([[5, [child, row(8)]], [7, [grandchild]]]), true);
    expect(open.total).toBe(6);
    expect([0, 1, 2, 3, 4, 5].map((place) => [open.rowAt(place)!.row.id, open.rowAt(place)!.depth])).toEqual([[6, 0], [5, 0], [7, 1], [9, 2], [8, 1], [4, 0]]);
    expect([3, 5].map(open.rootAt)).toEqual([1, 2]);
    expect(tree(rows, 3, new Map([[5, [child]]]), false).total).toBe(3);
  });
});
