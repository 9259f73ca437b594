import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LabError, RunTableFeed, type LabEvent, type Query, type RunQuery, type RunRow } from "../src/index";
import { runRow as row } from "./example_runs";
import { FakeLab } from "./fake_lab";

const QUERY: RunQuery = { project: "spam", filter: "", sort: ["-id"], columns: ["params.lr"] };
const EVENT = { type: "event", event: { type: "run.created", topic: "run:1" } as LabEvent } as const;

/** A lab with so many runs, the newest first, which takes `bad` for a filter that has a mistake. */
function lab(count: number): { lab: FakeLab; runs: RunRow[]; asked: () => number[] } {
  const fake = new FakeLab(0);
  const runs = Array.from({ length: count }, (_, index) => row(count - index));
  fake.answers.set("GET runs/columns", { items: [{ name: "params.lr" }], total: 1, limit: 100, offset: 0 });
  fake.answers.set("GET runs/table", ({ query }: { query: Query }) => {
    if (query.filter === "bad") {
      throw new LabError(422, "INVALID_INPUT", "No.", [{ field: "filter", offset: 2, reason: "There is no 'bad'." }]);
    }
    const [limit, offset] = [Number(query.limit), Number(query.offset)];
    const found = query.filter ? runs.filter((one) => one.parent_id === 7) : runs;
    return { items: found.slice(offset, offset + limit), total: found.length, limit, offset };
  });
  const asked = (): number[] => fake.calls.filter((call) => call.path === "runs/table").map((call) => Number(call.query.offset));
  return { lab: fake, runs, asked };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());
const wait = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe("RunTableFeed", () => {
  it("fetches the pages that are looked at, each once", async () => {
    const { lab: fake, asked } = lab(1000);
    const feed = new RunTableFeed(fake, QUERY);
    await wait();
    expect(feed.store.get()).toMatchObject({ total: 1000, loaded: true, waiting: false });
    feed.show(390, 420);
    feed.show(391, 421);
    await wait();
    expect(asked()).toEqual([0, 300, 400]);
    expect(feed.store.get().rows.get(400)?.id).toBe(600);
    expect(feed.store.get().rows.has(700)).toBe(false);
    expect(fake.calls.at(-1)!.query).toMatchObject({ project: "spam", sort: ["-id"], columns: ["params.lr"], limit: 100 });
    feed.close();
  });

  it("does not ask for what is scrolled past while a page is on its way", async () => {
    const { lab: fake, asked } = lab(10_000);
    const feed = new RunTableFeed(fake, QUERY);
    await wait();
    for (let first = 1000; first <= 9000; first += 500) feed.show(first, first + 30);
    await wait();
    expect(asked()).toEqual([0, 1000, 9000]);
    feed.close();
  });

  it("keeps the rows around what is seen and forgets those far away", async () => {
    const { lab: fake, asked } = lab(10_000);
    const feed = new RunTableFeed(fake, QUERY);
    await wait();
    for (let first = 0; first < 10_000; first += 50) {
      feed.show(first, first + 40);
      await wait();
    }
    const { rows } = feed.store.get();
    expect(rows.size).toBeLessThan(2500);
    expect(rows.has(9000)).toBe(true);
    expect(rows.has(0)).toBe(false);
    feed.show(0, 30);
    await wait();
    expect(asked().at(-1)).toBe(0);
    feed.close();
  });

  it("has the first rows alone when only so many are asked for", async () => {
    const { lab: fake } = lab(1000);
    const feed = new RunTableFeed(fake, { ...QUERY, limit: 250 });
    await wait();
    expect(feed.store.get()).toMatchObject({ total: 250, matching: 1000 });
    feed.show(240, 400);
    await wait();
    expect([...feed.store.get().rows.keys()].at(-1)).toBe(249);
    expect((await feed.all()).length).toBe(250);
    feed.ask({ ...QUERY, limit: null });
    await wait();
    expect(feed.store.get()).toMatchObject({ total: 1000, matching: 1000 });
    feed.close();
  });

  it("keeps its rows and says where the mistake is when a filter is wrong", async () => {
    const { lab: fake } = lab(3);
    const feed = new RunTableFeed(fake, QUERY);
    await wait();
    feed.ask({ ...QUERY, filter: "bad" });
    await wait();
    const state = feed.store.get();
    expect(state.filterProblem).toEqual({ message: "There is no 'bad'.", place: 2 });
    expect(state.rows.size).toBe(3);
    expect(state.problem).toBeNull();
    feed.ask({ ...QUERY, filter: "parent_id == 7" });
    await wait();
    expect(feed.store.get()).toMatchObject({ total: 0, filterProblem: null });
    feed.close();
  });

  it("shows runs that come in where they belong, many events with one look", async () => {
    const { lab: fake, runs, asked } = lab(500);
    const feed = new RunTableFeed(fake, QUERY);
    await wait();
    feed.show(250, 280);
    await wait();
    const before = asked().length;
    runs.unshift(row(501));
    for (let count = 0; count < 20; count++) fake.tell("*", EVENT);
    await wait(1000);
    // Only what is looked at, and without the first page, which is not.
    expect(asked().slice(before)).toEqual([200]);
    expect(feed.store.get()).toMatchObject({ total: 501 });
    expect(feed.store.get().rows.get(251)?.id).toBe(250);
    feed.close();
  });

  it("asks again by itself while a run goes on, and not when nobody looks", async () => {
    const { lab: fake, runs, asked } = lab(3);
    runs[0] = row(3, { status: "running" });
    const feed = new RunTableFeed(fake, QUERY);
    await wait(9000);
    expect(asked().length).toBe(3);
    feed.setActive(false);
    await wait(20_000);
    expect(asked().length).toBe(3);
    feed.setActive(true);
    await wait();
    expect(asked().length).toBe(4);
    feed.close();
  });

  it("gives all runs of the filter, and those between two places although they were never seen", async () => {
    const { lab: fake } = lab(2500);
    const feed = new RunTableFeed(fake, QUERY);
    await wait();
    expect((await feed.all()).length).toBe(2500);
    expect((await feed.between(1500, 1503)).map((one) => one.id)).toEqual([1000, 999, 998, 997]);
    feed.close();
  });

  it("drops the answer to a question that was asked before another one", async () => {
    const { lab: fake } = lab(10);
    const feed = new RunTableFeed(fake, QUERY);
    let open: () => void = () => undefined;
    fake.gate = new Promise((resolve) => (open = resolve));
    feed.ask({ ...QUERY, filter: "parent_id == 7" });
    fake.gate = null;
    feed.ask({ ...QUERY, filter: "" , sort: ["id"] });
    await wait();
    open();
    await wait();
    expect(feed.store.get().total).toBe(10);
    feed.close();
  });
});
