import { Backoff } from "./backoff";
import { LabError, type Connection, type LiveMessage } from "./connection";
import { newKey } from "./key";
import { Outbox } from "./outbox";
import type {
  Label,
  LabelAction,
  NewLabel,
  Page,
  Progress,
  Project,
  Purpose,
  Queue,
  QueuedSample,
  QueueOrder,
  Sample,
  Undone,
  Value,
} from "./records";
import { Store } from "./store";
import { BLIND, classesOf, valueOf } from "./values";

/** Samples asked for at once, and the number at which more are fetched. */
const FETCH = 20;
const LOW = 12;
/** With more unsaved decisions than this the server is away: fetching more samples can wait. */
const MOST_UNSAVED = 300;
const HISTORY = 500;
/** A longer look at one sample was a coffee break, not labeling. */
const LONGEST_MS = 300_000;
const POLL_MS = 10_000;

/** Where the samples come from: the queue, those it has for one purpose, or a second look at those put aside. */
export type LabelingSource = "queue" | "skipped" | "flagged" | Exclude<Purpose, "label">;

/** What the server has to say about a sample that is shown, to be taken over as it is. */
export interface Proposal {
  value: Value;
  /** Whether it is what counts now, or what a model, rule or person suggests. */
  from: "label" | "suggestion";
}

/** What is proposed for a sample; null where the labeler is to judge alone, or nothing is known. */
export function proposalFor(sample: QueuedSample | null): Proposal | null {
  if (!sample || BLIND.has(sample.purpose ?? "label")) return null;
  const present = valueOf(sample);
  if (present) return { value: present, from: "label" };
  const suggested = valueOf(sample.suggestion);
  return suggested && { value: suggested, from: "suggestion" };
}

export interface LabelingState {
  project: Project | null;
  /** The sample on screen; null while loading or when none is left. */
  current: QueuedSample | null;
  /** What was said about the sample on screen before that was taken back. */
  before: Value | null;
  /** The samples that follow, in order. */
  upcoming: QueuedSample[];
  /** True when the server has no further samples for this source. */
  exhausted: boolean;
  source: LabelingSource;
  /** Samples that are asked for by purpose, as far as the server has said. */
  waiting: Partial<Record<Purpose, number>>;
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
  sample: QueuedSample;
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
  /** Who has the samples in hand: nobody else gets them meanwhile, not even the same person in another tab. */
  private readonly holder = newKey();

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
      before: null,
      upcoming: [],
      exhausted: false,
      source: "queue",
      waiting: {},
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
      // Nothing is heard there: while somebody listens the lab knows that this session has not been killed.
      connection.subscribe(`holder:${this.holder}`, () => undefined),
    );
    globalThis.addEventListener?.("pagehide", this.release);
    void this.load();
  }

  /** Says what the sample on screen is and brings the next one. */
  label(value: Value): void {
    this.decide("label", value);
  }

  /** Leaves the sample on screen undecided and brings the next one. */
  skip(reason = ""): void {
    this.decide("skip", null, reason);
  }

  /** Sets the sample on screen aside, for a look at it later, and brings the next one. */
  flag(reason = ""): void {
    this.decide("flag", null, reason);
  }

  /** Says something about the sample on screen, which stays there. */
  note(text: string): void {
    const { current } = this.store.get();
    if (!current) return;
    this.put(current, "note", null, text, null);
    this.store.set({ current: { ...current, note: text }, notice: "" });
  }

  private decide(action: "label" | "skip" | "flag", value: Value | null, note = ""): void {
    const { current, upcoming } = this.store.get();
    if (!current) return;
    this.lookedOver.add(current.id);
    const duration_ms = this.lookedAt();
    const [next = null, ...rest] = upcoming;
    this.show(next, rest);
    this.put(current, action, value, note, duration_ms);
    void this.fill();
  }

  private put(
    sample: QueuedSample,
    action: LabelAction,
    value: Value | null,
    note: string,
    duration_ms: number | null,
  ): void {
    const label: NewLabel = {
      sample_id: sample.id,
      action,
      ...value,
      note,
      purpose: sample.purpose ?? "label",
      source: "human",
      duration_ms,
      key: newKey(),
    };
    this.history.push({ sample, label });
    if (this.history.length > HISTORY) this.history.shift();
    this.outbox.put(label);
  }

  /** Takes what is proposed for the sample on screen. */
  accept(): void {
    const proposal = proposalFor(this.store.get().current);
    if (proposal) this.label(proposal.value);
    else if (this.store.get().current) this.say("Nothing is proposed for this sample.");
  }

  /** Shows a sentence until the next sample. */
  say(notice: string): void {
    this.store.set({ notice });
  }

  /** Takes the last decision back and shows its sample again; once more goes further back. */
  async undo(): Promise<void> {
    const last = this.history.pop();
    if (last) {
      this.outbox.undo(last.label);
      this.takeBack(last.label, last.sample);
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
        body: { key: newKey() },
      });
      this.base = answer.progress;
      this.showProgress();
      this.takeBack(answer.label, answer.sample, answer.count);
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
    this.store.set({ source, current: null, before: null, upcoming: [], exhausted: false, problem: null, notice: "" });
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
    globalThis.removeEventListener?.("pagehide", this.release);
    this.release();
    this.outbox.close();
  }

  /** Gives the samples back that nobody has decided about, so that others get them at once. */
  private readonly release = (): void => {
    this.connection
      .request("POST", `projects/${this.projectId}/queue/release`, { body: { holder: this.holder }, keepalive: true })
      // They are given to others after a while in any case.
      .catch(() => undefined);
  };

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
      const aside = source === "skipped" || source === "flagged";
      const samples = await (aside ? this.fetchAside(source) : this.fetchQueue(order, source, exclude));
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

  private async fetchQueue(
    order: QueueOrder,
    source: "queue" | Purpose,
    exclude: Set<number>,
  ): Promise<QueuedSample[]> {
    const purpose = source === "queue" ? null : source;
    const queue = await this.connection.request<Queue>("GET", `projects/${this.projectId}/queue`, {
      query: { order, limit: FETCH, exclude: [...exclude], purpose, holder: this.holder },
    });
    this.store.set({ waiting: queue.waiting ?? {} });
    return queue.samples;
  }

  private async fetchAside(status: "skipped" | "flagged"): Promise<QueuedSample[]> {
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

  /** Shows the sample of a decision that was taken back, as it was before. */
  private takeBack(label: NewLabel | Label, sample: QueuedSample, decisions = 1): void {
    const { current, upcoming } = this.store.get();
    this.lookedOver.delete(sample.id);
    if (label.action === "note" && current?.id === sample.id) {
      this.store.set({ current: { ...current, note: sample.note } });
    } else {
      const rest = upcoming.filter((other) => other.id !== sample.id);
      this.show(sample, current && current.id !== sample.id ? [current, ...rest] : rest, valueOf(label));
    }
    this.say(decisions === 1 ? `Taken back: ${inWords(label)}.` : `${count(decisions)} labels of one act taken back.`);
  }

  private show(current: QueuedSample | null, upcoming: QueuedSample[], before: Value | null = null): void {
    this.shown_at = performance.now();
    this.store.set({ current, upcoming, before, notice: "" });
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
    if (message.type === "event" && message.event.type === "project.changed") void this.reload();
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
    const { source } = this.store.get();
    if (source === "skipped" || source === "flagged") return;
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

  /** The project's guidelines, keys or classes may be others now. */
  private async reload(): Promise<void> {
    try {
      this.store.set({ project: await this.connection.request<Project>("GET", `projects/${this.projectId}`) });
    } catch {
      // The project as it was is good enough to go on; a server that is away is reported by what fetches samples.
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

const MOST_NAMED = 3;

/** A decision in a few words: `label spam`, `skip`, `2 spans`. */
function inWords(label: NewLabel | Label): string {
  if (label.action !== "label") return label.action;
  if (label.number != null) return `label ${label.number}`;
  const parts = label.spans ?? label.boxes;
  if (parts) return `${parts.length} ${label.spans ? "span" : "box"}${parts.length === 1 ? "" : label.spans ? "s" : "es"}`;
  const classes = classesOf(label);
  if (classes.length === 0) return "no class";
  const more = classes.length > MOST_NAMED ? ` and ${classes.length - MOST_NAMED} more` : "";
  return `label ${classes.slice(0, MOST_NAMED).join(", ")}${more}`;
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
