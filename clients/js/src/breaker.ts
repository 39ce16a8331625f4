// A circuit breaker for one endpoint: after some failures in a row it is left alone for a while, then tried once.

const FAILURES = 3;
const OPEN_MS = 60_000;
const OPEN_MAX_MS = 600_000;

export class Breaker {
  #failures = 0;
  #untilMs = -Infinity; // it is open

  /** Whether it is to be left alone. Afterwards one more failure opens it for twice as long. */
  isOpen(nowMs: number): boolean {
    return this.#failures >= FAILURES && nowMs < this.#untilMs;
  }

  failed(nowMs: number): void {
    const excess = ++this.#failures - FAILURES;
    if (excess >= 0) this.#untilMs = nowMs + Math.min(OPEN_MAX_MS, OPEN_MS * 2 ** excess);
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** The network has changed: it may be tried at once. */
  forgive(): void {
    this.#untilMs = -Infinity;
  }
}
