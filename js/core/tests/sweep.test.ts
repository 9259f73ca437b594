import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { summarizeSweep, SweepFeed, type Run } from "../src/index";
import { trialRun as run } from "./example_runs";
import { away, FakeLab } from "./fake_lab";

const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();
const sweep = (change: Partial<Run> = {}, params: Record<string, unknown> = {}): Run =>
  run(1, {
    status: "running",
    ended_at: null,
    tags: ["sweep"],
    params: { metric: "loss", mode: "min", trials: 6, parallel: 2, space: { rate: { low: 0, high: 1 }, depth: [1, 2], fixed: "adam" }, ...params },
    ...change,
  });
const trials = [
  run(4, { status: "failed", error: "no" }),
  run(2, { summary: { loss: 0.5 }, params: { rate: 0.1, depth: 1, fixed: "adam" } }),
  run(3, { summary: { loss: 0.2 } }),
  run(5, { status: "stopped", tags: ["pruned"], summary: { pruned_at_step: 3 } }),
  run(6, { status: "running", ended_at: null, summary: { loss: 0.01 } }),
];

describe("summarizeSweep", () => {
  it("ranks the trials that ran to their end, the rest below in their order", () => {
    const found = summarizeSweep(sweep(), trials)!;
    expect(found.trials.map(({ run, status, value }) => [run.id, status, value])).toEqual([
      [3, "finished", 0.2],
      [2, "finished", 0.5],
      [4, "failed", null],
      [5, "pruned", null],
      [6, "running", null],
    ]);
    expect(found.best?.number).toBe(2);
    expect(found.names).toEqual(["rate", "depth"]);
    expect(found.course).toEqual([
      { number: 1, value: 0.5, best: 0.5 },
      { number: 2, value: 0.2, best: 0.2 },
    ]);
  });

  it("takes the greatest for the best where that is meant", () => {
    const found = summarizeSweep(sweep({}, { mode: "max" }), trials)!;
    expect(found.best?.run.id).toBe(2);
    expect(found.course.at(-1)?.best).toBe(0.5);
  });

  it("estimates the time that is left from the trials that ended, several at once", () => {
    // Three of six are done, a failed one is made up for; 4 s each, two at once.
    expect(summarizeSweep(sweep(), trials)!.remaining_s).toBe(6);
    expect(summarizeSweep(sweep(), [])!.remaining_s).toBeNull();
    expect(summarizeSweep(sweep({}, { trials: null }), trials)!.remaining_s).toBeNull();
    expect(summarizeSweep(sweep({ ended_at: at(9) }), trials)!.remaining_s).toBeNull();
  });

  it("knows what is no sweep", () => {
    expect(summarizeSweep(run(1), [])).toBeNull();
    expect(summarizeSweep(sweep({ tags: [] }), [])).toBeNull();
  });
});

describe("SweepFeed", () => {
  let lab: FakeLab;
  let feed: SweepFeed;
  let made = 1;
  beforeEach(() => {
    vi.useFakeTimers();
    made = 1;
    lab = new FakeLab(0);
    lab.answers.set("GET runs/1", sweep());
    lab.answers.set("GET runs", ({ query }: { query: { offset: number; limit: number; parent_id: number } }) => ({
      items: query.parent_id === 1 ? trials.slice(0, made).slice(query.offset, query.offset + 2) : [],
      total: made,
    }));
  });
  afterEach(() => {
    feed.close();
    vi.useRealTimers();
  });
  const event = (topic: string): void =>
    lab.tell("*", {
      type: "event",
      event: { id: 1, type: "run.changed", topic, payload: {}, author: "", owner_id: 1, created_at: "" },
    });
  const known = (): number => feed.store.get().trials.length;

  it("asks again, page by page, when something happened to a run, and not for anything else", async () => {
    feed = new SweepFeed(lab, 1);
    await vi.advanceTimersByTimeAsync(0);
    expect(known()).toBe(1);
    made = 5;
    event("project:3");
    await vi.advanceTimersByTimeAsync(1000);
    expect(known()).toBe(1);
    event("run:6");
    event("run:7");
    await vi.advanceTimersByTimeAsync(1000);
    expect(known()).toBe(5);
  });

  it("asks no more once the sweep has ended", async () => {
    lab.answers.set("GET runs/1", sweep({ status: "finished", ended_at: at(9) }));
    feed = new SweepFeed(lab, 1);
    await vi.advanceTimersByTimeAsync(0);
    const asked = lab.calls.length;
    event("run:6");
    await vi.advanceTimersByTimeAsync(5000);
    expect(lab.calls.length).toBe(asked);
  });

  it("polls where there is no live socket, and keeps asking a server that is away", async () => {
    lab.live = false;
    lab.trouble.push({ error: away() });
    feed = new SweepFeed(lab, 1);
    await vi.advanceTimersByTimeAsync(0);
    expect(feed.store.get().problem?.code).toBe("UNREACHABLE");
    await vi.advanceTimersByTimeAsync(3000);
    expect(feed.store.get().problem).toBeNull();
    made = 2;
    await vi.advanceTimersByTimeAsync(3000);
    expect(known()).toBe(2);
  });
});
