// How long to wait before the next attempt.

export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

/** From 0.5 to 20 seconds. */
export const RECONNECT: Backoff = { minMs: 500, maxMs: 20_000 };

/** The most that a server can have us wait: who waits for days has stopped trying. */
export const ASKED_MAX_MS = 300_000;

/** A longer timer would end at once. */
export const TIMER_MAX_MS = 2 ** 31 - 1;

/**
 * Delay before reconnect `attempt` (0 is the first): exponential with full jitter, so that clients that were cut off
 * together do not come back together.
 * @returns milliseconds, at least `minMs / 2` and below the ceiling of this attempt
 */
export function backoffMs(attempt: number, { minMs, maxMs }: Backoff, random: () => number = Math.random): number {
  const ceiling = Math.min(maxMs, minMs * 2 ** attempt);
  return minMs / 2 + random() * (ceiling - minMs / 2);
}
