import { describe, expect, it } from "vitest";
import { MetricSeries, smooth, type Series } from "../src/index";

const reduced = (change: Partial<Series> = {}): Series => ({
  name: "loss",
  context: {},
  steps: [0, 10, 20],
  times: [100, 110, 120],
  values: [3, 2, null],
  low: [1, -7, null],
  high: [5, 2.5, null],
  counts: [10, 10, 10],
  x: null,
  nonfinite: [{ step: 21, time: 121, kind: "nan" }],
  nonfinite_count: 10,
  points: 30,
  reduced: true,
  ...change,
});

describe("MetricSeries", () => {
  it("stays bounded however long a run is, and keeps the ends, every peak and the number of points", () => {
    const series = new MetricSeries("loss", {}, "step", 200);
    let [sum, longest] = [0, 0];
    for (let step = 0; step < 50_000; step++) {
      const value = step === 31_337 ? 99 : step === 40_404 ? -99 : Math.sin(step / 500);
      sum += value;
      series.append({ steps: [step], values: [value], times: [1000 + step] });
      longest = Math.max(longest, series.length);
    }
    expect(longest).toBeLessThanOrEqual(400);
    expect(series.reduced).toBe(true);
    expect([series.steps[0], series.steps.at(-1)]).toEqual([0, 49_999]);
    expect([Math.min(...(series.low as number[])), Math.max(...(series.high as number[]))]).toEqual([-99, 99]);
    expect(series.steps).toEqual([...series.steps].sort((a, b) => a - b));
    expect(series.counts.reduce((a, b) => a + b)).toBe(50_000);
    // The means are those of the points.
    const total = series.values.reduce<number>((all, value, index) => all + value! * series.counts[index]!, 0);
    expect(total).toBeCloseTo(sum, 6);
    for (const [index, step] of series.steps.entries()) expect(series.times[index]).toBe(1000 + step);
  });

  it("goes on live from what the server reduced, without losing a spike of either", () => {
    const series = new MetricSeries("loss", {}, "step", 4, reduced());
    series.append({
      steps: [30, 31, 32, 33, 34, 35],
      values: [1, 50, null, 1, 1, 1],
      times: [130, 131, 132, 133, 134, 135],
      nonfinite: [{ step: 32, time: 132, kind: "inf" }],
    });
    expect(series.length).toBeLessThanOrEqual(8);
    expect(Math.min(...series.low.filter((low) => low !== null))).toBe(-7);
    expect(Math.max(...series.high.filter((high) => high !== null))).toBe(50);
    expect(series.points).toBe(36);
    expect(series.nonfiniteCount).toBe(11);
    expect(series.nonfinite.map((one) => one.kind)).toEqual(["nan", "inf"]);
  });

  it("keeps gaps that nothing is merged into, and takes only what is in a stretch", () => {
    const series = new MetricSeries("loss", {}, "step", 100, reduced({ points: 3, nonfinite_count: 1 }));
    series.append({ steps: [25, 45], values: [1, 2], times: [125, 145] }, { start: 0, end: 30 });
    expect(series.steps).toEqual([0, 10, 20, 25]);
    expect(series.values[2]).toBeNull();
  });

  it("merges points of one instant", () => {
    const series = new MetricSeries("loss", {}, "time", 2);
    for (let step = 0; step < 9; step++) series.append({ steps: [step], values: [step], times: [7] });
    expect(series.length).toBeLessThanOrEqual(4);
    expect(Math.max(...(series.high as number[]))).toBe(8);
  });

  it("stands where another metric says, if that is the axis", () => {
    const series = new MetricSeries("loss", {}, "metric:samples", 10, reduced({ x: [1.5, 2.5, 3.5] }));
    expect(series.x).toEqual([1.5, 2.5, 3.5]);
  });
});

describe("smooth", () => {
  it("is not drawn toward zero at the start and keeps gaps", () => {
    expect(smooth([5, 5, null, 5], 0.9)).toEqual([5, expect.closeTo(5), null, expect.closeTo(5)]);
    expect(smooth([0, 1], 0.5)[1]).toBeCloseTo(2 / 3);
    expect(smooth([1, 2], 0)).toEqual([1, 2]);
  });
});
