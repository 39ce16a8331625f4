// Does what the receiving rules ask for: hands over, asks `history` and `sync`, and keeps their clock.

import { now } from "./clock.js";
import type { Asked } from "./link.js";
import { TidewireError, isPassing } from "./errors.js";
import type { Event, HistoryResult, Position, SubscribeResult, SyncResult } from "./generated/frames.js";
import { Receiver, type Action, type AskHistory, type AskSync, type Positions } from "./receiver.js";

export interface RecoveryOptions {
  readonly ask: (request: Asked) => Promise<unknown>;
  readonly connected: () => boolean;
  readonly deliver: (event: Event) => void;
  /** What was missed up to this position can't be had. */
  readonly startOver: (channel: string, position: Position) => void;
  /** Have the channel subscribe again, from `since` on. */
  readonly resubscribe: (channel: string) => void;
  readonly report: (error: unknown) => void;
  readonly random?: () => number;
}

const FORBIDDEN = 1005;

export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #receiver: Receiver;
  readonly #fills = new Map<string, AskHistory>(); // by channel: an answer to any other is of no use any more
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#receiver = new Receiver(options.random);
  }

  /** The channel is about to be subscribed to, from `since` on: until the answer is there, pushes wait. */
  open(channel: string): void {
    this.#receiver.open(channel);
  }

  close(channel: string): void {
    this.#receiver.close(channel);
    this.#fills.delete(channel);
  }

  since(channel: string): Position | undefined {
    return this.#receiver.since(channel);
  }

  subscribed(result: SubscribeResult): void {
    this.#act(this.#receiver.subscribed(result, now()));
  }

  /** Subscribing once more was refused: the subscription that stands goes on. */
  notSubscribed(channel: string): void {
    this.#act(this.#receiver.notSubscribed(channel, now()));
  }

  event(event: Event): void {
    this.#act(this.#receiver.event(event, now()));
  }

  /** The server says that these streams go further than we know. */
  behind(positions: Positions): void {
    this.#act(this.#receiver.behind(positions));
  }

  /** Ask which streams go further than we know. Without any it is the heartbeat alone. */
  sync(): void {
    const asks = this.#receiver.sync();
    this.#act(asks.length > 0 ? asks : [{ kind: "askSync", positions: {} }]);
  }

  /** Nothing can be asked until the next answer to `subscribe`. */
  disconnected(): void {
    clearTimeout(this.#timer);
  }

  #act(actions: readonly Action[]): void {
    for (const action of actions) {
      if (action.kind === "askSync") void this.#sync(action);
      else if (action.kind === "deliver") {
        if (action.event.ephemeral || this.#stands(action.event.channel)) this.#options.deliver(action.event);
      } else if (!this.#stands(action.channel)) continue;
      else if (action.kind === "startOver") this.#options.startOver(action.channel, action.position);
      else void this.#history(action);
    }
    clearTimeout(this.#timer);
    const waitMs = this.#receiver.nextTickMs() - now();
    if (waitMs === Infinity || !this.#options.connected()) return;
    this.#timer = setTimeout(() => this.#act(this.#receiver.tick(now())), waitMs);
  }

  /** Whether an action's subscription is still the one: a listener may have ended it, and perhaps begun another. */
  #stands(channel: string): boolean {
    return this.since(channel) !== undefined;
  }

  async #history(asked: AskHistory): Promise<void> {
    this.#fills.set(asked.channel, asked);
    try {
      const { channel, since, limit } = asked;
      const result = (await this.#options.ask({ type: "history", channel, since, limit })) as HistoryResult;
      if (this.#counts(asked)) this.#act(this.#receiver.filled(channel, result, now()));
    } catch (error) {
      if (!this.#counts(asked)) return;
      if (error instanceof TidewireError && error.code === FORBIDDEN) {
        // The token allows to subscribe, not to read history; recovery comes with the subscription. It is the channel
        // that asks: without what its parts want it would be told no more of that.
        return this.#options.resubscribe(asked.channel);
      }
      if (!isPassing(error)) this.#options.report(error);
      this.#receiver.notFilled(asked.channel, now());
      this.#act([]);
    }
  }

  #counts(asked: AskHistory): boolean {
    return this.#fills.get(asked.channel) === asked;
  }

  async #sync({ positions }: AskSync): Promise<void> {
    try {
      const { behind } = (await this.#options.ask({ type: "sync", positions })) as SyncResult;
      this.behind(behind);
    } catch (error) {
      if (!isPassing(error)) return this.#options.report(error); // the next traffic or heartbeat asks again
      this.#receiver.notSynced(positions, now());
      this.#act([]);
    }
  }
}
