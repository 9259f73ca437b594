import { MetricSeries, type MetricFeed, type Series } from "@modelship-lab/core";
import { describe, expect, it } from "vitest";
import { csvOf } from "../src/chart/download";
import { extentOf, nearest, type Curve, type Drawing } from "../src/chart/drawing";
import { valuesAt } from "../src/chart/Tooltip";
import { moved, scaled } from "../src/chart/zoom";
import { runColor } from "../src/colors";
import { AT_FIRST as plain, type Choices } from "../src/runs/choices";
import { notesOf, PanelCurves, stretchOf, type CurveSource } from "../src/runs/curves";

/** A run whose metrics are there; times are 100 s and two for each step. */
function source(runId: number, series: (Partial<Series> & { name: string; steps: number[]; values: (number | null)[] })[]): CurveSource {
  const axis = series.some((one) => one.x) ? "metric:samples" : "step";
  const all = series.map((one) => {
    const times = one.steps.map((step) => 100 + 2 * step);
    const rest = { x: null, low: null, high: null, counts: null, nonfinite: [], nonfinite_count: 0, points: one.steps.length, reduced: false };
    return new MetricSeries(one.name, one.context ?? {}, axis, 100, { context: {}, times, ...rest, ...one });
  });
  const named = (name: string): MetricSeries[] => all.filter((one) => one.name === name);
  const metrics = { series: named, wholeSeries: named, last: () => 1, watch: () => () => undefined } as unknown as MetricFeed;
  return { runId, title: `run ${runId}`, startedAt: 100, metrics };
}

const drawn = (sources: CurveSource[], metrics: string[], change: Partial<Choices> = {}): [Curve[], PanelCurves] => {
  const curves = new PanelCurves(sources, metrics, { ...plain, ...change });
  return [curves.read().curves, curves];
};

describe("PanelCurves", () => {
  it("gives each line its own places, and names contexts with dashes of their own", () => {
    const one = source(1, [
      { name: "loss", context: { subset: "train" }, steps: [1, 2, 3], values: [4, 3, 2] },
      { name: "loss", context: { subset: "val", rank: "0" }, steps: [2], values: [3.5] },
    ]);
    const [curves, panel] = drawn([one], ["loss"]);
    expect(curves.map(({ x }) => x)).toEqual([[1, 2, 3], [2]]);
    expect(panel.legend.map(({ label }) => label)).toEqual(["loss · train", "loss · val · rank 0"]);
    expect(curves[0]!.dash).not.toEqual(curves[1]!.dash);
    expect(curves[0]!.color).not.toBe(curves[1]!.color);
  });

  it("gives a run its color wherever it is, and leaves out what was hidden", () => {
    const runs = [7, 8, 9].map((id) => source(id, [{ name: "loss", steps: [1, 2], values: [4, 3] }]));
    const [curves] = drawn(runs, ["loss"]);
    expect(curves.map(({ color }) => color)).toEqual([7, 8, 9].map(runColor));
    const [fewer, panel] = drawn(runs, ["loss"], { hidden: ["run:8", "9|loss|"] });
    expect(fewer.map(({ color }) => color)).toEqual([runColor(7)]);
    expect(panel.legend.map(({ hidden }) => hidden)).toEqual([false, true]);
    expect(new Set(Array.from({ length: 100 }, (_, id) => runColor(id))).size).toBe(100);
  });

  it("draws ranges with their extremes, and the raw line faintly behind a smoothed one", () => {
    const range = { low: [3, -9, 1], high: [5, 4, 9], counts: [10, 10, 10], points: 30, reduced: true };
    const one = source(1, [{ name: "loss", steps: [1, 2, 3], values: [4, 0, 4], ...range }]);
    const [[raw, line], panel] = drawn([one], ["loss"], { smoothing: 0.5 });
    expect(raw).toMatchObject({ low: range.low, high: range.high, silent: true });
    expect(raw!.opacity).toBeLessThan(1);
    expect(line!.y[1]).toBeCloseTo(4 / 3);
    expect(panel.reduction).toMatchObject({ points: 30, ranges: 3 });
  });

  it("counts time from the start of the run, and asks for a stretch of it by the clock", () => {
    const one = source(1, [{ name: "loss", steps: [1, 5], values: [4, 3] }]);
    Object.assign(one.metrics.series("loss")[0]!, { axis: "time" });
    const [[curve]] = drawn([one], ["loss"], { x: "relative" });
    expect(curve!.x).toEqual([2, 10]);
    expect(stretchOf({ start: 2, end: 4 }, one, { ...plain, x: "relative" })).toEqual({ start: 102, end: 104 });
    expect(stretchOf({ start: 2, end: 4 }, one, plain)).toEqual({ start: 2, end: 4 });
  });

  it("marks values that are no number, and says how many there are", () => {
    const nonfinite = [
      { step: 2, time: 104, kind: "nan" as const },
      { step: 3, time: 106, kind: "inf" as const },
    ];
    const one = source(1, [{ name: "loss", steps: [1, 2, 3], values: [1, null, null], nonfinite, nonfinite_count: 500 }]);
    const panel = new PanelCurves([one], ["loss"], plain);
    expect(panel.read().marks.map(({ x, kind }) => [x, kind])).toEqual([
      [2, "nan"],
      [3, "inf"],
    ]);
    const extent = { x: null, low: 0, high: 1, outside: 2, undrawn: 1 };
    expect(notesOf(panel.reduction, extent, plain)).toEqual([
      "1 NaN",
      "1 infinite",
      "498 more that are no number",
      "1 point not drawn: zero or below",
      "2 points beyond the edge",
    ]);
  });

  it("gives its points as a table", () => {
    const one = source(1, [{ name: '=loss "a"', steps: [1], values: [null] }]);
    expect(csvOf(drawn([one], ['=loss "a"'])[1].rows()).split("\r\n")).toEqual([
      "run,metric,context,step,time,value,low,high,points",
      `1,"'=loss ""a""",,1,1970-01-01T00:01:42.000Z,,,,1`,
      "",
    ]);
  });
});

describe("extentOf", () => {
  const even = { logX: false, logY: false, robust: false, fromZero: false };
  const drawing = (curve: Partial<Curve>): Drawing => ({ curves: [{ label: "a", color: "", x: [], y: [], ...curve }], marks: [] });

  it("has room for the extremes of what is shown", () => {
    const curve = drawing({ x: [0, 1, 2, 3], y: [1, 2, 3, 99], low: [0, 2, -5, 99], high: [1, 8, 3, 99] });
    expect(extentOf(curve, { start: 0, end: 2 }, even)).toMatchObject({ x: { start: 0, end: 2 }, low: -5, high: 8 });
    expect(extentOf(drawing({}), null, even).x).toBeNull();
  });

  it("counts what a logarithm does not have, and never what is drawn", () => {
    const extent = extentOf(drawing({ x: [0, 1, 2], y: [0, -1, 4] }), null, { ...even, logY: true });
    expect(extent).toMatchObject({ low: 4, high: 4, undrawn: 2 });
    expect(extentOf(drawing({ x: [0, 1, 2], y: [5, 6, 7] }), null, { ...even, logX: true })).toMatchObject({
      x: { start: 1, end: 2 },
      undrawn: 1,
    });
  });

  it("lets outliers out, counts them, and none where there are none", () => {
    const y = Array.from({ length: 200 }, (_, index) => (index === 77 ? 1e6 : index % 10));
    const robust = extentOf(drawing({ x: y.map((_, index) => index), y }), null, { ...even, robust: true });
    expect(robust.high).toBeLessThan(20);
    expect(robust.outside).toBe(1);
    const straight = Array.from({ length: 200 }, (_, index) => index);
    expect(extentOf(drawing({ x: straight, y: straight }), null, { ...even, robust: true })).toMatchObject({
      low: 0,
      high: 199,
      outside: 0,
    });
  });
});

describe("zooming", () => {
  const whole = { start: 0, end: 100 };

  it("stays inside of the whole and gives it back when all is shown", () => {
    expect(scaled(whole, whole, 0.5)).toEqual({ start: 25, end: 75 });
    expect(scaled(whole, whole, 0.5, 0)).toEqual({ start: 0, end: 50 });
    expect(scaled({ start: 25, end: 75 }, whole, 2)).toBeNull();
    expect(moved({ start: 80, end: 100 }, whole, 0.5)).toEqual({ start: 80, end: 100 });
    expect(moved({ start: 50, end: 70 }, whole, -0.5)).toEqual({ start: 40, end: 60 });
  });

  it("goes by powers of ten on a logarithmic axis", () => {
    const range = scaled({ start: 1, end: 10_000 }, { start: 1, end: 10_000 }, 0.5, 0.5, true)!;
    expect([range.start, range.end]).toEqual([expect.closeTo(10), expect.closeTo(1000)]);
  });
});

describe("what is under the pointer", () => {
  it("is the nearest point of each line, the largest value first", () => {
    expect([nearest([1, 3, 9], 4), nearest([1, 3, 9], 7), nearest([], 1), nearest([5], -9)]).toEqual([1, 2, -1, 0]);
    const curves = [
      { label: "a", color: "", x: [1, 2], y: [5, 6] },
      { label: "b", color: "", x: [1, 2], y: [5, 9] },
      { label: "far", color: "", x: [50], y: [7] },
      { label: "gap", color: "", x: [2], y: [null] },
      { label: "raw", color: "", x: [2], y: [6], silent: true },
    ];
    expect(valuesAt({ curves, marks: [] }, 2.2, 1).map(({ curve, value }) => [curve.label, value])).toEqual([
      ["b", 9],
      ["a", 6],
    ]);
  });
});
