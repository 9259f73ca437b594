import { Backoff } from "./backoff";
import { LabError, type Connection, type LiveMessage } from "./connection";
import { newKey } from "./key";
import { Outbox } from "./outbox";
import type { LabelAction, NewLabel, Page, Progress, Project, Queue, QueueOrder, Sample, Undone } from "./records";
import { Store } from "./store";

/** Samples asked for at once, and the number at which more are fetched. */
const FETCH = 20;
const LOW = 12;
/** With more unsaved decisions than this the server is away: fetching more samples can wait. */
const MOST_UNSAVED = 300;
const HISTORY = 500;
/** A longer look at one sample was a coffee break, not labeling. */
const LONGEST_MS = 300_000;
const POLL_MS = 10_000;

/** Where the samples come from: the queue of unlabeled ones, or a second look at those put aside. */
export type LabelingSource = "queue" | "skipped" | "flagged";

export interface LabelingState {
  project: Project | null;
  /** The sample on screen; null while loading or when none is left. */
  current: Sample | null;
  /** The samples that follow, in order. */
  upcoming: Sample[];
  /** True when the server has no further samples for this source. */
  exhausted: boolean;
  source: LabelingSource;
  order: QueueOrder;
  /** The server's count, with the decisions that it does not have yet. */
  progress: Progress | null;
  /** Why samples cannot be fetched; null while all is well. */
  problem: LabError | null;
  /** A sentence about the last key, e.g. that there is nothing to undo. */
  notice: string;
  undoing: boolean;
}

interface Decided {
  sample: Sample;
  label: NewLabel;
}

/**
 * One person labeling one project: the sample on screen, those prefetched behind it, the decisions on
 * their way to the server, and the way back.
 *
 * Every decision changes the state at once; fetching and saving happen behind it.
 */
export class LabelingSession {
  readonly store: Store<LabelingState>;
  readonly outbox: Outbox;
  private history: Decided[] = [];
  /** What was decided since the source was chosen: skipping a skipped sample again does not bring it back. */
  private readonly lookedOver = new Set<number>();
  private shown_at = 0;
  private fetching = false;
  private generation = 0;
  private closed = false;
  private base: Progress | null = null;
  private readonly backoff = new Backoff();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private refresh: ReturnType<typeof setTimeout> | undefined;
  private readonly stop: (() => void)[] = [];

  constructor(
    private readonly connection: Connection,
    private readonly projectId: number,
    labId: string,
    order: QueueOrder = "uncertainty",
    storage?: Storage | null,
  ) {
    this.outbox = new Outbox(connection, projectId, labId, storage);
    this.store = new Store<LabelingState>({
      project: null,
      current: null,
      upcoming: [],
      exhausted: false,
      source: "queue",
      order,
      progress: null,
      problem: null,
      notice: "",
      undoing: false,
    });
    let seen: Progress | null = null;
    this.stop.push(
      this.outbox.store.subscribe(() => {
        const { progress } = this.outbox.store.get();
        if (progress && progress !== seen) {
          seen = progress;
          this.base = progress;
        }
        this.showProgress();
      }),
      connection.subscribe(`project:${projectId}`, (message) => this.hear(message)),
    );
    void this.load();
  }

  /** Decides about the sample on screen and brings the next one. */
  decide(action: LabelAction, label: string | null = null): void {
    const { current, upcoming } = this.store.get();
    if (!current) return;
    const decision: NewLabel = {
      sample_id: current.id,
      action,
      label: action === "label" ? label : null,
      key: newKey(),
      duration_ms: this.lookedAt(),
      source: "human",
    };
    this.history.push({ sample: current, label: decision });
    this.lookedOver.add(current.id);
    if (this.history.length > HISTORY) this.history.shift();
    const [next = null, ...rest] = upcoming;
    this.show(next, rest);
    this.outbox.put(decision);
    void this.fill();
  }

  /** Takes the suggestion of the sample on screen. */
  accept(): void {
    const suggestion = this.store.get().current?.suggestion;
    if (suggestion) this.decide("label", suggestion.label);
    else if (this.store.get().current) this.store.set({ notice: "This sample has no suggestion to accept." });
  }

  /** Takes the last decision back and shows its sample again; once more goes further back. */
  async undo(): Promise<void> {
    const last = this.history.pop();
    if (last) {
      this.outbox.undo(last.label);
      this.bringBack(last.sample);
      return;
    }
    if (this.store.get().undoing) return;
    if (!this.outbox.idle) {
      this.store.set({ notice: "Undo is possible again when the unsaved decisions have arrived at the server." });
      return;
    }
    // Nothing was decided on this page yet: the server knows the caller's newest decision.
    this.store.set({ undoing: true, notice: "" });
    try {
      const answer = await this.connection.request<Undone>("POST", `projects/${this.projectId}/labels/undo`, {
        body: { label_id: null, key: newKey() },
      });
      this.base = answer.progress;
      this.showProgress();
      this.bringBack(answer.sample);
    } catch (error) {
      const nothing = error instanceof LabError && (error.status === 404 || error.status === 409);
      this.store.set({ notice: nothing ? "There is nothing to undo." : `Undo failed: ${messageOf(error)}` });
    } finally {
      this.store.set({ undoing: false });
    }
  }

  setOrder(order: QueueOrder): void {
    if (order === this.store.get().order) return;
    this.store.set({ order });
    this.restart("queue");
  }

  /** Goes through the samples that were skipped or flagged, or back to the unlabeled ones. */
  restart(source: LabelingSource): void {
    this.generation++;
    this.fetching = false;
    this.lookedOver.clear();
    this.store.set({ source, current: null, upcoming: [], exhausted: false, problem: null, notice: "" });
    void this.fill();
  }

  /** Tries again at once whatever failed. */
  retry(): void {
    this.backoff.reset();
    this.outbox.retryNow();
    if (this.store.get().project) void this.fill();
    else void this.load();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.refresh);
    for (const stop of this.stop) stop();
    this.outbox.close();
  }

  private async load(): Promise<void> {
    clearTimeout(this.timer);
    try {
      const [project, progress] = await Promise.all([
        this.connection.request<Project>("GET", `projects/${this.projectId}`),
        this.connection.request<Progress>("GET", `projects/${this.projectId}/progress`),
        this.fill(),
      ]);
      if (this.closed) return;
      this.base ??= progress;
      this.store.set({ project });
      this.showProgress();
    } catch (error) {
      this.fail(error, () => void this.load());
    }
  }

  /**
   * Fetches more samples if few are left.
   *
   * @param how `again` asks although the source was exhausted; `anew` also replaces what is prefetched
   */
  private async fill(how: "more" | "again" | "anew" = "more"): Promise<void> {
    const { upcoming, exhausted, order, source } = this.store.get();
    if (this.closed || this.fetching || (how === "more" && exhausted)) return;
    if (how !== "anew" && upcoming.length >= LOW) return;
    if (this.outbox.pendingSamples().size > MOST_UNSAVED) return;
    this.fetching = true;
    const generation = this.generation;
    clearTimeout(this.timer);
    try {
      const exclude = this.known(how !== "anew");
      const samples = await (source === "queue" ? this.fetchQueue(order, exclude) : this.fetchAside(source));
      if (this.closed || generation !== this.generation) return;
      this.backoff.reset();
      this.fetching = false;
      const known = this.known(how !== "anew");
      const fresh = samples.filter((sample) => !known.has(sample.id));
      const kept = how === "anew" ? [] : this.store.get().upcoming;
      this.store.set({ problem: null, upcoming: [...kept, ...fresh], exhausted: fresh.length === 0 });
      const state = this.store.get();
      if (!state.current && state.upcoming.length > 0) this.show(state.upcoming[0]!, state.upcoming.slice(1));
      if (state.exhausted) this.timer = setTimeout(() => void this.fill("again"), POLL_MS);
      else void this.fill();
    } catch (error) {
      if (generation !== this.generation) return;
      this.fetching = false;
      this.fail(error, () => void this.fill());
    }
  }

  private async fetchQueue(order: QueueOrder, exclude: Set<number>): Promise<Sample[]> {
    const queue = await this.connection.request<Queue>("GET", `projects/${this.projectId}/queue`, {
      query: { order, limit: FETCH, exclude: [...exclude] },
    });
    return queue.samples;
  }

  private async fetchAside(status: "skipped" | "flagged"): Promise<Sample[]> {
    const page = await this.connection.request<Page<Sample>>("GET", `projects/${this.projectId}/samples`, {
      query: { status, limit: 200 },
    });
    return page.items.filter((sample) => !this.lookedOver.has(sample.id));
  }

  /** The samples with a decision under way, on screen, and (if wanted) prefetched behind it. */
  private known(prefetched: boolean): Set<number> {
    const { current, upcoming } = this.store.get();
    const ids = this.outbox.pendingSamples();
    if (current) ids.add(current.id);
    if (prefetched) for (const sample of upcoming) ids.add(sample.id);
    return ids;
  }

  private bringBack(sample: Sample): void {
    this.lookedOver.delete(sample.id);
    const { current, upcoming } = this.store.get();
    const rest = upcoming.filter((other) => other.id !== sample.id);
    this.show(sample, current && current.id !== sample.id ? [current, ...rest] : rest);
  }

  private show(current: Sample | null, upcoming: Sample[]): void {
    this.shown_at = performance.now();
    this.store.set({ current, upcoming, notice: "" });
  }

  private lookedAt(): number | null {
    const duration_ms = Math.round(performance.now() - this.shown_at);
    return duration_ms <= LONGEST_MS ? duration_ms : null;
  }

  private showProgress(): void {
    if (this.base) this.store.set({ progress: this.outbox.project(this.base) });
  }

  private fail(error: unknown, again: () => void): void {
    if (this.closed) return;
    this.store.set({ problem: error instanceof LabError ? error : new LabError(0, "UNREACHABLE", String(error)) });
    clearTimeout(this.timer);
    this.timer = setTimeout(again, this.backoff.next());
  }

  private hear(message: LiveMessage): void {
    if (message.type === "event" && message.event.type === "suggestions.saved") this.reorder();
    else if (message.type === "event" || message.type === "reconnected") {
      if (this.store.get().exhausted) void this.fill("again");
      // Somebody else may be labeling too; our own saves have brought the count already.
      clearTimeout(this.refresh);
      this.refresh = setTimeout(() => void this.recount(), 1000);
    }
  }

  /** Fetches what follows the sample on screen again, because a model has new suggestions. */
  private reorder(): void {
    if (this.store.get().source !== "queue") return;
    this.generation++;
    this.fetching = false;
    void this.fill("anew");
    void this.renewSuggestion();
  }

  /** The sample on screen stays, with what the model now suggests for it. */
  private async renewSuggestion(): Promise<void> {
    const id = this.store.get().current?.id;
    if (id === undefined) return;
    try {
      const { suggestion } = await this.connection.request<Sample>("GET", `samples/${id}`);
      const { current } = this.store.get();
      if (current?.id === id) this.store.set({ current: { ...current, suggestion } });
    } catch {
      // The sample is without a suggestion as before; the samples after it are fetched all the same.
    }
  }

  private async recount(): Promise<void> {
    if (!this.outbox.idle) return;
    try {
      const progress = await this.connection.request<Progress>("GET", `projects/${this.projectId}/progress`);
      // A decision of this page may have been saved meanwhile; its acknowledgement is newer.
      if (this.outbox.idle && !this.closed) {
        this.base = progress;
        this.showProgress();
      }
    } catch {
      // The count on screen stays; fetching samples and saving report a server that is away.
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
