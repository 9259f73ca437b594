import { AIManagerError, errorOf } from "./errors.js";
import { pause } from "./pause.js";

/** No answer within this time counts as no answer. */
const TIMEOUT_MS = 30_000;
const DEFAULT_LONGEST_WAIT_MS = 120_000;
/** Where a lab server has this API. Its own API beside it takes many points in one request, each of them once. */
const LAB_MOUNT = "/mlship/ai-manager";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;
export type Query = Record<string, string | number | undefined>;

export interface HttpOptions {
  /** Base address of the API, e.g. `http://127.0.0.1:8890/mlship/ai-manager`. */
  apiUrl: string;
  /** With a password: logs in, and again when the token has expired. */
  username?: string;
  password?: string;
  /** A token that is there already, instead of a username and password. */
  token?: string;
  /** Default: that of `globalThis`. */
  fetch?: Fetch;
  /** Longest time in ms that a request waits because there were too many (429). Default: two minutes. */
  longestWait_ms?: number;
}

export interface CallOptions {
  /** Ends the call, also while it waits. */
  signal?: AbortSignal;
}

interface RequestOptions extends CallOptions {
  query?: Query;
  /** Sent as JSON. */
  body?: unknown;
}

/** Requests with a credential: logs in when there is none yet, waits when there were too many. */
export class Http {
  readonly apiUrl: string;
  /** Base address of the lab's own API; null when the server is another one. */
  readonly labApiUrl: string | null;
  // Private in earnest: neither printed nor serialized.
  readonly #options: HttpOptions;
  #token: Promise<string> | null = null;
  /** The token that was got last. */
  #current = "";
  readonly #longestWait_ms: number;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#longestWait_ms = options.longestWait_ms ?? DEFAULT_LONGEST_WAIT_MS;
    this.apiUrl = new URL(options.apiUrl, globalThis.location?.href).href.replace(/\/+$/, "");
    this.labApiUrl = this.apiUrl.endsWith(LAB_MOUNT)
      ? `${this.apiUrl.slice(0, -LAB_MOUNT.length)}/mlship/api`
      : null;
    if (options.token !== undefined) this.#token = Promise.resolve(options.token);
    else if (options.username === undefined || options.password === undefined) {
      throw new TypeError("AIManager needs a username and a password, or a token.");
    }
  }

  /** The JSON answer to a request; undefined when the answer has no body. @throws AIManagerError */
  async request<Answer>(method: string, url: string, options: RequestOptions = {}): Promise<Answer> {
    const address = new URL(url.startsWith("http") ? url : `${this.apiUrl}/${url}`);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) address.searchParams.set(name, String(value));
    }
    const headers: Record<string, string> = { Accept: "application/json" };
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let renewed = false;
    for (;;) {
      const token = await this.token(options.signal);
      headers.Authorization = `Bearer ${token}`;
      try {
        const response = await this.send(address.href, { method, headers, body }, options.signal);
        const text = await response.text();
        return (text ? JSON.parse(text) : undefined) as Answer;
      } catch (error) {
        if (!(error instanceof AIManagerError) || error.status !== 401 || renewed || !this.renew(token)) throw error;
        renewed = true;
      }
    }
  }

  /** The credential, for places that take no header. */
  token(signal?: AbortSignal): Promise<string> {
    // One login for all that wait for it: only the first one's signal can end it.
    this.#token ??= this.logIn(signal).then(
      (token) => (this.#current = token),
      (error: unknown) => {
        this.#token = null;
        throw error;
      },
    );
    return this.#token;
  }

  /** Forgets a token that was refused; true when another one can be had. */
  renew(token: string): boolean {
    if (this.#options.token !== undefined) return false;
    // Another request may have logged in meanwhile.
    if (token === this.#current) {
      this.#token = null;
      this.#current = "";
    }
    return true;
  }

  private async logIn(signal?: AbortSignal): Promise<string> {
    const form = new URLSearchParams({ username: this.#options.username!, password: this.#options.password! });
    const response = await this.send(
      `${this.apiUrl}/auth/login`,
      { method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: form.toString() },
      signal,
    );
    return ((await response.json()) as { access_token: string }).access_token;
  }

  /** An answer that is none of an error. */
  private async send(url: string, init: RequestInit, signal?: AbortSignal): Promise<Response> {
    const fetch = this.#options.fetch ?? globalThis.fetch;
    const deadline = Date.now() + this.#longestWait_ms;
    for (;;) {
      const timeout = AbortSignal.timeout(TIMEOUT_MS);
      let response: Response;
      try {
        response = await fetch(url, {
          ...init,
          redirect: "error",
          signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        });
      } catch (cause) {
        signal?.throwIfAborted();
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new AIManagerError(0, `${new URL(url).origin} did not answer (${reason}).`, { cause });
      }
      if (response.ok) return response;
      const wait_ms = retryAfter_ms(response);
      if (response.status !== 429 || Date.now() + wait_ms > deadline) throw await errorOf(response);
      await response.body?.cancel();
      await pause(wait_ms, signal);
    }
  }
}

/** How long the server asks to wait: seconds or a date; a second when it does not say. */
function retryAfter_ms(response: Response): number {
  const said = response.headers.get("Retry-After") ?? "";
  const seconds = Number(said || "1");
  if (Number.isFinite(seconds)) return Math.max(seconds, 0.05) * 1000;
  const date = Date.parse(said);
  return Number.isNaN(date) ? 1000 : Math.max(date - Date.now(), 50);
}
