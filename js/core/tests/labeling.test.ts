import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LabelingSession } from "../src/index";
import { away, FakeLab, memoryStorage } from "./fake_lab";

let sessions: LabelingSession[] = [];

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  for (const session of sessions) session.close();
  sessions = [];
  vi.useRealTimers();
});

function start(lab: FakeLab, storage: Storage = memoryStorage()): LabelingSession {
  const session = new LabelingSession(lab, 3, "lab-1", "sequential", storage);
  sessions.push(session);
  return session;
}
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
const onScreen = (session: LabelingSession): number | undefined => session.store.get().current?.id;

describe("LabelingSession", () => {
  it("brings the next sample at once, while the server has not answered", async () => {
    const lab = new FakeLab(100);
    const session = start(lab);
    await settle();
    lab.gate = new Promise(() => undefined);
    expect(onScreen(session)).toBe(1);
    session.label({ label: "ham" });
    session.skip();
    session.accept();
    expect(onScreen(session)).toBe(4);
    expect(session.outbox.store.get().unsaved).toBe(3);
    expect(session.store.get().progress).toMatchObject({ labeled: 2, skipped: 1, by_class: { ham: 1, spam: 1 } });
  });

  it("goes through a whole project without showing a sample twice or leaving one out", async () => {
    const lab = new FakeLab(95);
    const session = start(lab);
    const seen: number[] = [];
    for (let step = 0; step < 200; step++) {
      // Two keys for each answer of the server: the prefetched samples have to last.
      if (step % 2) await settle();
      const id = onScreen(session);
      if (id === undefined) continue;
      seen.push(id);
      session.label({ label: "ham" });
    }
    expect(seen).toEqual(Array.from({ length: 95 }, (_, index) => index + 1));
    await settle();
    expect(session.store.get()).toMatchObject({ current: null, exhausted: true, progress: { unlabeled: 0 } });
    expect(lab.labels.length).toBe(95);
  });

  it("keeps going on what is prefetched while the server is away, and loses nothing", async () => {
    const lab = new FakeLab(60);
    const session = start(lab);
    await settle();
    for (let index = 0; index < 60; index++) lab.trouble.push({ error: away() });
    for (let index = 0; index < 15; index++) session.label({ label: "spam" });
    await vi.advanceTimersByTimeAsync(5000);
    expect(session.store.get().problem?.code).toBe("UNREACHABLE");
    expect(session.outbox.store.get().unsaved).toBe(15);
    lab.trouble.length = 0;
    session.retry();
    await settle();
    expect(lab.labels.map((label) => label.sample_id)).toEqual(Array.from({ length: 15 }, (_, index) => index + 1));
    expect(session.store.get().problem).toBeNull();
    expect(onScreen(session)).toBe(16);
  });

  it("undo brings the sample back, through the server, step by step", async () => {
    const lab = new FakeLab(40);
    const session = start(lab);
    await settle();
    for (const label of ["ham", "spam", "ham"]) session.label({ label });
    await settle();
    await session.undo();
    await session.undo();
    expect(onScreen(session)).toBe(2);
    expect(session.store.get().upcoming.slice(0, 2).map((sample) => sample.id)).toEqual([3, 4]);
    await settle();
    expect(lab.labels.map((label) => label.undone)).toEqual([false, true, true]);
    session.label({ label: "ham" });
    await settle();
    expect(lab.samples[1]).toMatchObject({ status: "labeled", label: "ham" });
    expect(onScreen(session)).toBe(3);
  });

  it("undo after a reload asks the server for the newest decision", async () => {
    const lab = new FakeLab(40);
    const before = start(lab);
    await settle();
    before.label({ label: "spam" });
    await settle();
    before.close();
    const session = start(lab);
    await settle();
    expect(onScreen(session)).toBe(2);
    await session.undo();
    expect(onScreen(session)).toBe(1);
    expect(session.store.get().progress?.labeled).toBe(0);
    await session.undo();
    expect(session.store.get().notice).toBe("There is nothing to undo.");
  });

  it("never has more than a few dozen samples in hand", async () => {
    const lab = new FakeLab(500);
    const session = start(lab);
    for (let step = 0; step < 100; step++) {
      await settle();
      session.label({ label: "ham" });
      expect(session.store.get().upcoming.length).toBeLessThan(40);
    }
    expect(lab.calls.filter((call) => call.path.endsWith("queue")).length).toBeLessThan(25);
  });

  it("a new order fetches anew and forgets what was prefetched in the old one", async () => {
    const lab = new FakeLab(100);
    const session = start(lab);
    await settle();
    session.setOrder("random");
    expect(session.store.get().current).toBeNull();
    await settle();
    expect(lab.calls.at(-1)).toMatchObject({ path: "projects/3/queue", query: { order: "random" } });
    expect(onScreen(session)).toBe(1);
  });

  it("takes new suggestions up behind the sample on screen", async () => {
    const lab = new FakeLab(100);
    const session = start(lab);
    await settle();
    for (const sample of lab.samples) sample.suggestion = { ...sample.suggestion!, source: "run 2" };
    lab.samples.reverse();
    const event = { id: 1, type: "suggestions.saved" as const, topic: "project:3", payload: {}, author: "", owner_id: 1, created_at: "" };
    lab.tell("project:3", { type: "event", event });
    await settle();
    expect(onScreen(session)).toBe(1);
    expect(session.store.get().current).toMatchObject({ suggestion: { source: "run 2" } });
    expect(session.store.get().upcoming[0]).toMatchObject({ id: 100, suggestion: { source: "run 2" } });
  });

  it("shows samples that are imported after everything was labeled", async () => {
    const lab = new FakeLab(1);
    const session = start(lab);
    await settle();
    session.label({ label: "ham" });
    await settle();
    expect(session.store.get()).toMatchObject({ current: null, exhausted: true });
    lab.samples.push({ ...lab.samples[0]!, id: 2, status: "unlabeled", label: null });
    const event = { id: 1, type: "import.finished" as const, topic: "project:3", payload: {}, author: "", owner_id: 1, created_at: "" };
    lab.tell("project:3", { type: "event", event });
    await settle();
    expect(onScreen(session)).toBe(2);
  });

  it("has its samples in hand under one name, and gives them back at the end", async () => {
    const lab = new FakeLab(100);
    const session = start(lab);
    await settle();
    session.restart("review");
    await settle();
    session.close();
    const asked = lab.calls.filter((call) => call.path === "projects/3/queue").map(({ query }) => query);
    const released = lab.calls.find((call) => call.path === "projects/3/queue/release");
    expect(asked[0]!.purpose).toBeNull();
    expect(asked.at(-1)!.purpose).toBe("review");
    expect(new Set(asked.map(({ holder }) => holder))).toEqual(new Set([(released!.body as { holder: string }).holder]));
  });

  it("goes through the skipped samples a second time", async () => {
    const lab = new FakeLab(3);
    const session = start(lab);
    await settle();
    session.skip();
    session.label({ label: "ham" });
    session.skip();
    await settle();
    session.restart("skipped");
    await settle();
    expect(onScreen(session)).toBe(1);
    session.label({ label: "spam" });
    expect(onScreen(session)).toBe(3);
  });

  it("measures how long a sample was looked at", async () => {
    const lab = new FakeLab(40);
    const session = start(lab);
    await settle();
    await vi.advanceTimersByTimeAsync(2500);
    session.label({ label: "ham" });
    await settle();
    expect(lab.saves()[0]![0]!.duration_ms).toBeGreaterThanOrEqual(2500);
    expect(lab.saves()[0]![0]!.duration_ms).toBeLessThan(2700);
  });
});
