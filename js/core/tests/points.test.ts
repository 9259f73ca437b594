import { describe, expect, it } from "vitest";
import { groupMetrics, keptByMinMax, MetricPoints, smooth } from "../src/index";

describe("MetricPoints", () => {
  it("stays bounded however long a run is, and keeps the first, the last, and every peak", () => {
    const points = new MetricPoints(200);
    for (let step = 0; step < 50_000; step++) {
      const value = step === 31_337 ? 99 : step === 40_404 ? -99 : Math.sin(step / 500);
      points.append({ steps: [step], values: [value], times: [1000 + step] });
    }
    expect(points.length).toBeLessThanOrEqual(400);
    expect(points.steps[0]).toBe(0);
    expect(points.steps.at(-1)).toBe(49_999);
    expect(points.values).toContain(99);
    expect(points.values).toContain(-99);
    expect(points.steps).toEqual([...points.steps].sort((a, b) => a - b));
    for (const [index, step] of points.steps.entries()) expect(points.times[index]).toBe(1000 + step);
  });

  it("knows the newest value although gaps follow it", () => {
    const points = MetricPoints.from({ steps: [1, 2, 3], values: [0.5, 0.25, null], times: [1, 2, 3] });
    expect(points.last).toBe(0.25);
    expect(new MetricPoints().last).toBeNull();
  });
});

describe("keptByMinMax", () => {
  it("keeps all of a few values and never more than asked for", () => {
    expect(keptByMinMax([3, 1, 2], 10)).toEqual([0, 1, 2]);
    for (const limit of [4, 10, 99]) {
      expect(keptByMinMax(Array.from({ length: 1000 }, (_, index) => index % 7), limit).length).toBeLessThanOrEqual(limit);
    }
  });

  it("keeps gaps", () => {
    const values = Array.from({ length: 1000 }, (_, index) => (index > 300 && index < 700 ? null : index));
    const kept = keptByMinMax(values, 50);
    expect(kept.some((index) => values[index] === null)).toBe(true);
  });
});

describe("smooth", () => {
  it("is not drawn toward zero at the start and keeps gaps", () => {
    expect(smooth([5, 5, null, 5], 0.9)).toEqual([5, expect.closeTo(5), null, expect.closeTo(5)]);
    expect(smooth([0, 1], 0.5)[1]).toBeCloseTo(2 / 3);
    expect(smooth([1, 2], 0)).toEqual([1, 2]);
  });
});

describe("groupMetrics", () => {
  it("draws what is read together together", () => {
    const names = ["learning_rate", "val_accuracy", "grad_norm", "val_loss", "val_f1", "train_loss", "samples_per_second"];
    expect(groupMetrics(names).map((group) => [group.name, group.metrics])).toEqual([
      ["loss", ["train_loss", "val_loss"]],
      ["accuracy and F1", ["val_accuracy", "val_f1"]],
      ["grad_norm", ["grad_norm"]],
      ["learning_rate", ["learning_rate"]],
      ["samples_per_second", ["samples_per_second"]],
    ]);
  });
});
