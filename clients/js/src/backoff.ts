// How long to wait before the next attempt.

const MIN_MS = 500;
const MAX_MS = 20_000;

/** The most that a server can have us wait: who waits for days has stopped trying. */
export const ASKED_MAX_MS = 300_000;

/** Resolves after so long. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A longer timer would end at once. */
export const TIMER_MAX_MS = 2 ** 31 - 1;

/**
 * Delay before an attempt (0 is the first after a failure): exponential with full jitter, so that clients that were cut
 * off together do not come back together.
 * @returns milliseconds, at least 250 and below the ceiling of this attempt, which is 500 at first and 20,000 at most
 */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(MAX_MS, MIN_MS * 2 ** attempt);
  return MIN_MS / 2 + random() * (ceiling - MIN_MS / 2);
}
