import type { LabEvent, SeriesPoints, WindowMetrics } from "./records";

/** What the server says when it refuses, or what kept a request from reaching it. */
export class LabError extends Error {
  /**
   * @param status the HTTP status; 0 when no answer came at all
   * @param code the server's code, or `UNREACHABLE`
   */
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: Record<string, unknown>[] = [],
  ) {
    super(message);
    this.name = "LabError";
  }

  /** True when the same request may succeed later without the user doing anything. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** True when the browser's credential is missing or no longer valid. */
  get signedOut(): boolean {
    return this.status === 401 || this.status === 403;
  }

  /** True when the answer will be the same however often it is asked: what does not exist will not appear. */
  get final(): boolean {
    return !this.temporary && !this.signedOut;
  }
}

/** The error for a request that never reached the server or never came back. */
export function unreachable(cause: unknown): LabError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new LabError(0, "UNREACHABLE", `The lab server did not answer (${reason}).`);
}

/** Whatever was thrown, as an error of the lab. */
export function asLabError(error: unknown): LabError {
  return error instanceof LabError ? error : new LabError(0, "UNREACHABLE", String(error));
}

/** The error that an answer of the server describes. */
export function errorFromAnswer(status: number, body: unknown): LabError {
  const error = (body as { error?: { code?: string; message?: string; details?: Record<string, unknown>[] } } | null)
    ?.error;
  return new LabError(
    status,
    error?.code ?? `HTTP_${status}`,
    error?.message ?? `The lab server answered with status ${status}.`,
    error?.details ?? [],
  );
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export type Query = Record<string, string | number | boolean | readonly (string | number)[] | null | undefined>;

export interface RequestOptions {
  query?: Query;
  body?: unknown;
  /** Ends the wait for an answer that nobody needs any more. */
  signal?: AbortSignal;
  /** Sent although the page is being closed. */
  keepalive?: boolean;
}

export interface MetricsMessage {
  type: "metrics";
  topic: string;
  /** Number of the newest batch in here. */
  sequence: number;
  /** Number of the batch that this message follows. */
  from: number;
  series: SeriesPoints[];
  /** True when there were too many points to send: fetch them. */
  gap?: boolean;
}

export type LiveMessage =
  | { type: "event"; event: LabEvent }
  | MetricsMessage
  | { type: "deployment"; topic: string; window: WindowMetrics }
  /** Messages may have been missed: fetch what you show again. */
  | { type: "reconnected" };

export type LiveListener = (message: LiveMessage) => void;

/** How a screen reaches its lab server: straight over HTTP, or through the notebook's kernel. */
export interface Connection {
  /** True when messages arrive by themselves; false means that screens have to poll. */
  readonly live: boolean;
  /** The JSON answer of `{base}mlship/api/{path}`. @throws LabError */
  request<Answer>(method: Method, path: string, options?: RequestOptions): Promise<Answer>;
  /** What `{base}mlship/api/{path}` has as text, e.g. a run's file. @throws LabError */
  text(path: string): Promise<string>;
  /** An address at which the browser reads the bytes of `{base}mlship/api/{path}`, as for an `<img>`. */
  fileUrl(path: string): Promise<string>;
  /** An address for an `<img>` of this image; it stays valid while the connection is open. */
  imageUrl(digest: string): Promise<string>;
  /** Calls `listener` with every message of `topic` (`*`: all events) until the returned function is called. */
  subscribe(topic: string, listener: LiveListener): () => void;
  close(): void;
}

/** `path?a=1&b=2`; lists repeat their name, null and undefined are left out. */
export function withQuery(path: string, query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === null || value === undefined) continue;
    for (const item of Array.isArray(value) ? value : [value]) parameters.append(name, String(item));
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}
