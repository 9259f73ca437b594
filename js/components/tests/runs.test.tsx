import type { Evaluation, Metrics, Run } from "@modelship-lab/core";
import { act, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeLab } from "../../core/tests/fake_lab";
import { RunChart, RunList } from "../src/index";

const drawn = vi.hoisted(() => ({ count: 0 }));
// jsdom has no canvas; what a plot is given is looked at instead.
vi.mock("../src/chart/Plot", () => ({
  Plot: (props: { data: unknown; label: string }) => {
    drawn.count++;
    return <div data-testid="plot" aria-label={props.label} data-points={JSON.stringify(props.data)} />;
  },
}));

const run = (id: number, change: Partial<Run> = {}): Run => ({
  id,
  name: `run ${id}`,
  project_id: 3,
  project: "spam",
  recipe: "text-linear",
  status: "finished",
  params: {},
  tags: [],
  notes: "",
  snapshot_id: null,
  environment: {},
  summary: { test_accuracy: 0.915 },
  error: "",
  bundle: null,
  stop_requested: false,
  started_at: "2026-01-01T00:00:00Z",
  ended_at: "2026-01-01T00:01:05Z",
  heartbeats: true,
  owner_id: 1,
  is_public: false,
  heartbeat_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
  parent_id: null,
  group: "",
  children: 0,
  ...change,
});
const metrics: Metrics = {
  sequence: 1,
  series: { train_loss: { steps: [1, 2], values: [0.9, 0.5], times: [1, 2], reduced: false } },
};
const evaluation: Evaluation = {
  task: "text_classification",
  classes: ["ham", "spam"],
  rows: 100,
  accuracy: 0.9,
  macro_f1: 0.89,
  log_loss: 0.3,
  baseline_accuracy: 0.6,
  confusion: [
    [50, 7],
    [3, 40],
  ],
  per_class: [
    { label: "ham", precision: 0.94, recall: 0.877, f1: 0.9, support: 57 },
    { label: "spam", precision: 0.85, recall: 0.93, f1: 0.89, support: 43 },
  ],
  roc: [],
  precision_recall: [],
  worst: [
    { sample_id: 4, actual: "ham", predicted: "spam", confidence: 0.99, preview: "free lunch in the kitchen" },
    { sample_id: 8, actual: "spam", predicted: "ham", confidence: 0.9, preview: "your invoice" },
  ],
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());
const wait = (ms: number): Promise<void> => act(async () => void (await vi.advanceTimersByTimeAsync(ms)));

function lab(record: Run): FakeLab {
  const fake = new FakeLab(0);
  fake.answers.set("GET runs/12", record);
  fake.answers.set("GET runs/12/metrics", metrics);
  return fake;
}

describe("RunChart", () => {
  it("shows a running run with its newest values and stops it", async () => {
    const fake = lab(run(12, { status: "running", ended_at: null, summary: {} }));
    fake.answers.set("POST runs/12/stop", run(12, { status: "running", stop_requested: true, ended_at: null }));
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(300);
    expect(screen.getByText("running")).toBeTruthy();
    expect(screen.getByText("train_loss").nextSibling?.textContent).toBe("0.5");
    fireEvent.click(screen.getByRole("button", { name: "Stop" }));
    await wait(300);
    expect(fake.calls.some((call) => call.method === "POST" && call.path === "runs/12/stop")).toBe(true);
    expect(screen.getByText("stopping")).toBeTruthy();
  });

  it("draws at most ten times a second however fast metrics arrive", async () => {
    const fake = lab(run(12, { status: "running", ended_at: null }));
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(500);
    const before = drawn.count;
    for (let batch = 1; batch <= 100; batch++) {
      const series = { train_loss: { steps: [batch + 2], values: [1 / batch], times: [batch] } };
      fake.tell("run:12", { type: "metrics", topic: "run:12", from: batch, sequence: batch + 1, series });
      await wait(10);
    }
    await wait(300);
    expect(drawn.count - before).toBeLessThanOrEqual(12);
    const points = JSON.parse(screen.getByTestId("plot").dataset.points!) as number[][];
    expect(points[0]).toHaveLength(102);
  });

  it("shows how a finished run ended, and the errors behind a cell of the confusion matrix", async () => {
    const fake = lab(run(12));
    fake.answers.set("GET runs/12/evaluation", evaluation);
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(500);
    expect(screen.getByText("1 min 5 s")).toBeTruthy();
    expect(screen.getByText("test accuracy").nextSibling?.textContent).toBe("91.5%");
    expect(screen.getByText("free lunch in the kitchen")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "3" }));
    expect(screen.queryByText("free lunch in the kitchen")).toBeNull();
    expect(screen.getByText("your invoice")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "show all" }));
    expect(screen.getByText("free lunch in the kitchen")).toBeTruthy();
  });

  it("shows the pictures that were taken for others, not their addresses", async () => {
    const decode = vi.fn(() => Promise.resolve());
    Object.defineProperty(HTMLImageElement.prototype, "decode", { value: decode, configurable: true });
    const fake = lab(run(12));
    const worst = [{ sample_id: 4, actual: "ham", predicted: "spam", confidence: 0.99, preview: "a1b2" }];
    fake.answers.set("GET runs/12/evaluation", { ...evaluation, task: "image_classification", worst });
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(500);
    expect(screen.getByRole("img", { name: "Sample 4" }).getAttribute("src")).toBe("/blobs/a1b2");
    expect(screen.queryByText("a1b2")).toBeNull();
  });

  it("says why a run failed", async () => {
    render(<RunChart connection={lab(run(12, { status: "failed", error: "CUDA is out of memory." }))} runIds={[12]} />);
    await wait(300);
    expect(screen.getByRole("alert").textContent).toContain("CUDA is out of memory.");
  });

  it("overlays several runs", async () => {
    const fake = lab(run(12));
    fake.answers.set("GET runs/13", run(13));
    fake.answers.set("GET runs/13/metrics", metrics);
    render(<RunChart connection={fake} runIds={[12, 13]} />);
    await wait(300);
    expect(screen.getByText("train_loss · run 12")).toBeTruthy();
    expect(screen.getByText("train_loss · run 13")).toBeTruthy();
  });
});

describe("RunList", () => {
  const names = (): string[] => screen.getAllByRole("row").slice(1).map((row) => within(row).getAllByRole("button")[0]!.textContent ?? "");

  it("sorts by any column, opens a run, and compares those that are picked", () => {
    const open = vi.fn();
    const runs = [run(3, { summary: { test_accuracy: 0.7 } }), run(2, { summary: { test_accuracy: 0.9 } }), run(1, { summary: {} })];
    render(<RunList runs={runs} open={open} />);
    expect(names()).toEqual(["run 3", "run 2", "run 1"]);
    fireEvent.click(screen.getByRole("button", { name: /^Result/ }));
    expect(names()).toEqual(["run 2", "run 3", "run 1"]);
    fireEvent.click(screen.getByRole("button", { name: /^Result/ }));
    expect(names()).toEqual(["run 1", "run 3", "run 2"]);
    fireEvent.click(screen.getByRole("button", { name: "run 2" }));
    expect(open).toHaveBeenLastCalledWith([2]);
    fireEvent.click(screen.getByRole("checkbox", { name: "Compare run 1" }));
    fireEvent.click(screen.getByRole("checkbox", { name: "Compare run 3" }));
    fireEvent.click(screen.getByRole("button", { name: "Compare 2 runs" }));
    expect(open).toHaveBeenLastCalledWith([1, 3]);
  });
});
