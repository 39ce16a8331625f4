// One channel: subscribing, events in order, publishing, history.

import { RECONNECT, backoffMs } from "./backoff.js";
import type { Asked } from "./connection.js";
import { TidewireError, closed } from "./errors.js";
import type { Event, HistoryResult, Position, Publication, PublishResult, SubscribeResult } from "./generated/frames.js";
import type { Publish } from "./outbox.js";
import { Receiver } from "./receiver.js";

export type Listener = (event: Event) => void;

export interface ChannelHost {
  readonly ask: (request: Asked) => Promise<unknown>;
  readonly publish: (frame: Publish) => Promise<PublishResult>;
  readonly connected: () => boolean;
  readonly report: (error: unknown) => void;
  readonly random?: () => number;
}

export interface PublishOptions {
  readonly messageId?: string;
  readonly priority?: "express" | "high" | "normal" | "low";
  readonly ephemeral?: boolean;
}

const GAP_TIMEOUT_MS = 1_000;
const HISTORY_MAX_LIMIT = 300;
const FORBIDDEN = 1005;

export class Channel {
  readonly name: string;
  readonly #host: ChannelHost;
  readonly #receiver = new Receiver();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #resets = new Set<() => void>();
  #wanted = false; // the user has subscribed
  #known = false; // the receiver has a position
  #ready = false; // ... and on this connection the server has answered
  #turn = 0; // counts unsubscribing: answers to what was asked before it are ignored
  #joining: Promise<readonly Publication[]> | undefined;
  #waiting: { wake: () => void; fail: (error: TidewireError) => void } | undefined;
  #held: Publication[] = []; // pushes that overtook the answer
  #fillTimer: ReturnType<typeof setTimeout> | undefined;
  #filling = false;
  #fillAttempt = 0;

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
   * @throws TidewireError when the server refuses, or when it ends before the server has answered
   */
  async subscribe({ history = 0 }: { readonly history?: number } = {}): Promise<readonly Publication[]> {
    if (!this.#wanted) {
      this.#wanted = true;
      return this.#join(history);
    }
    await this.#joining;
    if (history === 0) return [];
    return (await this.history({ limit: history, reverse: true })).publications.reverse();
  }

  /** Receive them no longer. */
  async unsubscribe(): Promise<void> {
    this.#turn++;
    this.#wanted = this.#known = false;
    this.disconnected();
    this.#joining = undefined;
    this.#waiting?.fail(closed("unsubscribed"));
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
    if (this.#joining) this.#waiting?.wake();
    else this.resubscribe();
  }

  /** It is gone: what is pushed before the next answer can't be placed. */
  disconnected(): void {
    this.#ready = false;
    this.#held = [];
    clearTimeout(this.#fillTimer);
    this.#fillTimer = undefined;
  }

  /** The client was closed: nothing that waits for a connection will have one. */
  closed(error: TidewireError): void {
    this.#waiting?.fail(error);
  }

  /** An event of this channel was pushed. */
  receive(event: Event): void {
    if (!this.#wanted) return;
    if (event.ephemeral) this.#emit(event);
    else if (this.#ready) this.#take([event as Publication]);
    else this.#held.push(event as Publication);
  }

  /** The server says that the stream goes further than we know. */
  behind(): void {
    if (this.#ready) void this.#fill();
  }

  /** The stream was replaced: ask where it stands now. */
  resubscribe(): void {
    if (!this.#wanted) return;
    this.#ready = false;
    this.#join().catch((error: unknown) => this.#failed(error));
  }

  /** Subscribe, however often it takes; return the `history` latest publications where nothing was to recover. */
  #join(history = 0): Promise<readonly Publication[]> {
    const turn = this.#turn;
    const joining = this.#untilJoined(history, turn).finally(() => {
      if (this.#joining === joining) this.#joining = undefined;
    });
    return (this.#joining = joining);
  }

  async #untilJoined(history: number, turn: number): Promise<readonly Publication[]> {
    for (let attempt = 0; ; attempt++) {
      try {
        const publications = await this.#tryJoining(history, turn);
        if (publications) return publications;
      } catch (error) {
        this.#check(turn);
        if (!(error instanceof TidewireError && error.retryable)) {
          if (!this.#known) this.#wanted = false;
          this.#held = [];
          throw error;
        }
        await this.#pause(error.retryAfterMs ?? backoffMs(attempt, RECONNECT, this.#host.random));
      }
    }
  }

  /** Return the publications asked for, or `undefined` when the stream was replaced meanwhile. */
  async #tryJoining(history: number, turn: number): Promise<readonly Publication[] | undefined> {
    const since = this.position;
    const result = await this.#subscribe(since, history);
    this.#check(turn);
    if (result.recovered) {
      this.#takeAll(result.publications, result.more ? undefined : result.position.offset);
      if (result.more && !(await this.#catchUp(turn))) return undefined;
    } else {
      this.#receiver.reset(result.position);
      this.#known = true;
      if (since) this.#reset();
    }
    this.#check(turn); // a listener may have unsubscribed
    this.#ready = true;
    this.#take(this.#held.splice(0));
    return result.publications;
  }

  #check(turn: number): void {
    if (turn !== this.#turn) throw closed("unsubscribed");
  }

  async #subscribe(since: Position | undefined, history = 0): Promise<SubscribeResult> {
    const request: Asked = {
      type: "subscribe",
      channel: this.name,
      ...(since ? { since } : {}),
      ...(history ? { history } : {}),
    };
    return (await this.#host.ask(request)) as SubscribeResult;
  }

  /** Wait, or, without a connection, for the next one. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (): void => (done(), resolve());
      const timer = this.#host.connected() ? setTimeout(wake, ms) : undefined;
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
      };
      this.#waiting = { wake, fail: (error) => (done(), reject(error)) };
    });
  }

  #take(events: readonly Publication[]): void {
    for (const event of events) {
      if (this.#receiver.isForeign(event)) return this.resubscribe(); // replaced: the server says where the new one stands
      this.#hand(this.#receiver.receive(event));
    }
    if (this.#receiver.hasGap) this.#fillLater(GAP_TIMEOUT_MS);
    else {
      clearTimeout(this.#fillTimer);
      this.#fillTimer = undefined;
    }
  }

  /** Take a run of the log without holes; `end` is the last offset that it covers, the last one's own unless given. */
  #takeAll(publications: readonly Publication[], end = publications.at(-1)?.offset ?? 0): void {
    this.#take(publications);
    this.#hand(this.#receiver.settle(end));
  }

  #fillLater(delayMs: number): void {
    if (!this.#ready || this.#filling) return;
    this.#fillTimer ??= setTimeout(() => {
      this.#fillTimer = undefined;
      void this.#fill();
    }, delayMs);
  }

  /** Read from the log what did not come by push. */
  async #fill(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    let againMs: number | undefined;
    try {
      if (!(await this.#catchUp(this.#turn))) this.resubscribe();
      this.#fillAttempt = 0;
      if (this.#receiver.hasGap) againMs = GAP_TIMEOUT_MS;
    } catch (error) {
      this.#failed(error);
      if (error instanceof TidewireError && error.retryable) {
        againMs = error.retryAfterMs ?? backoffMs(this.#fillAttempt++, RECONNECT, this.#host.random);
      }
    }
    this.#filling = false;
    if (againMs !== undefined) this.#fillLater(againMs);
  }

  /** Take what the log has after our position; return false when it is another stream's by now. */
  async #catchUp(turn: number): Promise<boolean> {
    for (let more = true; more; ) {
      const since = this.#receiver.position;
      const page = await this.#after(since);
      this.#check(turn);
      if (page.position.epoch !== since.epoch) return false;
      const first = page.publications[0]?.offset ?? page.position.offset + 1;
      if (first > since.offset + 1) {
        this.#hand(this.#receiver.settle(first - 1)); // retention has passed over what we lack
        this.#reset();
      }
      this.#takeAll(page.publications, page.more ? undefined : page.position.offset);
      more = page.more && this.#receiver.position.offset > since.offset;
    }
    return true;
  }

  async #after(since: Position): Promise<HistoryResult> {
    try {
      return await this.history({ since, limit: HISTORY_MAX_LIMIT });
    } catch (error) {
      if (!(error instanceof TidewireError && error.code === FORBIDDEN)) throw error;
      // The token allows to subscribe, not to read history; recovery comes with the subscription.
      const { publications, position, more } = await this.#subscribe(since);
      return { publications, position, more: more === true };
    }
  }

  #failed(error: unknown): void {
    // Nothing came back, or the client was closed: that is no news. Anything else is for the user to know.
    if (!(error instanceof TidewireError && (error.retryable || error.kind === "closed"))) this.#host.report(error);
  }

  #hand(publications: readonly Publication[]): void {
    for (const publication of publications) if (this.#wanted) this.#emit({ type: "event", ...publication });
  }

  #reset(): void {
    this.#resets.forEach((listener) => this.#call(listener));
  }

  #emit(event: Event): void {
    for (const name of new Set([event.name, "*"])) {
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
