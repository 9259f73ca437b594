import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LabError, Outbox, type NewLabel } from "../src/index";
import { away, FakeLab, memoryStorage } from "./fake_lab";

const decision = (sample_id: number, label = "ham", key = `key-of-sample-${sample_id}`): NewLabel => ({
  sample_id,
  action: "label",
  label,
  key,
  duration_ms: 800,
  source: "human",
});

let storage: Storage;
let lab: FakeLab;

beforeEach(() => {
  vi.useFakeTimers();
  storage = memoryStorage();
  lab = new FakeLab(500);
});
afterEach(() => vi.useRealTimers());

const open = (): Outbox => new Outbox(lab, 3, "lab-1", storage);
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

describe("Outbox", () => {
  it("saves the first at once and those that came meanwhile together, in order", async () => {
    const outbox = open();
    let release = (): void => undefined;
    lab.gate = new Promise((resolve) => (release = resolve));
    for (const id of [5, 1, 9, 2]) outbox.put(decision(id));
    expect(outbox.store.get()).toMatchObject({ unsaved: 4, saved: 0 });
    lab.gate = null;
    release();
    await settle();
    expect(lab.saves().map((labels) => labels.map((label) => label.sample_id))).toEqual([[5], [1, 9, 2]]);
    expect(outbox.store.get()).toMatchObject({ unsaved: 0, saved: 4, problem: null });
    expect(storage.length).toBe(0);
  });

  it("repeats with the same key until the server answers, and saves once although an answer was lost", async () => {
    const outbox = open();
    lab.trouble.push({ error: away() }, { error: away(), lost: true }, { error: away() });
    outbox.put(decision(1));
    await settle();
    expect(outbox.store.get().unsaved).toBe(1);
    expect(outbox.store.get().problem?.status).toBe(0);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lab.saves().length).toBe(4);
    expect(new Set(lab.saves().map(([label]) => label!.key))).toEqual(new Set(["key-of-sample-1"]));
    expect(lab.labels.length).toBe(1);
    expect(outbox.store.get()).toMatchObject({ unsaved: 0, saved: 1, problem: null });
  });

  it("waits longer from attempt to attempt, never gives up, and tries at once when asked", async () => {
    const outbox = open();
    for (let index = 0; index < 40; index++) lab.trouble.push({ error: new LabError(401, "UNAUTHENTICATED", "?") });
    outbox.put(decision(1));
    await vi.advanceTimersByTimeAsync(10_000);
    const early = lab.saves().length;
    expect(early).toBeGreaterThan(2);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(lab.saves().length - early).toBeLessThan(early);
    await vi.advanceTimersByTimeAsync(120_000);
    const late = lab.saves().length;
    outbox.retryNow();
    await settle();
    expect(lab.saves().length).toBe(late + 1);
    lab.trouble.length = 0;
    outbox.retryNow();
    await settle();
    expect(outbox.store.get().unsaved).toBe(0);
  });

  it("sends what a closed tab left behind, with its keys and in its order", async () => {
    const first = open();
    lab.gate = new Promise(() => undefined);
    for (const id of [3, 1, 2]) first.put(decision(id));
    await settle();
    first.close();
    expect(storage.length).toBe(3);
    lab.gate = null;
    const before = lab.saves().length;
    const second = open();
    expect(second.store.get().unsaved).toBe(3);
    await settle();
    expect(lab.saves().slice(before).flat().map((label) => label.key)).toEqual([
      "key-of-sample-3",
      "key-of-sample-1",
      "key-of-sample-2",
    ]);
    expect(storage.length).toBe(0);
  });

  it("leaves the decisions of other projects and labs alone", async () => {
    storage.setItem("modelship-lab/outbox/lab-1/4/1", JSON.stringify({ kind: "label", label: decision(1) }));
    storage.setItem("modelship-lab/outbox/lab-2/3/1", JSON.stringify({ kind: "label", label: decision(1) }));
    expect(open().store.get().unsaved).toBe(0);
    await settle();
    expect(storage.length).toBe(2);
  });

  it("finds the one decision that the server refuses and saves the others", async () => {
    const outbox = open();
    let release = (): void => undefined;
    lab.gate = new Promise((resolve) => (release = resolve));
    outbox.put(decision(1));
    outbox.put(decision(2));
    outbox.put(decision(3, "no such class"));
    outbox.put(decision(4));
    lab.gate = null;
    release();
    await settle();
    expect(lab.labels.map((label) => label.sample_id)).toEqual([1, 2, 4]);
    expect(outbox.store.get()).toMatchObject({ unsaved: 0, saved: 3 });
    expect(outbox.store.get().refused.map((refusal) => refusal.label.sample_id)).toEqual([3]);
  });

  it("drops an undone decision that was not sent, and never tells the server", async () => {
    const outbox = open();
    let release = (): void => undefined;
    lab.gate = new Promise((resolve) => (release = resolve));
    outbox.put(decision(1));
    outbox.put(decision(2));
    outbox.undo(decision(2));
    lab.gate = null;
    release();
    await settle();
    expect(lab.saves().flat().map((label) => label.sample_id)).toEqual([1]);
    expect(lab.calls.some((call) => call.path.endsWith("undo"))).toBe(false);
    expect(storage.length).toBe(0);
  });

  it("undoes a decision that is on its way by the id that the server gave it", async () => {
    const outbox = open();
    let release = (): void => undefined;
    lab.gate = new Promise((resolve) => (release = resolve));
    outbox.put(decision(7));
    outbox.undo(decision(7));
    outbox.put(decision(7, "spam", "the-second-thought"));
    lab.gate = null;
    release();
    await settle();
    expect(lab.labels.map(({ label, undone }) => [label, undone])).toEqual([
      ["ham", true],
      ["spam", false],
    ]);
    expect(outbox.store.get()).toMatchObject({ unsaved: 0, saved: 1 });
  });

  it("undoes after a reload what was acknowledged before it", async () => {
    const first = open();
    first.put(decision(1));
    await settle();
    lab.gate = new Promise(() => undefined);
    first.undo(decision(1));
    await settle();
    first.close();
    lab.gate = null;
    const second = open();
    await settle();
    expect(lab.labels[0]!.undone).toBe(true);
    expect(second.store.get().unsaved).toBe(0);
  });

  it("shows the count as it will be when all is saved", () => {
    const outbox = open();
    lab.gate = new Promise(() => undefined);
    outbox.put(decision(1, "spam"));
    outbox.put({ ...decision(2), action: "skip", label: null });
    const progress = { total: 10, labeled: 4, skipped: 0, flagged: 0, unlabeled: 6, by_class: { spam: 4 } };
    expect(outbox.project({ ...progress, seconds_per_label: 2, remaining_s: 12 })).toMatchObject({
      labeled: 5,
      skipped: 1,
      unlabeled: 4,
      by_class: { spam: 5 },
      remaining_s: 8,
    });
  });

  it("says when the browser cannot keep what is unsaved", () => {
    storage.setItem = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
    const outbox = open();
    outbox.put(decision(1));
    expect(outbox.store.get().durable).toBe(false);
  });
});
