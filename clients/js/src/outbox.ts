// Publications on their way out: in order, one batch at a time, the same id again until the server has answered.

import { RECONNECT, backoffMs } from "./backoff.js";
import type { Asked } from "./connection.js";
import { TidewireError, closed } from "./errors.js";
import type { PublishResult } from "./generated/frames.js";

type Publish = Extract<Asked, { type: "publish" }>;

export interface OutboxOptions {
  readonly ask: (requests: readonly Asked[]) => Promise<unknown>[];
  readonly connected: () => boolean;
  readonly random?: () => number;
}

interface Item {
  frame: Publish;
  bytes: number;
  attempts: number;
  readonly since: number;
  readonly resolve: (result: PublishResult) => void;
  readonly reject: (error: TidewireError) => void;
}

const BATCH_MAX_FRAMES = 100;
const BATCH_MAX_BYTES = 30_000; // below the 32,000 of a frame, with room for the ids
// The server knows an id again for 5 minutes: after that, sending it once more could store it twice.
const GIVE_UP_MS = 280_000;

export class Outbox {
  readonly #options: OutboxOptions;
  #items: Item[] = [];
  #busy = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Put a publication in line; the promise settles when the server has answered for good. */
  add(frame: Publish): Promise<PublishResult> {
    const bytes = new TextEncoder().encode(JSON.stringify(frame)).length + 40;
    return new Promise((resolve, reject) => {
      this.#items.push({ frame, bytes, attempts: 0, since: Date.now(), resolve, reject });
      this.flush();
    });
  }

  /** Send what waits, if something can be sent. */
  flush(): void {
    if (this.#busy || this.#timer !== undefined || this.#items.length === 0 || !this.#options.connected()) return;
    const batch = this.#take();
    this.#busy = true;
    const answers = this.#options.ask(batch.map(({ frame }) => frame));
    void Promise.allSettled(answers).then((results) => {
      this.#busy = false;
      this.#settle(batch, results);
    });
  }

  /** Refuse everything that waits. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const item of this.#items.splice(0)) item.reject(closed("the client was closed"));
  }

  #take(): Item[] {
    let bytes = 0;
    let count = 0;
    for (const item of this.#items) {
      bytes += item.bytes;
      if (count > 0 && (bytes > BATCH_MAX_BYTES || count === BATCH_MAX_FRAMES)) break;
      count++;
    }
    return this.#items.splice(0, count);
  }

  #settle(batch: Item[], results: PromiseSettledResult<unknown>[]): void {
    const again: Item[] = [];
    let waitMs = 0;
    results.forEach((result, index) => {
      const item = batch[index] as Item;
      if (result.status === "fulfilled") return item.resolve(result.value as PublishResult);
      const error = result.reason as TidewireError;
      if (!error.retryable || Date.now() - item.since > GIVE_UP_MS) return item.reject(error);
      waitMs = Math.max(waitMs, error.retryAfterMs ?? backoffMs(item.attempts, RECONNECT, this.#options.random));
      item.attempts++;
      item.frame = { ...item.frame, retry: true };
      again.push(item);
    });
    this.#items.unshift(...again);
    if (again.length > 0 && this.#options.connected()) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.flush();
      }, waitMs);
    } else this.flush();
  }
}
