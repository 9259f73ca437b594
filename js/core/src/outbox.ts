import { Backoff } from "./backoff";
import { LabError, type Connection } from "./connection";
import { newKey } from "./key";
import type { NewLabel, Progress, SavedLabels, Undone } from "./records";
import { Store } from "./store";
import { classesOf } from "./values";

/** Most labels of one request; the server takes more, but a slow one should answer in time. */
const BATCH = 200;

type Entry =
  | { kind: "label"; place: string; label: NewLabel }
  /** Takes a decision back that was sent before; `label_id` is known once that was acknowledged. */
  | { kind: "undo"; place: string; key: string; undoes: NewLabel; label_id: number | null };

/** A decision that the server will never take, e.g. because its sample was deleted. */
export interface Refusal {
  label: NewLabel;
  message: string;
}

export interface OutboxState {
  /** Decisions and undos that the server has not acknowledged. */
  unsaved: number;
  /** Decisions acknowledged since the outbox was opened, less those taken back. */
  saved: number;
  /** Why the newest attempt failed; null while all is well. */
  problem: LabError | null;
  refused: Refusal[];
  /** False when the browser refuses to store: then closing the tab loses what is unsaved. */
  durable: boolean;
  /** The server's count at the newest acknowledgement. */
  progress: Progress | null;
}

/**
 * Saves decisions in their order, in the background, until the server has acknowledged each of them.
 *
 * What is not yet acknowledged lies in the browser's storage too, one item for each entry, and is sent
 * by the next outbox of the same project. A decision keeps its idempotency key through every retry and
 * every tab, so sending it again is harmless.
 */
export class Outbox {
  readonly store: Store<OutboxState>;
  private entries: Entry[] = [];
  /** How many entries at the front are on their way. */
  private inFlight = 0;
  private readonly ids = new Map<string, number>();
  private readonly backoff = new Backoff();
  private readonly prefix: string;
  private wake: (() => void) | null = null;
  private running = false;
  private closed = false;
  private batch = BATCH;

  constructor(
    private readonly connection: Connection,
    private readonly projectId: number,
    labId: string,
    private readonly storage: Storage | null = browserStorage(),
  ) {
    this.prefix = `modelship-lab/outbox/${labId}/${projectId}/`;
    this.entries = this.restore();
    this.store = new Store<OutboxState>({
      unsaved: this.entries.length,
      saved: 0,
      problem: null,
      refused: [],
      durable: storage !== null,
      progress: null,
    });
    globalThis.addEventListener?.("online", this.retryNow);
    void this.run();
  }

  /** Takes a decision over; it is safe in the browser's storage when this returns. */
  put(label: NewLabel): void {
    this.append({ kind: "label", place: this.place(), label });
  }

  /** Takes back a decision that was put before: unsent it disappears, otherwise the server undoes it. */
  undo(label: NewLabel): void {
    const index = this.entries.findIndex((entry) => entry.kind === "label" && entry.label.key === label.key);
    if (index >= this.inFlight) {
      const [entry] = this.entries.splice(index, 1);
      if (entry) this.forget(entry);
      this.publish();
      return;
    }
    const label_id = this.ids.get(label.key) ?? null;
    this.append({ kind: "undo", place: this.place(), key: newKey(), undoes: label, label_id });
  }

  /** The samples with a decision or an undo under way. */
  pendingSamples(): Set<number> {
    return new Set(this.entries.map((entry) => decisionOf(entry).sample_id));
  }

  /** The server's count with everything that it has not acknowledged yet. */
  project(progress: Progress): Progress {
    const result = { ...progress, by_class: { ...progress.by_class } };
    for (const entry of this.entries) {
      const sign = entry.kind === "label" ? 1 : -1;
      const decision = decisionOf(entry);
      // For other purposes a sample has a label already, or goes on without one.
      if (decision.action === "note" || (decision.purpose ?? "label") !== "label") continue;
      const part = ({ label: "labeled", skip: "skipped", flag: "flagged" } as const)[decision.action];
      result[part] = Math.max(0, result[part] + sign);
      result.unlabeled = Math.max(0, result.unlabeled - sign);
      for (const name of classesOf(decision)) {
        result.by_class[name] = Math.max(0, (result.by_class[name] ?? 0) + sign);
      }
    }
    if (result.seconds_per_label !== null) result.remaining_s = result.seconds_per_label * result.unlabeled;
    return result;
  }

  /** True while nothing waits and nothing is on its way. */
  get idle(): boolean {
    return this.entries.length === 0;
  }

  /** Tries again at once instead of at the end of the waiting time. */
  readonly retryNow = (): void => {
    this.backoff.reset();
    this.wake?.();
  };

  dismissRefused(): void {
    this.store.set({ refused: [] });
  }

  /** Stops sending. What is unsaved stays in the browser's storage. */
  close(): void {
    this.closed = true;
    globalThis.removeEventListener?.("online", this.retryNow);
    this.wake?.();
  }

  private append(entry: Entry): void {
    this.entries.push(entry);
    this.keep(entry);
    this.publish();
    void this.run();
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    while (!this.closed && this.entries.length > 0) {
      try {
        await this.sendNext();
        this.backoff.reset();
        if (this.store.get().problem) this.store.set({ problem: null });
      } catch (error) {
        const problem = error instanceof LabError ? error : new LabError(0, "UNREACHABLE", String(error));
        this.store.set({ problem });
        await this.pause(this.backoff.next());
      } finally {
        this.inFlight = 0;
      }
    }
    this.running = false;
  }

  private async sendNext(): Promise<void> {
    const first = this.entries[0]!;
    if (first.kind === "undo") return this.sendUndo(first);
    const group: Extract<Entry, { kind: "label" }>[] = [];
    for (const entry of this.entries) {
      if (entry.kind !== "label" || group.length === this.batch) break;
      group.push(entry);
    }
    this.inFlight = group.length;
    let answer: SavedLabels;
    try {
      answer = await this.connection.request<SavedLabels>("POST", `projects/${this.projectId}/labels`, {
        body: { labels: group.map((entry) => entry.label) },
      });
    } catch (error) {
      if (!isFinal(error)) throw error;
      // One refused decision must not hold up the others: send them one by one to find it.
      if (group.length > 1) this.batch = 1;
      else this.refuse(first, error);
      return;
    }
    for (const label of answer.labels) this.ids.set(label.key, label.id);
    for (const entry of this.entries) {
      if (entry.kind === "undo" && entry.label_id === null) {
        entry.label_id = this.ids.get(entry.undoes.key) ?? null;
        if (entry.label_id !== null) this.keep(entry);
      }
    }
    this.batch = this.entries.length > group.length ? Math.min(BATCH, this.batch * 2) : BATCH;
    this.acknowledge(group.length, group.length, answer.progress);
  }

  private async sendUndo(entry: Extract<Entry, { kind: "undo" }>): Promise<void> {
    this.inFlight = 1;
    if (entry.label_id === null) {
      // The decision itself was refused, so there is nothing to take back.
      this.acknowledge(1, 0, null);
      return;
    }
    try {
      const answer = await this.connection.request<Undone>("POST", `projects/${this.projectId}/labels/undo`, {
        body: { label_id: entry.label_id, key: entry.key },
      });
      this.acknowledge(1, -1, answer.progress);
    } catch (error) {
      if (!isFinal(error)) throw error;
      // Already undone, or its sample is gone: the wish is fulfilled.
      this.acknowledge(1, -1, null);
    }
  }

  private acknowledge(count: number, saved: number, progress: Progress | null): void {
    for (const entry of this.entries.splice(0, count)) this.forget(entry);
    this.inFlight = 0;
    const state = this.store.get();
    this.store.set({
      unsaved: this.entries.length,
      saved: Math.max(0, state.saved + saved),
      progress: progress ?? state.progress,
    });
  }

  private refuse(entry: Extract<Entry, { kind: "label" }>, error: LabError): void {
    this.acknowledge(1, 0, null);
    const refused = [...this.store.get().refused, { label: entry.label, message: error.message }];
    this.store.set({ refused: refused.slice(-50) });
  }

  private publish(): void {
    this.store.set({ unsaved: this.entries.length });
  }

  private pause(wait_ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.wake = null;
        resolve();
      };
      const timer = setTimeout(done, wait_ms);
      this.wake = done;
      if (this.closed) done();
    });
  }

  /** Sorts in the order of time, also among the entries of several tabs. */
  private place(): string {
    return `${this.prefix}${String(Date.now()).padStart(14, "0")}-${String(++placeCount).padStart(9, "0")}`;
  }

  private keep(entry: Entry): void {
    try {
      this.storage?.setItem(entry.place, JSON.stringify(entry));
    } catch {
      // Full or forbidden: saving goes on, only a closed tab would lose what is unsaved.
      this.store.set({ durable: false });
    }
  }

  private forget(entry: Entry): void {
    try {
      this.storage?.removeItem(entry.place);
    } catch {
      this.store.set({ durable: false });
    }
  }

  private restore(): Entry[] {
    const entries: Entry[] = [];
    if (!this.storage) return entries;
    for (let index = 0; index < this.storage.length; index++) {
      const place = this.storage.key(index);
      if (!place?.startsWith(this.prefix)) continue;
      try {
        entries.push(JSON.parse(this.storage.getItem(place) ?? "") as Entry);
      } catch {
        continue;
      }
    }
    return entries.sort((a, b) => (a.place < b.place ? -1 : 1));
  }
}

let placeCount = 0;

function decisionOf(entry: Entry): NewLabel {
  return entry.kind === "label" ? entry.label : entry.undoes;
}

function isFinal(error: unknown): error is LabError {
  return error instanceof LabError && error.final;
}

/** The page's storage, or null where the browser forbids it (third-party frames, strict settings). */
export function browserStorage(): Storage | null {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}
