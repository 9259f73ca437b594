import {
  errorFromAnswer,
  LabError,
  unreachable,
  withQuery,
  type Connection,
  type Method,
  type RequestOptions,
} from "./connection";

/** The part of a widget's model that carries messages to Python and back. */
export interface MessageChannel {
  send(content: unknown): void;
  on(event: "msg:custom", callback: (content: unknown, buffers: DataView[]) => void): void;
  off(event: "msg:custom", callback: (content: unknown, buffers: DataView[]) => void): void;
}

interface Reply {
  id: number;
  status: number;
  body: unknown;
}

/** A kernel that computes answers late; one that died answers never. */
const TIMEOUT_MS = 30_000;

/** The kind of picture that encoded bytes hold, by their first bytes. */
function imageType(bytes: Uint8Array): string {
  if (bytes[0] === 0x89) return "image/png";
  if (bytes[0] === 0xff) return "image/jpeg";
  if (bytes[0] === 0x47) return "image/gif";
  if (bytes[0] === 0x52) return "image/webp";
  // An image element runs nothing of what a drawing may carry.
  if (bytes[0] === 0x3c) return "image/svg+xml";
  return "application/octet-stream";
}

/**
 * Reaches the lab through the kernel, for pages that do not come from the lab's own origin (VS Code,
 * Colab): `{id, method, path, body}` goes out, `{id, status, body}` comes back, pictures as buffers.
 */
export class MessageConnection implements Connection {
  readonly live = false;
  private count = 0;
  private readonly waiting = new Map<number, (reply: Reply, buffers: DataView[]) => void>();
  private readonly files = new Map<string, Promise<string>>();

  constructor(private readonly channel: MessageChannel) {
    channel.on("msg:custom", this.receive);
  }

  async request<Answer>(
    method: Method,
    path: string,
    options: RequestOptions = {},
  ): Promise<Answer> {
    const { reply } = await this.ask(method, withQuery(path, options.query), options.body);
    if (options.signal?.aborted) throw unreachable(options.signal.reason);
    return reply.body as Answer;
  }

  async text(path: string): Promise<string> {
    const { reply, buffers } = await this.ask("GET", path, undefined);
    if (buffers[0]) return new TextDecoder().decode(buffers[0]);
    // A file that is JSON itself comes as what it says.
    return typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body, null, 2);
  }

  imageUrl(digest: string): Promise<string> {
    return this.fileUrl(`blobs/${encodeURIComponent(digest)}`);
  }

  fileUrl(path: string): Promise<string> {
    let url = this.files.get(path);
    if (!url) {
      url = this.ask("GET", path, undefined).then(({ reply, buffers }) => {
        const view = buffers[0];
        // What is JSON comes as such.
        if (!view && reply.body !== null) return URL.createObjectURL(new Blob([JSON.stringify(reply.body)]));
        if (!view) throw new LabError(502, "INVALID_ANSWER", "The kernel sent no file.");
        const bytes = new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
        return URL.createObjectURL(new Blob([bytes], { type: imageType(bytes) }));
      });
      url.catch(() => this.files.delete(path));
      this.files.set(path, url);
    }
    return url;
  }

  subscribe(): () => void {
    return () => undefined;
  }

  close(): void {
    this.channel.off("msg:custom", this.receive);
    for (const url of this.files.values()) {
      url.then((address) => URL.revokeObjectURL(address)).catch(() => undefined);
    }
    this.files.clear();
  }

  private ask(method: Method, path: string, body: unknown): Promise<{ reply: Reply; buffers: DataView[] }> {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new LabError(0, "UNREACHABLE", "The notebook's kernel did not answer; is it busy or stopped?"));
      }, TIMEOUT_MS);
      this.waiting.set(id, (reply, buffers) => {
        clearTimeout(timer);
        if (reply.status >= 200 && reply.status < 300) resolve({ reply, buffers });
        else reject(errorFromAnswer(reply.status, reply.body));
      });
      this.channel.send({ id, method, path, body: body ?? null });
    });
  }

  private readonly receive = (content: unknown, buffers: DataView[]): void => {
    const reply = content as Partial<Reply> | null;
    const waiter = typeof reply?.id === "number" ? this.waiting.get(reply.id) : undefined;
    if (!waiter) return;
    this.waiting.delete(reply!.id!);
    waiter(reply as Reply, buffers ?? []);
  };
}
