import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  RunFeed,
  type Metrics,
  type MetricsMessage,
  type MetricSummary,
  type Query,
  type Run,
  type SeriesPoints,
} from "../src/index";
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

const points = (first: number, last: number): SeriesPoints => {
  const steps = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return { name: "loss", context: {}, steps, values: steps.map((step) => step / 10), times: steps };
};
/** The server's store: batch n is the point (n, n / 10). */
const metrics = (sequence: number, first = 1, last = sequence): Metrics => ({
  sequence,
  series: [
    {
      ...points(first, last),
      x: null,
      low: null,
      high: null,
      counts: null,
      nonfinite: [],
      nonfinite_count: 0,
      points: last - first + 1,
      reduced: false,
    },
  ],
});
const delta = (from: number, to: number): MetricsMessage => ({
  type: "metrics",
  topic: "run:12",
  from,
  sequence: to,
  series: [points(from + 1, to)],
});
const summary = (name: string, last_step: number): MetricSummary => ({ name, context: {}, last: 0.5, last_step, count: 1 });

let lab: FakeLab;
let feed: RunFeed;
let stored = 3;
/** How often a watcher was told. */
let drawn = 0;
let unwatch = (): void => undefined;

beforeEach(() => {
  vi.useFakeTimers();
  stored = 3;
  lab = new FakeLab(0);
  lab.answers.set("GET runs/12", run());
  lab.answers.set("GET runs/12/metrics", () => metrics(stored));
  lab.answers.set("GET runs/12/metrics/summary", { items: [summary("loss", 3)], total: 1, limit: 1000, offset: 0 });
  drawn = 0;
});
afterEach(() => {
  feed.close();
  vi.useRealTimers();
});

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
const open = async (): Promise<void> => {
  feed = new RunFeed(lab, 12);
  unwatch = feed.metrics.watch("loss", () => drawn++);
  await settle();
  await settle();
};
const steps = (): readonly number[] => feed.metrics.series("loss")[0]?.steps ?? [];
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
    lab.tell("run:12", { ...delta(3, 9), series: [], gap: true });
    await settle();
    expect(steps()).toHaveLength(9);
  });

  it("keeps the deltas that arrive while it fetches", async () => {
    await open();
    let release = (): void => undefined;
    lab.gate = new Promise((resolve) => (release = resolve));
    lab.tell("run:12", { type: "reconnected" });
    lab.tell("run:12", delta(3, 4));
    lab.tell("run:12", delta(4, 6));
    stored = 5;
    lab.gate = null;
    release();
    await settle();
    expect(steps()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(fetches()).toBe(2);
  });

  it("asks no more than once a second for what always comes with holes", async () => {
    await open();
    for (let batch = 4; batch < 54; batch++) {
      stored = batch;
      lab.tell("run:12", { ...delta(batch - 1, batch), series: [], gap: true });
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(fetches()).toBeLessThanOrEqual(8);
    await vi.advanceTimersByTimeAsync(1000);
    expect(steps()).toHaveLength(53);
  });

  it("fetches nothing that nobody looks at, and only what is looked at", async () => {
    feed = new RunFeed(lab, 12);
    await settle();
    await settle();
    expect(fetches()).toBe(0);
    expect([...feed.metrics.catalog.keys()]).toEqual(["loss"]);
    unwatch = feed.metrics.watch("loss", () => drawn++);
    await settle();
    expect(lab.calls.at(-1)!.query.names).toEqual(["loss"]);
    unwatch();
    const before = drawn;
    lab.tell("run:12", delta(3, 4));
    expect(drawn).toBe(before);
    expect(feed.metrics.last("loss", {})).toBe(0.4);
  });

  it("takes a new context of a metric as a series of its own", async () => {
    await open();
    lab.tell("run:12", { ...delta(3, 4), series: [{ ...points(4, 4), context: { subset: "val" } }] });
    expect(feed.metrics.series("loss").map(({ context, length }) => [context, length])).toEqual([
      [{}, 3],
      [{ subset: "val" }, 1],
    ]);
  });

  it("fetches a stretch once the reader has chosen it, lets live points in, and goes back", async () => {
    lab.answers.set("GET runs/12/metrics", ({ query }: { query: Query }) =>
      query.start === undefined ? metrics(stored) : metrics(stored, Number(query.start), Math.min(stored, Number(query.end))),
    );
    stored = 20;
    await open();
    for (const start of [2, 3, 4]) feed.metrics.zoom({ start, end: 22 });
    expect(feed.store.get().busy).toBe(true);
    await vi.advanceTimersByTimeAsync(200);
    const asked = lab.calls.filter((call) => call.query.start !== undefined);
    expect(asked.map((call) => [call.query.start, call.query.end])).toEqual([[4, 22]]);
    expect(feed.store.get().busy).toBe(false);
    expect([steps()[0], steps().length]).toEqual([4, 17]);
    lab.tell("run:12", delta(20, 23));
    // Step 23 is beyond the stretch, but the whole has it.
    expect(steps().at(-1)).toBe(22);
    feed.metrics.zoom(null);
    expect([steps()[0], steps().at(-1)]).toEqual([1, 23]);
  });

  it("asks anew when the axis is another one", async () => {
    await open();
    feed.metrics.setAxis("metric:samples");
    await settle();
    expect(lab.calls.at(-1)!.query.x).toBe("metric:samples");
    // Where new points belong only the server knows.
    stored = 4;
    const before = fetches();
    lab.tell("run:12", delta(3, 4));
    await vi.advanceTimersByTimeAsync(1100);
    expect(fetches()).toBe(before + 1);
    expect(steps()).toHaveLength(4);
  });

  it("lists some of many names, and all of them only when asked", async () => {
    const page = ({ query }: { query: Query }): unknown => {
      const [offset, limit] = [Number(query.offset), Number(query.limit)];
      const length = Math.min(limit, 50_000 - offset);
      return { items: Array.from({ length }, (_, index) => summary(`m${offset + index}`, 1)), total: 50_000, limit, offset };
    };
    lab.answers.set("GET runs/12/metrics/summary", page);
    await open();
    await settle();
    expect([feed.metrics.catalog.size, feed.metrics.unlisted]).toEqual([2000, 48_000]);
    await feed.metrics.listAll();
    expect([feed.metrics.catalog.size, feed.metrics.unlisted]).toEqual([50_000, 0]);
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

  it("shows no evaluation of what a run was before it was gone on with", async () => {
    const tell = async (change: Partial<Run>, accuracy?: number): Promise<unknown> => {
      lab.answers.set("GET runs/12", run(change));
      lab.answers.set("GET runs/12/evaluation", { accuracy });
      const event = { id: 1, type: "run.changed" as const, topic: "run:12", payload: {}, author: "", owner_id: 1, created_at: "" };
      lab.tell("run:12", { type: "event", event });
      await vi.advanceTimersByTimeAsync(500);
      return feed.store.get().evaluation;
    };
    await open();
    expect(await tell({ status: "finished", ended_at: "2026-01-01T00:00:10Z" }, 0.9)).toEqual({ accuracy: 0.9 });
    expect(await tell({ status: "running" })).toBeNull();
    expect(await tell({ status: "finished", ended_at: "2026-01-01T00:00:20Z" }, 0.93)).toEqual({ accuracy: 0.93 });
    // Gone on with and ended again before anybody looked.
    expect(await tell({ status: "finished", ended_at: "2026-01-01T00:00:30Z" }, 0.95)).toEqual({ accuracy: 0.95 });
  });

  it("asks for no evaluation of what no recipe trained", async () => {
    lab.answers.set("GET runs/12", run({ recipe: "", status: "finished" }));
    await open();
    expect(lab.calls.map(({ path }) => path)).not.toContain("runs/12/evaluation");
  });
});
