// One channel: subscribing, events in order, publishing, history.

import type { Asked } from "./connection.js";
import { TidewireError } from "./errors.js";
import type { Event, HistoryResult, Position, Publication, PublishResult, SubscribeResult } from "./generated/frames.js";
import { Receiver } from "./receiver.js";

export type Listener = (event: Event) => void;

export interface ChannelHost {
  readonly ask: (request: Asked) => Promise<unknown>;
  readonly publish: (frame: Extract<Asked, { type: "publish" }>) => Promise<PublishResult>;
  readonly connected: () => boolean;
  readonly report: (error: unknown) => void;
}

export interface PublishOptions {
  readonly messageId?: string;
  readonly priority?: "express" | "high" | "normal" | "low";
  readonly ephemeral?: boolean;
}

const GAP_TIMEOUT_MS = 1_000;

export class Channel {
  readonly name: string;
  readonly #host: ChannelHost;
  readonly #receiver = new Receiver();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #resets = new Set<() => void>();
  #wanted = false; // the user has subscribed
  #known = false; // the receiver has a position
  #ready = false; // ... and on this connection the server has answered
  #held: Publication[] = []; // pushes that overtook the answer
  #gapTimer: ReturnType<typeof setTimeout> | undefined;
  #filling = false;

  constructor(name: string, host: ChannelHost) {
    this.name = name;
    this.#host = host;
  }

  get subscribed(): boolean {
    return this.#wanted;
  }

  /** Where the next recovery would begin; `undefined` before the first answer. */
  get position(): Position | undefined {
    return this.#known ? this.#receiver.position : undefined;
  }

  /**
   * Receive the channel's events from now on; after a reconnect too, without loss or repetition.
   * @param options.history how many of the latest publications to return now, oldest first
   * @throws TidewireError when the server refuses
   */
  async subscribe(options: { readonly history?: number } = {}): Promise<readonly Publication[]> {
    this.#wanted = true;
    for (;;) {
      try {
        return (await this.#join(options.history)).publications;
      } catch (error) {
        if (error instanceof TidewireError && error.retryable) await this.#nextConnection();
        else {
          this.#wanted = false;
          throw error;
        }
      }
    }
  }

  /** Receive them no longer. */
  async unsubscribe(): Promise<void> {
    this.#wanted = false;
    this.#known = this.#ready = false;
    this.#held = [];
    clearTimeout(this.#gapTimer);
    if (this.#host.connected()) await this.#host.ask({ type: "unsubscribe", channel: this.name });
  }

  /** Publish; resolves when the server has it for good. Tried again with the same id until then. */
  publish(name: string, data: unknown, options: PublishOptions = {}): Promise<PublishResult> {
    const { messageId = crypto.randomUUID(), ...rest } = options;
    return this.#host.publish({ type: "publish", channel: this.name, name, data, message_id: messageId, ...rest });
  }

  /** Read what is kept: after `since` ascending, or with `reverse` before it descending. */
  async history(options: { since?: Position; limit?: number; reverse?: boolean } = {}): Promise<HistoryResult> {
    return (await this.#host.ask({ type: "history", channel: this.name, ...options })) as HistoryResult;
  }

  /** Listen to events of a name, or to all with `*`. Returns a function that ends it. */
  on(name: string, listener: Listener): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** Called when what was missed could not be had: start over from `history`. Returns a function that ends it. */
  onReset(listener: () => void): () => void {
    this.#resets.add(listener);
    return () => void this.#resets.delete(listener);
  }

  /** Events from now on, in order. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, void> {
    const queue: Event[] = [];
    let wake: () => void = () => undefined;
    const stop = this.on("*", (event) => {
      queue.push(event);
      wake();
    });
    try {
      for (;;) {
        const event = queue.shift();
        if (event) yield event;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      stop();
    }
  }

  // The client's side.

  /** A connection stands: take the subscription up again. */
  connected(): void {
    this.#waiting.splice(0).forEach((wake) => wake());
    if (this.#wanted && this.#known) this.#join().catch((error: unknown) => this.#failed(error));
  }

  /** It is gone: what is pushed before the next answer can't be placed. */
  disconnected(): void {
    this.#ready = false;
    this.#held = [];
    clearTimeout(this.#gapTimer);
    this.#gapTimer = undefined;
  }

  /** An event of this channel was pushed. */
  receive(event: Event): void {
    if (event.ephemeral) this.#emit(event);
    else if (!this.#wanted) return;
    else if (this.#ready) this.#take([event as Publication]);
    else this.#held.push(event as Publication);
  }

  /** The server says that the stream goes further than we know. */
  behind(): void {
    if (this.#ready) void this.#fill();
  }

  readonly #waiting: (() => void)[] = [];

  #nextConnection(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #join(history?: number): Promise<SubscribeResult> {
    const since = this.position;
    const request: Asked = {
      type: "subscribe",
      channel: this.name,
      ...(since ? { since } : {}),
      ...(history ? { history } : {}),
    };
    const result = (await this.#host.ask(request)) as SubscribeResult;
    if (result.recovered) {
      this.#ready = true;
      this.#take(result.publications);
      if (result.more) await this.#fill();
    } else {
      this.#receiver.reset(result.position);
      this.#known = this.#ready = true;
      if (since) this.#resets.forEach((listener) => this.#call(listener));
    }
    this.#take(this.#held.splice(0));
    return result;
  }

  #take(events: readonly Publication[]): void {
    for (const event of events) {
      if (this.#receiver.isForeign(event)) {
        // The stream was replaced: the server says where the new one stands.
        this.#ready = false;
        this.#join().catch((error: unknown) => this.#failed(error));
        return;
      }
      for (const next of this.#receiver.receive(event)) this.#emit({ type: "event", ...next });
    }
    if (!this.#receiver.hasGap) {
      clearTimeout(this.#gapTimer);
      this.#gapTimer = undefined;
    } else if (this.#gapTimer === undefined && !this.#filling) {
      this.#gapTimer = setTimeout(() => {
        this.#gapTimer = undefined;
        if (this.#ready) void this.#fill();
      }, GAP_TIMEOUT_MS);
    }
  }

  /** Read from the log what did not come by push. */
  async #fill(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    try {
      for (let more = true; more; ) {
        const since = this.#receiver.position;
        const page = await this.history({ since, limit: 300 });
        if (page.position.epoch !== since.epoch) {
          await this.#join();
          return;
        }
        const first = page.publications[0]?.offset ?? page.position.offset + 1;
        if (first > since.offset + 1) {
          // Retention has passed over what we lack.
          for (const next of this.#receiver.settle(first - 1)) this.#emit({ type: "event", ...next });
          this.#resets.forEach((listener) => this.#call(listener));
        }
        this.#take(page.publications);
        more = page.more;
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#filling = false;
    }
  }

  #failed(error: unknown): void {
    // Nothing came back: the next connection, or the next sync, tries again. Anything else is for the user to know.
    if (!(error instanceof TidewireError && error.retryable)) this.#host.report(error);
  }

  #emit(event: Event): void {
    for (const name of [event.name, "*"]) {
      this.#listeners.get(name)?.forEach((listener) => this.#call(() => listener(event)));
    }
  }

  #call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#host.report(error); // a listener that throws breaks nothing but itself
    }
  }
}
