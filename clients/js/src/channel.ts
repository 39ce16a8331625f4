// One channel as its user has it: subscribing, events, publishing, history.

import { TidewireError, againAfterMs, closed, isPassing } from "./errors.js";
import type {
  Event as WireEvent,
  HistoryResult,
  Position,
  Publication,
  PublishResult,
  Push,
  Receipt,
  SubscribeResult,
} from "./generated/frames.js";
import type { Asked } from "./link.js";
import type { Publish } from "./outbox.js";
import type { ChannelPart } from "./part.js";
import type { Recovery } from "./recovery.js";

/** What is published in a channel: the type of `data` by event name. */
export type Events = Record<string, unknown>;

/** An event of a name, or of any. */
export type Event<E extends Events = Events, N extends keyof E = keyof E> = {
  [K in N]: Omit<WireEvent, "name" | "data"> & { readonly name: K; readonly data: E[K] };
}[N];

export interface ChannelHost {
  readonly ask: (request: Asked) => Promise<unknown>;
  /** Resolves when something can be asked. */
  readonly standing: () => Promise<void>;
  readonly publish: (frame: Publish, offline: boolean) => Promise<PublishResult>;
  readonly recovery: Pick<Recovery, "open" | "close" | "since" | "subscribed" | "notSubscribed">;
  readonly connected: () => boolean;
  readonly report: (error: unknown) => void;
  readonly random?: () => number;
}

export interface PublishOptions {
  readonly messageId?: string;
  readonly priority?: "express" | "high" | "normal" | "low";
  readonly ephemeral?: boolean;
  /** Ask to be told, by `onReceipt`, when it is stored. */
  readonly receipt?: boolean;
  /** Keep it until it is answered, even if the page goes. */
  readonly offline?: boolean;
}

export class Channel<E extends Events = Events> {
  readonly name: string;
  readonly #host: ChannelHost;
  readonly #parts: ChannelPart[] = [];
  readonly #listeners = new Map<string, Set<(event: WireEvent) => void>>();
  readonly #resets = new Set<(position: Position) => void>();
  readonly #receipts = new Set<(receipt: Receipt) => void>();
  readonly #iterators = new Set<(news: WireEvent | TidewireError) => void>(); // an error is the end
  #wanted = false; // the user has subscribed
  #stands = false; // ... and this connection is
  #left = false; // the user has unsubscribed, and the server may not know: a session keeps its subscriptions
  #turn = 0; // counts unsubscribing: answers to what was asked before it are ignored
  #joining: Promise<readonly Publication[]> | undefined;
  #asking: Promise<void> | undefined; // ends when all that was asked in turn has been answered
  #wake: ((error?: TidewireError) => void) | undefined; // what waits for its next attempt
  #stale = false; // the answer that is awaited is of a stream that has been replaced

  /** @internal */
  constructor(name: string, host: ChannelHost) {
    this.name = name;
    this.#host = host;
  }

  get subscribed(): boolean {
    return this.#wanted;
  }

  /** Where the next recovery would begin; `undefined` before the first answer. */
  get position(): Position | undefined {
    return this.#host.recovery.since(this.name);
  }

  /**
   * Receive the channel's events from now on; after a reconnect too, without loss or repetition.
   * @param options `history`: how many of the latest publications to return now, oldest first
   * @throws TidewireError when the server refuses, or when it ends before the server has answered
   */
  async subscribe({ history = 0 }: { readonly history?: number } = {}): Promise<readonly Publication[]> {
    if (this.#joining || this.#stands) await this.#joining;
    else {
      this.want();
      if (!this.position) return this.#join(history);
      await this.#join();
    }
    if (history === 0) return [];
    return (await this.history({ limit: history, reverse: true })).publications.reverse();
  }

  /** Receive them no longer. */
  async unsubscribe(): Promise<void> {
    this.#turn++;
    this.#wanted = this.#stands = false;
    this.#host.recovery.close(this.name);
    this.#joining = undefined;
    this.closed(closed("unsubscribed"));
    this.#left = true;
    try {
      await this.#leave();
    } catch (error) {
      if (this.#host.connected()) throw error; // otherwise the next connection leaves it
    }
  }

  /** Publish; resolves when the server has it for good. Tried again with the same id until then. */
  publish<N extends keyof E & string>(name: N, data: E[N], options: PublishOptions = {}): Promise<PublishResult> {
    const { messageId = crypto.randomUUID(), offline = false, ...rest } = options;
    const frame: Publish = { type: "publish", channel: this.name, name, data, message_id: messageId, ...rest };
    return this.#host.publish(frame, offline);
  }

  /** Read what is kept: after `since` ascending, or with `reverse` before it descending. */
  async history(options: { since?: Position; limit?: number; reverse?: boolean } = {}): Promise<HistoryResult> {
    await this.#host.standing();
    return (await this.#host.ask({ type: "history", channel: this.name, ...options })) as HistoryResult;
  }

  /** Listen to events of a name, or to all with `*`. Returns a function that ends it. */
  on<N extends keyof E & string>(name: N, listener: (event: Event<E, N>) => void): () => void;
  on(name: "*", listener: (event: Event<E>) => void): () => void;
  on(name: string, listener: (event: never) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener as (event: WireEvent) => void));
    return () => void listeners.delete(listener as (event: WireEvent) => void);
  }

  /** Be told what became of publications that asked for a receipt. Returns a function that ends it. */
  onReceipt(listener: (receipt: Receipt) => void): () => void {
    this.#receipts.add(listener);
    return () => void this.#receipts.delete(listener);
  }

  /**
   * Called when what was missed could not be had: start over from `history`. Events go on after the position.
   * @returns a function that ends it
   */
  onReset(listener: (position: Position) => void): () => void {
    this.#resets.add(listener);
    return () => void this.#resets.delete(listener);
  }

  /**
   * Events from now on, in order. They end when the channel is left or the client closed, and fail with the error where
   * it was the server that ended it.
   */
  [Symbol.asyncIterator](): AsyncGenerator<Event<E>, void, void> {
    const events = this.#events();
    void events.next(); // from now on, not from when the first is asked for
    return events;
  }

  // The client's side.

  /** A connection stands: take the subscription up again. @internal */
  connected(): void {
    if (this.#wake) this.#wake();
    else if (this.#left && !this.#wanted)
      this.#leave().catch((error: unknown) => isPassing(error) || this.#host.report(error));
    else this.resubscribe();
  }

  /** The connection has gone. @internal */
  disconnected(): void {
    this.#stands = false;
    this.#parts.forEach((part) => part.disconnected());
  }

  /** What was missed last shows in nothing else: ask for it. @internal */
  check(): void {
    this.#parts.forEach((part) => part.check());
  }

  /** The channel was left or refused, or the client closed: nothing that waits will come. @internal */
  closed(error: TidewireError): void {
    this.#wake?.(error);
    this.#parts.forEach((part) => part.closed(error));
    this.#iterators.forEach((tell) => tell(error));
  }

  /** An event's turn has come. @internal */
  deliver(event: WireEvent): void {
    this.#iterators.forEach((tell) => tell(event));
    for (const name of new Set([event.name, "*"])) {
      this.#listeners.get(name)?.forEach((listener) => this.#call(() => listener(event)));
    }
  }

  /** Something else of this channel was pushed. @internal */
  push(push: Push): void {
    if (push.type === "receipt") this.#receipts.forEach((listener) => this.#call(() => listener(push)));
    else this.#parts.forEach((part) => this.#call(() => part.push(push)));
  }

  /** What was missed up to there can't be had. @internal */
  startOver(position: Position): void {
    this.#resets.forEach((listener) => this.#call(() => listener(position)));
  }

  /** The stream was replaced: ask where it stands now. @internal */
  resubscribe(): void {
    if (this.#joining) this.#stale = true;
    else if (this.#wanted) this.#join().catch((error: unknown) => isPassing(error) || this.#host.report(error));
  }

  // For those who extend it.

  /** Have something ride on the subscription. */
  protected add<P extends ChannelPart>(part: P): P {
    this.#parts.push(part);
    return part;
  }

  /** Have it subscribed to with the next connection. */
  protected want(): void {
    this.#wanted = true;
  }

  /** Subscribe, or once more: what the parts want has changed. */
  protected async rejoin(): Promise<void> {
    this.want();
    if (this.#joining) this.#stale = true;
    await (this.#joining ?? this.#join());
  }

  async *#events(): AsyncGenerator<Event<E>, void, void> {
    const queue: (WireEvent | TidewireError)[] = [];
    let wake: (() => void) | undefined;
    const tell = (news: WireEvent | TidewireError): void => {
      queue.push(news);
      wake?.();
    };
    this.#iterators.add(tell);
    try {
      yield undefined as never; // nobody sees it
      for (;;) {
        const news = queue.shift();
        if (news instanceof TidewireError) {
          if (news.kind === "closed") return;
          throw news;
        }
        if (news) yield news as Event<E>;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#iterators.delete(tell);
    }
  }

  #leave(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#host.connected()) return;
      await this.#host.ask({ type: "unsubscribe", channel: this.name });
      this.#left = false;
    });
  }

  /** Subscribe, however often it takes; return the `history` latest publications where nothing was to continue. */
  #join(history = 0): Promise<readonly Publication[]> {
    const turn = this.#turn;
    const joining = this.#untilJoined(history, turn).finally(() => {
      if (this.#joining === joining) this.#joining = undefined;
    });
    return (this.#joining = joining);
  }

  async #untilJoined(history: number, turn: number): Promise<readonly Publication[]> {
    const { recovery, random } = this.#host;
    let latest: readonly Publication[] = [];
    for (let attempt = 0; ; attempt++) {
      try {
        do {
          const result = await this.#inTurn(async () => {
            for (const part of this.#parts) await part.prepare?.();
            this.#check(turn);
            this.#stale = false;
            recovery.open(this.name);
            return this.#subscribe(history);
          });
          this.#check(turn);
          if (this.#stale) continue;
          if (!this.#stands) latest = result.publications;
          this.#stands = true;
          recovery.subscribed(result);
          for (const part of this.#parts) this.#call(() => part.subscribed(result));
          this.#check(turn); // a listener may have unsubscribed
        } while (this.#stale); // ... or have asked for more
        return latest;
      } catch (error) {
        this.#check(turn);
        const waitMs = againAfterMs(error, attempt, random);
        if (waitMs === undefined) {
          if (this.#stands) recovery.notSubscribed(this.name);
          else {
            if (!this.position) {
              this.#wanted = false;
              recovery.close(this.name);
            }
            this.closed(error as TidewireError);
          }
          throw error;
        }
        await this.#pause(waitMs);
      }
    }
  }

  /** Ask when what was asked before has been answered: of two frames the server may handle the later one first. */
  #inTurn<T>(ask: () => Promise<T>): Promise<T> {
    const answer = this.#asking ? this.#asking.then(ask) : ask();
    const ended = (): void => {
      if (this.#asking === asking) this.#asking = undefined;
    };
    const asking = answer.then(ended, ended);
    this.#asking = asking;
    return answer;
  }

  #check(turn: number): void {
    if (turn !== this.#turn) throw closed("unsubscribed");
  }

  async #subscribe(history: number): Promise<SubscribeResult> {
    const since = this.position;
    const request: Asked = {
      type: "subscribe",
      channel: this.name,
      ...(since && { since }),
      ...(history && { history }),
      ...Object.assign({}, ...this.#parts.map((part) => part.subscribing())),
    };
    return (await this.#host.ask(request)) as SubscribeResult;
  }

  /** Wait, or, without a connection, for the next one. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (error?: TidewireError): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        if (error) reject(error);
        else resolve();
      };
      const timer = this.#host.connected() ? setTimeout(wake, ms) : undefined;
      this.#wake = wake;
    });
  }

  #call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#host.report(error); // a listener that throws breaks nothing but itself
    }
  }
}
