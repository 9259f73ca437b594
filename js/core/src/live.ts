import { Backoff } from "./backoff";
import type { LiveListener, LiveMessage } from "./connection";

/** How long the socket may be silent before it is asked for a sign of life, and then given up. */
const SILENCE_MS = 20_000;

/**
 * One WebSocket for all topics of a page. It reconnects for as long as something is subscribed, asks
 * for the events that it missed meanwhile, and tells every listener that it was away.
 */
export class LiveSocket {
  private socket: WebSocket | null = null;
  private readonly listeners = new Map<string, Set<LiveListener>>();
  private readonly backoff = new Backoff();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private watchdog: ReturnType<typeof setInterval> | undefined;
  private heard_at = 0;
  private lastEvent: number | null = null;
  private wasOpen = false;

  constructor(private readonly url: string) {}

  subscribe(topic: string, listener: LiveListener): () => void {
    let group = this.listeners.get(topic);
    if (!group) {
      group = new Set();
      this.listeners.set(topic, group);
      this.send({ op: "subscribe", topics: [topic], after: null });
    }
    group.add(listener);
    this.open();
    return () => {
      group.delete(listener);
      if (group.size > 0 || this.listeners.get(topic) !== group) return;
      this.listeners.delete(topic);
      this.send({ op: "unsubscribe", topics: [topic] });
      if (this.listeners.size === 0) this.close();
    };
  }

  close(): void {
    clearTimeout(this.timer);
    clearInterval(this.watchdog);
    this.timer = this.watchdog = undefined;
    const socket = this.socket;
    this.socket = null;
    this.wasOpen = false;
    if (socket) {
      socket.onclose = socket.onmessage = socket.onopen = null;
      socket.close();
    }
  }

  private open(): void {
    if (this.socket || this.timer) return;
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => {
      this.backoff.reset();
      this.heard_at = Date.now();
      this.send({ op: "subscribe", topics: [...this.listeners.keys()], after: this.lastEvent });
      if (this.wasOpen) this.tellAll({ type: "reconnected" });
      this.wasOpen = true;
    };
    socket.onmessage = (message) => {
      this.heard_at = Date.now();
      this.receive(JSON.parse(String(message.data)) as LiveMessage | { type: string });
    };
    socket.onclose = () => this.reopen();
    this.watchdog ??= setInterval(() => this.watch(), SILENCE_MS / 2);
  }

  private reopen(): void {
    this.socket = null;
    if (this.listeners.size === 0) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.open();
    }, this.backoff.next());
  }

  /** A connection that died without a word (a laptop that slept) never fires `close` by itself. */
  private watch(): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const silent_ms = Date.now() - this.heard_at;
    if (silent_ms > 2 * SILENCE_MS) {
      const dead = this.socket;
      dead.onclose = dead.onmessage = null;
      dead.close();
      this.reopen();
    } else if (silent_ms > SILENCE_MS) {
      this.send({ op: "ping" });
    }
  }

  private receive(message: LiveMessage | { type: string }): void {
    const known = message as LiveMessage;
    switch (known.type) {
      case "event":
        this.lastEvent = Math.max(this.lastEvent ?? 0, known.event.id);
        this.tell(known.event.topic, known);
        this.tell("*", known);
        break;
      case "metrics":
      case "deployment":
        this.tell(known.topic, known);
        break;
    }
  }

  private tell(topic: string, message: LiveMessage): void {
    for (const listener of [...(this.listeners.get(topic) ?? [])]) listener(message);
  }

  private tellAll(message: LiveMessage): void {
    for (const topic of this.listeners.keys()) this.tell(topic, message);
  }

  private send(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
