/** Waits, but not longer than until `signal` aborts; then it throws the signal's reason. */
export function pause(wait_ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal!.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, wait_ms);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** Waiting times between attempts: doubling up to `longest_ms`, spread so that clients do not come back together. */
export class Backoff {
  private attempts = 0;

  constructor(
    private readonly first_ms: number,
    private readonly longest_ms: number,
  ) {}

  next(): number {
    const wait = Math.min(this.longest_ms, this.first_ms * 2 ** this.attempts);
    this.attempts = Math.min(this.attempts + 1, 30);
    return wait * (1 - 0.25 * Math.random());
  }

  reset(): void {
    this.attempts = 0;
  }
}
