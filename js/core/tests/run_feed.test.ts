import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RunFeed, type Metrics, type MetricsMessage, type Run } from "../src/index";
import { away, FakeLab } from "./fake_lab";

const run = (change: Partial<Run> = {}): Run => ({
  id: 12,
  name: "",
  project_id: 3,
  project: "spam",
  recipe: "text-linear",
  status: "running",
  params: {},
  tags: [],
  notes: "",
  snapshot_id: null,
  environment: {},
  summary: {},
  error: "",
  bundle: null,
  stop_requested: false,
  started_at: "2026-01-01T00:00:00Z",
  ended_at: null,
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

/** The server's store: batch n is the point (n, n / 10). */
const metrics = (sequence: number): Metrics => {
  const steps = Array.from({ length: sequence }, (_, index) => index + 1);
  return {
    sequence,
    series: { loss: { steps, values: steps.map((step) => step / 10), times: steps, reduced: false } },
  };
};
const delta = (from: number, to: number): MetricsMessage => {
  const steps = Array.from({ length: to - from }, (_, index) => from + index + 1);
  return {
    type: "metrics",
    topic: "run:12",
    from,
    sequence: to,
    series: { loss: { steps, values: steps.map((step) => step / 10), times: steps } },
  };
};

let lab: FakeLab;
let feed: RunFeed;
let stored = 3;

beforeEach(() => {
  vi.useFakeTimers();
  stored = 3;
  lab = new FakeLab(0);
  lab.answers.set("GET runs/12", run());
  lab.answers.set("GET runs/12/metrics", () => metrics(stored));
});
afterEach(() => {
  feed.close();
  vi.useRealTimers();
});

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
const open = async (): Promise<void> => {
  feed = new RunFeed(lab, 12);
  await settle();
};
const steps = (): number[] => feed.store.get().metrics.get("loss")?.steps ?? [];
const fetches = (): number => lab.calls.filter((call) => call.path === "runs/12/metrics").length;

describe("RunFeed", () => {
  it("draws what the server has, then follows the deltas without asking again", async () => {
    await open();
    expect(steps()).toEqual([1, 2, 3]);
    lab.tell("run:12", delta(3, 4));
    lab.tell("run:12", delta(4, 6));
    expect(steps()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(fetches()).toBe(1);
  });

  it("ignores a delta that it has and fetches everything on a gap", async () => {
    await open();
    lab.tell("run:12", delta(2, 3));
    expect(steps()).toEqual([1, 2, 3]);
    stored = 7;
    lab.tell("run:12", delta(6, 7));
    await settle();
    expect(fetches()).toBe(2);
    expect(steps()).toEqual([1, 2, 3, 4, 5, 6, 7]);
    lab.tell("run:12", delta(7, 8));
    expect(steps()).toHaveLength(8);
  });

  it("fetches when the server says that there was too much to send", async () => {
    await open();
    stored = 9;
    lab.tell("run:12", { ...delta(3, 9), series: {}, gap: true });
    await settle();
    expect(steps()).toHaveLength(9);
  });

  it("keeps the deltas that arrive while it fetches", async () => {
    let release = (): void => undefined;
    lab.gate = new Promise((resolve) => (release = resolve));
    feed = new RunFeed(lab, 12);
    lab.tell("run:12", delta(2, 3));
    lab.tell("run:12", delta(3, 5));
    lab.gate = null;
    release();
    await settle();
    expect(steps()).toEqual([1, 2, 3, 4, 5]);
    expect(fetches()).toBe(1);
  });

  it("fetches again after the socket was away", async () => {
    await open();
    stored = 5;
    lab.tell("run:12", { type: "reconnected" });
    await settle();
    expect(steps()).toHaveLength(5);
  });

  it("keeps asking while the server is away, and says so", async () => {
    lab.trouble.push({ error: away() }, { error: away() }, { error: away() });
    await open();
    expect(feed.store.get().problem?.code).toBe("UNREACHABLE");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(steps()).toHaveLength(3);
    expect(feed.store.get().problem).toBeNull();
  });

  it("polls where there is no live socket, until the run ends", async () => {
    lab.live = false;
    await open();
    stored = 4;
    await vi.advanceTimersByTimeAsync(1600);
    expect(steps()).toHaveLength(4);
    lab.answers.set("GET runs/12", run({ status: "finished" }));
    await vi.advanceTimersByTimeAsync(1600);
    const before = fetches();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(fetches()).toBe(before);
  });

  it("asks the run to stop and shows that it was asked", async () => {
    await open();
    lab.answers.set("POST runs/12/stop", run({ stop_requested: true }));
    await feed.stop();
    expect(feed.store.get().stopping).toBe(true);
  });

  it("shows how the run ended, with its evaluation", async () => {
    await open();
    lab.answers.set("GET runs/12", run({ status: "finished", summary: { test_accuracy: 0.9 } }));
    lab.answers.set("GET runs/12/evaluation", { accuracy: 0.9 });
    const event = { id: 1, type: "run.changed" as const, topic: "run:12", payload: {}, author: "", owner_id: 1, created_at: "" };
    lab.tell("run:12", { type: "event", event });
    await vi.advanceTimersByTimeAsync(500);
    expect(feed.store.get()).toMatchObject({ run: { status: "finished" }, evaluation: { accuracy: 0.9 }, stopping: false });
  });
});
