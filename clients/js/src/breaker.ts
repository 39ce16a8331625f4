// A circuit breaker for one endpoint: after some failures in a row it is left alone for a while, then tried once.

const FAILURES = 3;
const OPEN_MS = 60_000;
const OPEN_MAX_MS = 600_000;

export type BreakerState = "closed" | "open" | "half-open";

export class Breaker {
  #failures = 0;
  #opensAgainMs = -Infinity; // until then it is open

  /** Half-open: it may be tried, and one more failure opens it for twice as long. */
  state(nowMs: number): BreakerState {
    if (this.#failures < FAILURES) return "closed";
    return nowMs < this.#opensAgainMs ? "open" : "half-open";
  }

  failed(nowMs: number): void {
    const excess = ++this.#failures - FAILURES;
    if (excess >= 0) this.#opensAgainMs = nowMs + Math.min(OPEN_MAX_MS, OPEN_MS * 2 ** excess);
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** The network has changed: it may be tried at once. */
  forgive(): void {
    this.#opensAgainMs = -Infinity;
  }
}
