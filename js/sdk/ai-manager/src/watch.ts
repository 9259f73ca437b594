import { AIManagerError } from "./errors.js";
import type { Http } from "./http.js";
import { Backoff } from "./pause.js";
import type { RunMessage, RunRecord } from "./records.js";

/** What is needed of a WebSocket: that of browsers and Node 22, or of the package `ws`. */
export type WebSocketClass = new (url: string) => Pick<WebSocket, "close"> & {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
};

export interface WatchOptions {
  /** Ends the watching, as the returned function does. */
  signal?: AbortSignal;
  /** Called when the watching had to end: the run is gone, or the credential is no longer valid. */
  onError?: (error: AIManagerError) => void;
}

/** Hands each message of a run to `listener`, over a socket that comes back by itself, until it is ended. */
export function watch(
  http: Http,
  Socket: WebSocketClass,
  runId: number,
  listener: (message: RunMessage) => void,
  options: WatchOptions = {},
): () => void {
  const backoff = new Backoff(500, 15_000);
  let socket: InstanceType<WebSocketClass> | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  let wasOpen = false;

  const end = (): void => {
    ended = true;
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", end);
    socket?.close();
  };

  const open = async (): Promise<void> => {
    try {
      // A browser does not say why a socket was refused; this does, and logs in again when it must.
      await http.request<RunRecord>("GET", `runs/${runId}`, { signal: options.signal });
      const address = new URL(`${http.apiUrl}/ws/${runId}`);
      address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
      address.searchParams.set("token", await http.token(options.signal));
      if (!ended) listen(new Socket(address.href));
    } catch (error) {
      if (ended) return;
      if (!(error instanceof AIManagerError) || error.temporary) return again();
      end();
      options.onError?.(error);
    }
  };

  const again = (): void => {
    if (!ended) timer = setTimeout(() => void open(), backoff.next());
  };

  const listen = (opened: InstanceType<WebSocketClass>): void => {
    socket = opened;
    opened.onopen = () => {
      backoff.reset();
      if (ended) opened.close();
      else if (wasOpen) listener({ type: "reconnected", run_id: runId });
      wasOpen = true;
    };
    opened.onmessage = (event: { data: unknown }) => {
      if (!ended) listener(JSON.parse(String(event.data)) as RunMessage);
    };
    // `close` follows and says all there is to say; without a handler the package `ws` throws.
    opened.onerror = () => undefined;
    opened.onclose = again;
  };

  options.signal?.addEventListener("abort", end, { once: true });
  if (options.signal?.aborted) end();
  else void open();
  return end;
}
