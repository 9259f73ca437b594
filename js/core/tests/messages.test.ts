import { describe, expect, it, vi } from "vitest";
import { LabError, MessageConnection } from "../src/index";

type Callback = (content: unknown, buffers: DataView[]) => void;

/** The Python half of a widget, answering by hand. */
class Channel {
  readonly sent: { id: number; method: string; path: string; body: unknown }[] = [];
  private readonly callbacks = new Set<Callback>();
  send(content: unknown): void {
    this.sent.push(content as (typeof this.sent)[number]);
  }
  on(_event: string, callback: Callback): void {
    this.callbacks.add(callback);
  }
  off(_event: string, callback: Callback): void {
    this.callbacks.delete(callback);
  }
  answer(content: unknown, buffers: DataView[] = []): void {
    for (const callback of this.callbacks) callback(content, buffers);
  }
}

describe("MessageConnection", () => {
  it("gives each answer to the request that asked for it", async () => {
    const channel = new Channel();
    const connection = new MessageConnection(channel);
    const first = connection.request("GET", "projects/3/queue", { query: { limit: 20, exclude: [1, 2] } });
    const second = connection.request("POST", "projects/3/labels", { body: { labels: [] } });
    expect(channel.sent).toEqual([
      { id: 1, method: "GET", path: "projects/3/queue?limit=20&exclude=1&exclude=2", body: null },
      { id: 2, method: "POST", path: "projects/3/labels", body: { labels: [] } },
    ]);
    channel.answer({ kind: "source" });
    channel.answer({ id: 2, status: 200, body: "second" });
    channel.answer({ id: 1, status: 200, body: "first" });
    expect(await Promise.all([first, second])).toEqual(["first", "second"]);
  });

  it("raises what the server answered", async () => {
    const channel = new Channel();
    const asked = new MessageConnection(channel).request("GET", "runs/9");
    channel.answer({ id: 1, status: 404, body: { error: { code: "NOT_FOUND", message: "There is no run 9." } } });
    await expect(asked).rejects.toMatchObject({ status: 404, code: "NOT_FOUND", message: "There is no run 9." });
  });

  it("gives up on a kernel that does not answer, as something temporary", async () => {
    vi.useFakeTimers();
    const asked = new MessageConnection(new Channel()).request("GET", "runs/9").catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(31_000);
    vi.useRealTimers();
    const error = await asked;
    expect(error).toBeInstanceOf(LabError);
    expect((error as LabError).temporary).toBe(true);
  });

  it("makes an address of a picture that came as bytes, once", async () => {
    const channel = new Channel();
    const connection = new MessageConnection(channel);
    const made: Blob[] = [];
    vi.stubGlobal("URL", { createObjectURL: (blob: Blob) => `blob:${made.push(blob)}`, revokeObjectURL: () => undefined });
    const urls = Promise.all([connection.imageUrl("abc"), connection.imageUrl("abc")]);
    expect(channel.sent.map((message) => message.path)).toEqual(["blobs/abc"]);
    channel.answer({ id: 1, status: 200, body: null }, [new DataView(new Uint8Array([0x89, 0x50, 1, 2]).buffer)]);
    expect(await urls).toEqual(["blob:1", "blob:1"]);
    expect(made[0]).toMatchObject({ type: "image/png", size: 4 });
    vi.unstubAllGlobals();
  });
});
