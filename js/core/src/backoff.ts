/** Waiting times between attempts: doubling from `first_ms` to `longest_ms`, spread by up to a quarter. */
export class Backoff {
  private attempts = 0;

  constructor(
    private readonly first_ms = 500,
    private readonly longest_ms = 15_000,
  ) {}

  next(): number {
    const wait = Math.min(this.longest_ms, this.first_ms * 2 ** this.attempts);
    this.attempts = Math.min(this.attempts + 1, 30);
    // Spread, so that many tabs do not come back to a restarted server in the same instant.
    return wait * (1 - 0.25 * Math.random());
  }

  reset(): void {
    this.attempts = 0;
  }
}
