import { MetricPoints, type Run } from "@modelship-lab/core";
import { describe, expect, it } from "vitest";
import { panelsOf, valueAt, type CurveSource } from "../src/runs/curves";

const source = (runId: number, metrics: Record<string, [number[], (number | null)[]]>): CurveSource => ({
  runId,
  run: { id: runId, started_at: "1970-01-01T00:01:40Z" } as Run,
  metrics: new Map(
    Object.entries(metrics).map(([name, [steps, values]]) => [
      name,
      MetricPoints.from({ steps, values, times: steps.map((step) => 100 + step * 2) }),
    ]),
  ),
});
const plain = { smoothing: 0, x: "step" as const, logY: false };

describe("panelsOf", () => {
  it("aligns training and validation loss, which have different steps, in one panel", () => {
    const [loss] = panelsOf(
      [source(1, { train_loss: [[1, 2, 3, 4], [4, 3, 2, 1]], val_loss: [[2, 4], [3.5, 1.5]], epoch: [[2, 4], [0, 1]] })],
      plain,
    );
    expect(loss!.data[0]).toEqual([1, 2, 3, 4]);
    expect(loss!.data[1]).toEqual([4, 3, 2, 1]);
    // No point, and not a gap: the line goes on.
    expect([...loss!.data[2]!]).toEqual([undefined, 3.5, undefined, 1.5]);
    expect(loss!.legend.map(({ label, last }) => [label, last])).toEqual([
      ["train_loss", 1],
      ["val_loss", 1.5],
    ]);
    expect(valueAt(loss!.data, 2, 2)).toBe(3.5);
  });

  it("overlays runs, each in its color", () => {
    const runs = [source(1, { loss: [[1, 2], [4, 3]] }), source(2, { loss: [[1, 2], [5, 4]] })];
    const [loss] = panelsOf(runs, plain);
    expect(loss!.legend.map((entry) => entry.label)).toEqual(["loss · run 1", "loss · run 2"]);
    expect(new Set(loss!.lines.map((line) => line.color)).size).toBe(2);
  });

  it("counts time from the start of the run", () => {
    const [loss] = panelsOf([source(1, { loss: [[1, 5], [4, 3]] })], { ...plain, x: "time" });
    expect(loss!.data[0]).toEqual([2, 10]);
  });

  it("draws the raw curve faintly behind the smoothed one", () => {
    const [loss] = panelsOf([source(1, { loss: [[1, 2, 3], [4, 0, 4]] })], { ...plain, smoothing: 0.5 });
    expect(loss!.lines.map((line) => line.opacity ?? 1)).toEqual([expect.any(Number), 1]);
    expect(loss!.lines[0]!.opacity).toBeLessThan(1);
    expect(loss!.data[1]).toEqual([4, 0, 4]);
    expect(loss!.data[2]![1]).toBeCloseTo(4 / 3);
    expect(loss!.legend).toMatchObject([{ column: 2, last: 4 }]);
  });

  it("leaves out what a logarithm cannot show, and lets a resumed run overwrite its steps", () => {
    const [loss] = panelsOf([source(1, { loss: [[1, 2, 3, 2, 3], [4, 0, 9, 5, 6]] })], { ...plain, logY: true });
    expect(loss!.data).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  });
});
