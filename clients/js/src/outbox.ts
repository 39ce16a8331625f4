// Publications on their way out, one batch at a time, the same id again until the server has answered.
//
// Those of one channel and priority are stored in the order in which they were published, except for those that are
// refused for good or given up. It rests on three things: nothing is sent while an answer is awaited; what is to be
// tried again goes back before all that came later; and once one of a batch has failed in a way that may be tried
// again, the server answers the rest of the batch to that channel with the same error. A frame that was taken for lost
// and arrives after its repeat changes nothing, since the server knows the ids. A channel that has to wait holds up the
// others.
//
// What asks for it is kept in the store, from before it is sent until it is answered, and holds up what came later until
// it is kept.

import type { Asked } from "./link.js";
import { againAfterMs, closed, tooLarge, uncertain, type TidewireError } from "./errors.js";
import type { PublishResult } from "./generated/frames.js";
import { size } from "./size.js";
import { outboxFull, type Kept, type Store } from "./store.js";

/** A publication as its sender has it. */
export type Publish = Extract<Asked, { type: "publish" | "send" }>;

export interface OutboxOptions {
  readonly ask: (requests: readonly Asked[]) => Promise<unknown>[];
  readonly connected: () => boolean;
  /** Is told of what an earlier page published and can't be sent. */
  readonly report: (error: unknown) => void;
  readonly random?: () => number;
}

export interface AddOptions {
  /** Keep it until it is answered, even when the page goes; in memory only, as long as there is no store. */
  readonly offline?: boolean;
}

interface Item {
  frame: Publish;
  bytes: number;
  attempts: number;
  sentAtMs: number | undefined; // the first time
  readonly offline: boolean;
  id: number | undefined; // in the store, when it is kept there
  keeping: boolean; // it may not be sent yet
  readonly resolve: (result: PublishResult) => void;
  readonly reject: (error: TidewireError) => void;
}

const FRAME_MAX_BYTES = 256_000;
const WAITING_MAX_FRAMES = 1_000;
const WAITING_MAX_BYTES = 10_000_000;
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
  #store: Store | undefined;
  #ended: TidewireError | null = null; // for what the client was closed, until it is connected again

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Where to keep what asks for it: as soon as it is known whose it is. What waits already is kept now. */
  set store(store: Store | undefined) {
    this.#store = store;
    for (const item of this.#items) this.#keep(item);
  }

  /** Put a publication in line; the promise settles when the server has answered for good. */
  async add(frame: Publish, { offline = false }: AddOptions = {}): Promise<PublishResult> {
    const text = JSON.stringify(frame);
    const bytes = size(text) + ENVELOPE_BYTES;
    if (bytes > FRAME_MAX_BYTES) throw tooLarge(bytes); // the server would refuse it, each time again
    const waiting = this.#items.reduce((sum, item) => sum + item.bytes, bytes);
    if (this.#items.length >= WAITING_MAX_FRAMES || waiting > WAITING_MAX_BYTES) throw outboxFull();
    return new Promise((resolve, reject) => {
      // A copy: what is sent again must be what was sent, whatever its owner does with the object meanwhile.
      const item: Item = {
        frame: JSON.parse(text) as Publish,
        bytes,
        attempts: 0,
        sentAtMs: undefined,
        offline,
        id: undefined,
        keeping: false,
        resolve,
        reject,
      };
      this.#items.push(item);
      this.#keep(item);
      this.flush();
    });
  }

  /** Put a publication that an earlier page has left in the store back in line, before all of this page. */
  restore({ id, request, sentAtMs }: Kept): void {
    const frame = request as Publish;
    const place = this.#items.findIndex((item) => !((item.id as number) < id)); // those of this page may have no id
    this.#items.splice(place < 0 ? this.#items.length : place, 0, {
      frame: sentAtMs === undefined ? frame : { ...frame, retry: true },
      bytes: size(JSON.stringify(frame)) + ENVELOPE_BYTES,
      attempts: 0,
      sentAtMs,
      offline: true,
      id,
      keeping: false,
      resolve: () => undefined,
      reject: (error) => this.#isEnd(error) || this.#options.report(error), // nobody waits for it
    });
    this.flush();
  }

  /** Send what waits, if something can be sent. */
  flush(): void {
    if (this.#busy || this.#timer !== undefined || this.#items.length === 0 || !this.#options.connected()) return;
    this.#giveUp();
    const batch = this.#take();
    if (batch.length === 0) return;
    this.#busy = true;
    const first = batch.filter(({ id, sentAtMs }) => id !== undefined && sentAtMs === undefined);
    if (first.length === 0) this.#send(batch);
    else void this.#note(first).then((lost) => this.#send(batch.filter((item) => !lost.includes(item))));
  }

  /** A new connection stands: what the last one was waited for does not count any more. */
  connected(): void {
    this.#ended = null;
    this.#stopWaiting();
    this.flush();
  }

  /** Refuse everything that waits; what is kept stays kept, for a later page. */
  clear(error: TidewireError): void {
    this.#ended = error;
    this.#stopWaiting();
    for (const item of this.#items.splice(0)) item.reject(error);
  }

  /** Put them in line before all others; or refuse them, when the client has been closed. */
  #putBack(items: Item[]): void {
    const error = this.#ended;
    if (error) items.forEach((item) => item.reject(error));
    else this.#items.unshift(...items);
  }

  /** Whether it says that the client was closed: nothing has been answered. */
  #isEnd(error?: TidewireError): boolean {
    return error === this.#ended || error?.kind === "closed";
  }

  #stopWaiting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #keep(item: Item): void {
    if (!this.#store || !item.offline || item.keeping || item.id !== undefined) return;
    item.keeping = true;
    this.#store.keep(item.frame).then(
      (id) => {
        item.id = id;
        item.keeping = false;
        this.flush();
      },
      (error: TidewireError) => {
        this.#items = this.#items.filter((other) => other !== item);
        item.reject(error);
        this.flush();
      },
    );
  }

  /** Note in the store that these are being sent. Return those that another page has taken over meanwhile. */
  async #note(items: Item[]): Promise<Item[]> {
    const ours = await Promise.all(items.map(({ id }) => this.#store?.sent(id as number)));
    const lost = items.filter((_, index) => ours[index] === false);
    for (const item of lost) item.reject(closed("another page sends it"));
    return lost;
  }

  #send(batch: Item[]): void {
    if (!this.#options.connected()) {
      this.#busy = false;
      return this.#putBack(batch); // the connection ended while it was noted
    }
    for (const item of batch) item.sentAtMs ??= Date.now();
    const answers = batch.length > 0 ? this.#options.ask(batch.map(({ frame }) => frame)) : [];
    void Promise.allSettled(answers).then((results) => {
      this.#busy = false;
      this.#settle(batch, results);
    });
  }

  #forget({ id }: Item): void {
    if (id !== undefined) this.#store?.forget(id);
  }

  #giveUp(): void {
    // By the wall clock, which may have been set back.
    const old = ({ sentAtMs = Date.now() }: Item): boolean => Math.abs(Date.now() - sentAtMs) > GIVE_UP_MS;
    for (const item of this.#items.filter(old)) {
      this.#forget(item);
      item.reject(uncertain("whether it was published is unknown"));
    }
    this.#items = this.#items.filter((item) => !old(item));
  }

  #take(): Item[] {
    let bytes = 0;
    let count = 0;
    for (const item of this.#items) {
      bytes += item.bytes;
      if (item.keeping || (count > 0 && (bytes > BATCH_MAX_BYTES || count === BATCH_MAX_FRAMES))) break;
      count++;
    }
    return this.#items.splice(0, count);
  }

  #settle(batch: Item[], results: readonly { reason?: TidewireError; value?: unknown }[]): void {
    const again: Item[] = [];
    let waitMs = 0;
    results.forEach(({ reason: error, value }, index) => {
      const item = batch[index] as Item;
      const againMs = againAfterMs(error, item.attempts, this.#options.random);
      if (againMs === undefined) {
        if (!this.#isEnd(error)) this.#forget(item);
        return error ? item.reject(error) : item.resolve(value as PublishResult);
      }
      waitMs = Math.max(waitMs, againMs);
      item.attempts++;
      item.frame = { ...item.frame, retry: true };
      again.push(item);
    });
    this.#putBack(again);
    if (again.length > 0 && this.#options.connected()) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.flush();
      }, waitMs);
    } else this.flush();
  }
}
