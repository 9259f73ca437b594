import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type LiveMessage } from "../src/index";
import { LiveSocket } from "../src/live";

/** A server's end of a WebSocket, one for each connection that was opened. */
class FakeSocket {
  static readonly opened: FakeSocket[] = [];
  static readonly OPEN = 1;
  readyState = 0;
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  readonly heard: { op: string; topics?: string[]; after?: number | null }[] = [];

  constructor(readonly url: string) {
    FakeSocket.opened.push(this);
  }
  accept(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  send(text: string): void {
    this.heard.push(JSON.parse(text) as { op: string });
  }
  close(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}

const latest = (): FakeSocket => FakeSocket.opened.at(-1)!;
const event = (id: number, topic: string): object => ({ type: "event", event: { id, topic, type: "run.changed" } });

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.opened.length = 0;
  vi.stubGlobal("WebSocket", FakeSocket);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("LiveSocket", () => {
  it("carries all topics over one connection and gives each listener its own", () => {
    const socket = new LiveSocket("ws://lab/mlship/live");
    const runs: LiveMessage[] = [];
    const projects: LiveMessage[] = [];
    const everything: LiveMessage[] = [];
    socket.subscribe("run:1", (message) => runs.push(message));
    socket.subscribe("project:2", (message) => projects.push(message));
    socket.subscribe("*", (message) => everything.push(message));
    expect(FakeSocket.opened).toHaveLength(1);
    latest().accept();
    expect(latest().heard).toEqual([{ op: "subscribe", topics: ["run:1", "project:2", "*"], after: null }]);
    latest().say(event(1, "run:1"));
    latest().say({ type: "metrics", topic: "run:1", from: 0, sequence: 1, series: {} });
    expect([runs.length, projects.length, everything.length]).toEqual([2, 0, 1]);
  });

  it("comes back, names the newest event it saw, and says that it was away", async () => {
    const socket = new LiveSocket("ws://lab/mlship/live");
    const heard: string[] = [];
    socket.subscribe("run:1", (message) => heard.push(message.type));
    latest().accept();
    latest().say(event(41, "run:1"));
    latest().close();
    await vi.advanceTimersByTimeAsync(2000);
    expect(FakeSocket.opened).toHaveLength(2);
    latest().accept();
    expect(latest().heard[0]).toEqual({ op: "subscribe", topics: ["run:1"], after: 41 });
    expect(heard).toEqual(["event", "reconnected"]);
    socket.close();
  });

  it("notices a connection that died silently", async () => {
    const socket = new LiveSocket("ws://lab/mlship/live");
    socket.subscribe("run:1", () => undefined);
    latest().accept();
    await vi.advanceTimersByTimeAsync(31_000);
    expect(latest().heard.at(-1)).toEqual({ op: "ping" });
    await vi.advanceTimersByTimeAsync(31_000);
    expect(FakeSocket.opened.length).toBeGreaterThan(1);
    socket.close();
  });

  it("closes when nobody listens any more", async () => {
    const socket = new LiveSocket("ws://lab/mlship/live");
    const stop = socket.subscribe("run:1", () => undefined);
    latest().accept();
    stop();
    expect(latest().readyState).toBe(3);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.opened).toHaveLength(1);
  });
});
