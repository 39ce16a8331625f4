// Publications on their way out, one batch at a time, the same id again until the server has answered.
//
// Those of one channel and priority are stored in the order in which they were published, except for those that are
// refused for good or given up. It rests on three things: nothing is sent while an answer is awaited; what is to be
// tried again goes back before all that came later; and once one of a batch has failed in a way that may be tried
// again, the server answers the rest of the batch to that channel with the same error. A frame that was taken for lost
// and arrives after its repeat changes nothing, since the server knows the ids. A channel that has to wait holds up the
// others.

import { RECONNECT, backoffMs } from "./backoff.js";
import type { Asked } from "./link.js";
import { tooLarge, uncertain, type TidewireError } from "./errors.js";
import type { PublishResult } from "./generated/frames.js";

/** A publication as its sender has it. */
export type Publish = Extract<Asked, { type: "publish" }>;

export interface OutboxOptions {
  readonly ask: (requests: readonly Asked[]) => Promise<unknown>[];
  readonly connected: () => boolean;
  readonly random?: () => number;
}

interface Item {
  frame: Publish;
  bytes: number;
  attempts: number;
  sentAtMs: number | undefined; // the first time
  readonly resolve: (result: PublishResult) => void;
  readonly reject: (error: TidewireError) => void;
}

const FRAME_MAX_BYTES = 32_000;
const BATCH_MAX_FRAMES = 100;
const BATCH_MAX_BYTES = 30_000;
const ENVELOPE_BYTES = 40; // what the frame gets on its way: id, retry, comma
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
  async add(frame: Publish): Promise<PublishResult> {
    const text = JSON.stringify(frame);
    const bytes = new TextEncoder().encode(text).length + ENVELOPE_BYTES;
    if (bytes > FRAME_MAX_BYTES) throw tooLarge(bytes); // API Gateway would close the connection, each time again
    return new Promise((resolve, reject) => {
      // A copy: what is sent again must be what was sent, whatever its owner does with the object meanwhile.
      this.#items.push({
        frame: JSON.parse(text) as Publish,
        bytes,
        attempts: 0,
        sentAtMs: undefined,
        resolve,
        reject,
      });
      this.flush();
    });
  }

  /** Send what waits, if something can be sent. */
  flush(): void {
    if (this.#busy || this.#timer !== undefined || this.#items.length === 0 || !this.#options.connected()) return;
    this.#giveUp();
    const batch = this.#take();
    if (batch.length === 0) return;
    this.#busy = true;
    for (const item of batch) item.sentAtMs ??= Date.now();
    const answers = this.#options.ask(batch.map(({ frame }) => frame));
    void Promise.allSettled(answers).then((results) => {
      this.#busy = false;
      this.#settle(batch, results);
    });
  }

  /** A new connection stands: what the last one was waited for does not count any more. */
  connected(): void {
    this.#stopWaiting();
    this.flush();
  }

  /** Refuse everything that waits. */
  clear(error: TidewireError): void {
    this.#stopWaiting();
    for (const item of this.#items.splice(0)) item.reject(error);
  }

  #stopWaiting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #giveUp(): void {
    const sentBefore = Date.now() - GIVE_UP_MS;
    const old = (item: Item): boolean => item.sentAtMs !== undefined && item.sentAtMs < sentBefore;
    for (const item of this.#items.filter(old)) item.reject(uncertain("whether it was published is unknown"));
    this.#items = this.#items.filter((item) => !old(item));
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
      if (!error.retryable) return item.reject(error);
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
