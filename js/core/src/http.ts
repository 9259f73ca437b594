import {
  errorFromAnswer,
  unreachable,
  withQuery,
  type Connection,
  type LiveListener,
  type Method,
  type RequestOptions,
} from "./connection";
import { LiveSocket } from "./live";

/** No answer within this time counts as a server that is away. */
const TIMEOUT_MS = 30_000;
/** Pictures in which nothing runs. */
const SHOWN: ReadonlySet<string> = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

function cookie(name: string): string | null {
  const entry = document.cookie.split("; ").find((item) => item.startsWith(`${name}=`));
  return entry ? decodeURIComponent(entry.slice(name.length + 1)) : null;
}

/** Talks straight to a lab server: JSON over HTTP and the live socket. */
export class HttpConnection implements Connection {
  readonly live = true;
  private readonly socket: LiveSocket;

  /**
   * @param baseUrl the server's base address with a slash at its end
   * @param token sent as bearer credential; without it the Jupyter cookie of the page is used
   */
  constructor(
    private readonly baseUrl: string,
    private readonly token: string | null = null,
  ) {
    const live = new URL(`${baseUrl}mlship/live`, globalThis.location?.href);
    live.protocol = live.protocol === "https:" ? "wss:" : "ws:";
    // A browser cannot set headers on a WebSocket.
    if (token) live.searchParams.set("token", token);
    this.socket = new LiveSocket(live.href);
  }

  async request<Answer>(
    method: Method,
    path: string,
    options: RequestOptions = {},
  ): Promise<Answer> {
    const { response, text } = await this.send(method, withQuery(path, options.query), options);
    let answer: unknown = null;
    try {
      answer = text ? JSON.parse(text) : null;
    } catch {
      // A proxy or a login page answered instead of the lab: keep its status.
      if (response.ok) throw unreachable(new Error("the answer is not JSON"));
    }
    if (!response.ok) throw errorFromAnswer(response.status, answer);
    return answer as Answer;
  }

  async text(path: string): Promise<string> {
    const { response, text } = await this.send("GET", path, {}, "*/*");
    if (!response.ok) throw errorFromAnswer(response.status, asJson(text));
    return text;
  }

  imageUrl(digest: string): Promise<string> {
    return this.fileUrl(`blobs/${encodeURIComponent(digest)}`);
  }

  async fileUrl(path: string): Promise<string> {
    const url = `${this.baseUrl}mlship/api/${path}`;
    if (!this.token) return url;
    const response = await fetch(url, { headers: { Authorization: `Bearer ${this.token}` } });
    if (!response.ok) throw errorFromAnswer(response.status, null);
    return addressOf(await response.blob());
  }

  subscribe(topic: string, listener: LiveListener): () => void {
    return this.socket.subscribe(topic, listener);
  }

  close(): void {
    this.socket.close();
  }

  private async send(
    method: Method,
    path: string,
    { body, signal, keepalive }: RequestOptions,
    accept = "application/json",
  ): Promise<{ response: Response; text: string }> {
    const headers: Record<string, string> = { Accept: accept };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    else if (method !== "GET") {
      // Jupyter accepts a cookie for a change only together with this proof of the same origin.
      const proof = cookie("_xsrf");
      if (proof) headers["X-XSRFToken"] = proof;
    }
    try {
      const response = await fetch(`${this.baseUrl}mlship/api/${path}`, {
        method,
        headers,
        credentials: "same-origin",
        redirect: "error",
        keepalive,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])]),
      });
      return { response, text: await response.text() };
    } catch (error) {
      throw unreachable(error);
    }
  }
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** An address of what somebody has sent. Opened by itself, a page or a drawing of theirs must not be one of ours. */
async function addressOf(content: Blob): Promise<string> {
  // Shown as a picture, and no browser goes to such an address.
  if (content.type === "image/svg+xml") return `data:image/svg+xml,${encodeURIComponent(await content.text())}`;
  return URL.createObjectURL(SHOWN.has(content.type) ? content : content.slice(0, content.size, "application/octet-stream"));
}
