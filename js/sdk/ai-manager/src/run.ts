import { AIManagerError } from "./errors.js";
import type { CallOptions, Http } from "./http.js";
import { Backoff, pause } from "./pause.js";
import type { RunChange, RunRecord } from "./records.js";

/** Most points of one request. */
const BATCH_POINTS = 10_000;
/** Most points that wait in memory; beyond, `log` waits for room. */
const WAITING_POINTS = 100_000;
/** How long `finish` goes on trying to reach a server that is away. */
const FINISH_TIMEOUT_MS = 60_000;

export interface LogOptions {
  /** Position in the run, a whole number; default: one more than the last. */
  step?: number;
}

export interface FinishOptions extends CallOptions {
  /** Longest time in ms to deliver what waits; default: a minute. */
  timeout_ms?: number;
}

interface Entry {
  metrics: Record<string, number>;
  step: number;
  time: string;
  points: number;
}

/**
 * A run that this program executes.
 *
 *     const run = await manager.run({ name: "first try" });
 *     await run.log({ loss: 0.5 }, { step: 1 });
 *     await run.finish();
 *
 * `log` only queues. What waits is sent in its order and in the background, again and again while the
 * server is away. A lab server gets many points in one request and stores each once; another server gets
 * one request for each step, and may get one twice when its answer was lost.
 */
export class Run {
  private readonly entries: Entry[] = [];
  private waiting = 0;
  private nextStep = 0;
  private sequence = 0;
  private readonly producer = newProducer();
  private sender: Promise<void> | null = null;
  private readonly ended = new AbortController();
  private closed = false;
  private failure: AIManagerError | null = null;
  private lost = 0;
  private makeRoom: (() => void)[] = [];

  constructor(
    private readonly http: Http,
    private current: RunRecord,
  ) {}

  get id(): number {
    return this.current.id;
  }

  /** The run as it was when it was last read. */
  get record(): RunRecord {
    return this.current;
  }

  /**
   * Takes the values of one moment. It is done at once, unless very much waits already.
   *
   * @throws TypeError a value is no number, or the step no whole number; then nothing of this call is kept
   */
  async log(metrics: Readonly<Record<string, number>>, options: LogOptions = {}): Promise<void> {
    if (this.closed) throw new AIManagerError(0, `Run ${this.id} is finished; start a new one to log more.`);
    const step = options.step ?? this.nextStep;
    if (!Number.isSafeInteger(step)) throw new TypeError(`A step is a whole number, not ${String(step)}.`);
    for (const [name, value] of Object.entries(metrics)) {
      if (typeof value !== "number") throw new TypeError(`The metric '${name}' is no number but ${typeof value}.`);
    }
    const points = Object.keys(metrics).length;
    if (points === 0) return;
    this.nextStep = step + 1;
    this.entries.push({ metrics: { ...metrics }, step, time: new Date().toISOString(), points });
    this.waiting += points;
    this.sender ??= this.send();
    if (this.waiting > WAITING_POINTS) await new Promise<void>((resolve) => this.makeRoom.push(resolve));
  }

  /**
   * Delivers what waits, and ends the run as completed.
   *
   * @throws AIManagerError something that was logged could not be delivered
   */
  finish(options: FinishOptions = {}): Promise<RunRecord> {
    return this.end({ status: "completed" }, "", options);
  }

  /** Delivers what waits, and ends the run as failed. A lab server keeps the reason, too. */
  fail(reason: unknown = "", options: FinishOptions = {}): Promise<RunRecord> {
    return this.end({ status: "failed" }, reason instanceof Error ? String(reason) : `${reason as string}`, options);
  }

  /** Delivers what waits, and ends the run as stopped. */
  stop(options: FinishOptions = {}): Promise<RunRecord> {
    return this.end({ status: "stopped" }, "", options);
  }

  private async end(change: RunChange, reason: string, options: FinishOptions): Promise<RunRecord> {
    if (this.closed) throw new AIManagerError(0, `Run ${this.id} is finished already.`);
    this.closed = true;
    const timer = setTimeout(() => this.ended.abort(), options.timeout_ms ?? FINISH_TIMEOUT_MS);
    const aborted = (): void => this.ended.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", aborted, { once: true });
    try {
      await this.sender;
      const { labApiUrl } = this.http;
      const { signal } = options;
      if (reason && labApiUrl) {
        const body = { error: reason.slice(0, 10_000) };
        await this.insist(() => this.http.request("PATCH", `${labApiUrl}/runs/${this.id}`, { body, signal }));
      }
      this.current = await this.insist(() =>
        this.http.request<RunRecord>("PUT", `runs/${this.id}`, { body: change, signal }),
      );
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", aborted);
    }
    if (this.failure) {
      throw new AIManagerError(
        this.failure.status,
        `Run ${this.id}: ${this.lost} points were not stored: ${this.failure.message}`,
        { cause: this.failure },
      );
    }
    return this.current;
  }

  private async send(): Promise<void> {
    // What is logged in the same turn of the event loop travels together.
    await Promise.resolve();
    while (this.entries.length > 0) {
      // The same points under the same number, however often they are sent.
      const batch = this.nextBatch();
      try {
        await this.insist(() => this.deliver(batch));
      } catch (error) {
        this.failure ??= error instanceof AIManagerError ? error : new AIManagerError(0, String(error), { cause: error });
        this.lost += sum(batch);
      }
      this.forget(batch);
    }
    this.sender = null;
  }

  /** Repeats a call while the server is away, until `finish` gives up. */
  private async insist<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    const backoff = new Backoff(200, 5_000);
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (!(error instanceof AIManagerError && error.temporary) || this.ended.signal.aborted) throw error;
        // When time is up, one last attempt says why.
        await pause(backoff.next(), this.ended.signal).catch(() => undefined);
      }
    }
  }

  private nextBatch(): Entry[] {
    if (!this.http.labApiUrl) return this.entries.slice(0, 1);
    let points = 0;
    let count = 0;
    for (const entry of this.entries) {
      points += entry.points;
      if (count > 0 && points > BATCH_POINTS) break;
      count += 1;
    }
    return this.entries.slice(0, count);
  }

  private async deliver(batch: Entry[]): Promise<void> {
    const signal = this.ended.signal;
    if (!this.http.labApiUrl) {
      const { metrics, step } = batch[0]!;
      await this.http.request("POST", `metrics/${this.id}/batch`, { body: { metrics, step }, signal });
      return;
    }
    const points = batch.flatMap((entry) =>
      Object.entries(entry.metrics).map(([name, value]) => ({
        name,
        // JSON has no word for NaN and infinity; as text the lab understands them.
        value: Number.isFinite(value) ? value : String(value),
        step: entry.step,
        time: entry.time,
      })),
    );
    await this.http.request("POST", `${this.http.labApiUrl}/runs/${this.id}/metrics`, {
      query: { producer: this.producer, sequence: this.sequence + 1 },
      body: { points },
      signal,
    });
    this.sequence += 1;
  }

  private forget(batch: Entry[]): void {
    this.entries.splice(0, batch.length);
    this.waiting -= sum(batch);
    if (this.waiting <= WAITING_POINTS) for (const go of this.makeRoom.splice(0)) go();
  }
}

function sum(batch: Entry[]): number {
  return batch.reduce((total, entry) => total + entry.points, 0);
}

/** A name that no other producer of points has. */
function newProducer(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
