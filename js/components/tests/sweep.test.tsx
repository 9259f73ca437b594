import type { Run } from "@modelship-lab/core";
import { act, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { trialRun } from "../../core/tests/example_runs";
import { FakeLab } from "../../core/tests/fake_lab";
import { RunChart } from "../src/index";

const run = (id: number, change: Partial<Run> = {}): Run => trialRun(id, { ended_at: "2026-01-01T00:00:10Z", ...change });
const sweep = run(1, {
  name: "first",
  status: "running",
  ended_at: null,
  tags: ["sweep"],
  children: 2,
  params: { metric: "val_accuracy", mode: "max", trials: 30, parallel: 1, space: { rate: [0.1, 0.01], kind: ["a", "b"] } },
});
const trial = (id: number, value: number): Run =>
  run(id, { summary: { val_accuracy: value }, params: { rate: 0.01, kind: `k${id}` } });

describe("the run of a sweep", () => {
  let lab: FakeLab;
  let trials: Run[];
  beforeEach(() => {
    vi.useFakeTimers();
    lab = new FakeLab(0);
    lab.answers.set("GET runs/1", sweep);
    lab.answers.set("GET runs/1/metrics/summary", { items: [], total: 0 });
    lab.answers.set("GET runs", () => ({ items: trials, total: trials.length }));
  });
  afterEach(() => vi.useRealTimers());
  const show = async (): Promise<void> => {
    render(<RunChart connection={lab} runIds={[1]} />);
    await act(() => vi.advanceTimersByTimeAsync(100));
  };

  it("shows how far it is, the best trial with its parameters, and the trials by their value", async () => {
    trials = [trial(2, 0.7), trial(3, 0.9), run(4, { status: "failed", error: "CUDA is out of memory." })];
    await show();
    expect(screen.getByRole("progressbar").getAttribute("aria-valuenow")).toBe("2");
    expect(screen.getByText("trial 2,").textContent).toBe("trial 2, run 3");
    expect(screen.getByText("90.0%", { selector: "strong" })).toBeTruthy();
    const rows = screen.getAllByRole("row").slice(1);
    expect(rows.map((row) => within(row).getAllByRole("cell")[1]!.textContent)).toEqual(["3", "2", "4"]);
    expect(within(rows[2]!).getByTitle("CUDA is out of memory.")).toBeTruthy();
    expect(screen.getByRole("img", { name: "Best val accuracy by trials: 0.9" })).toBeTruthy();
    expect(screen.getByText("4 min 40 s")).toBeTruthy();
    // Each trial is a line through its parameters.
    expect(screen.getByRole("img", { name: "Parallel coordinates of 3 runs: kind, val_accuracy" })).toBeTruthy();
  });

  it("opens a trial in its place, and goes back", async () => {
    trials = [trial(2, 0.5)];
    lab.answers.set("GET runs/2", run(2, { name: "the trial", parent_id: 1 }));
    lab.answers.set("GET runs/2/metrics/summary", { items: [], total: 0 });
    await show();
    fireEvent.click(screen.getByRole("button", { name: "Open run 2" }));
    await act(() => vi.advanceTimersByTimeAsync(500));
    expect(screen.getByRole("heading", { name: "the trial" })).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "← back to run 1" }));
    await act(() => vi.advanceTimersByTimeAsync(500));
    expect(screen.getByRole("progressbar")).toBeTruthy();
  });

  it("follows the sweep, and can stop it", async () => {
    trials = [];
    await show();
    expect(screen.getByText(/first trial appears here/)).toBeTruthy();
    trials = [trial(2, 0.5)];
    const event = { id: 1, type: "run.changed" as const, topic: "run:2", payload: {}, author: "", owner_id: 1, created_at: "" };
    lab.tell("*", { type: "event", event });
    await act(() => vi.advanceTimersByTimeAsync(1000));
    expect(screen.getByText("trial 1,").textContent).toBe("trial 1, run 2");
    lab.answers.set("POST runs/1/stop", { ...sweep, stop_requested: true });
    fireEvent.click(screen.getByRole("button", { name: "Stop" }));
    await act(() => vi.advanceTimersByTimeAsync(100));
    expect(screen.getByRole("button", { name: "Stopping…" }).hasAttribute("disabled")).toBe(true);
  });

  it("lists many trials when they are asked for", async () => {
    trials = Array.from({ length: 25 }, (_, place) => trial(place + 2, place / 100));
    await show();
    expect(screen.getAllByRole("row")).toHaveLength(21);
    fireEvent.click(screen.getByRole("button", { name: "Show all 25 trials" }));
    expect(screen.getAllByRole("row")).toHaveLength(26);
  });
});
