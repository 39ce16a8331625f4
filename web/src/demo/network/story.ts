// What has become of the connection, told in short sentences: lost, back, what was sent and what was recovered.

import type { ConnectionState, Way } from "tidewire";
import type { NetworkState } from "./network.js";
import type { WaitingState } from "./waiting.js";
import { nameOfWay } from "./ways.js";

export interface Line {
  readonly id: number;
  readonly text: string;
}

export interface StoryState {
  /** The latest sentences, the last one last. */
  readonly lines: readonly Line[];
  readonly reconnects: number;
  /** Events that came after the last return, and had been published before it. */
  readonly recovered: number;
  /** Since when there is no connection, in milliseconds of the given clock. */
  readonly lostAtMs: number | undefined;
}

interface Back {
  readonly line: number;
  readonly text: string;
  readonly atMs: number;
  readonly waited: number;
  readonly settledBefore: number;
}

const LINES = 5;

export class Story {
  readonly #now: () => number;
  readonly #listeners = new Set<() => void>();
  #state: StoryState = { lines: [], reconnects: 0, recovered: 0, lostAtMs: undefined };
  #network: NetworkState;
  #waiting: WaitingState;
  #way: string | undefined;
  #back: Back | undefined; // the last return
  #sent = 0; // of what had waited for it
  #ids = 0;

  /** @param now Unix milliseconds */
  constructor(network: NetworkState, waiting: WaitingState, now: () => number) {
    this.#network = network;
    this.#waiting = waiting;
    this.#now = now;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly getSnapshot = (): StoryState => this.#state;

  /** The user has changed the network. */
  network(state: NetworkState): void {
    const { online, choice, kills } = this.#network;
    this.#network = state;
    if (state.online !== online && !state.online) this.#say("The network is gone. What you do now waits.");
    if (state.choice !== choice) {
      this.#say(
        state.choice === "best" ? "Every way is open again." : `Only ${nameOfWay(state.choice)} gets through now.`,
      );
    }
    if (state.kills > kills) this.#say("The connection was killed.");
  }

  /** Something waits, or has been answered. */
  waiting(state: WaitingState): void {
    this.#waiting = state;
    const back = this.#back;
    if (!back) return;
    const sent = Math.min(back.waited, state.settled - back.settledBefore);
    if (sent === this.#sent) return;
    this.#sent = sent;
    this.#tellBack(back);
  }

  connection(state: ConnectionState, transport: Way | "tabs" | undefined): void {
    const before = this.#way;
    if (state === "connected" && transport) {
      this.#way = transport;
      const name = nameOfWay(transport);
      if (this.#state.lostAtMs !== undefined) this.#returned(this.#state.lostAtMs, name);
      else if (before !== undefined && before !== transport) this.#say(`Moved on to ${name}, without a loss.`);
    } else if (state === "reconnecting" && this.#state.lostAtMs === undefined && before !== undefined) {
      this.#back = undefined;
      this.#become({ lostAtMs: this.#now() });
    }
  }

  /** An event of the room has come. @param publishedAtMs by this computer's clock */
  event(publishedAtMs: number): void {
    const back = this.#back;
    if (!back || publishedAtMs >= back.atMs) return;
    this.#become({ recovered: this.#state.recovered + 1 });
    this.#tellBack(back);
  }

  /** More was missed than can be had. */
  reset(): void {
    if (this.#back) this.#say("More was missed than comes at once: the history was read anew.");
  }

  #returned(lostAtMs: number, name: string): void {
    const text = `Back by ${name} after ${duration(this.#now() - lostAtMs)}`;
    const { count, settled } = this.#waiting;
    this.#sent = 0;
    this.#become({ lostAtMs: undefined, recovered: 0, reconnects: this.#state.reconnects + 1 });
    const line = this.#say(text);
    this.#back = { line, text, atMs: this.#now(), waited: count, settledBefore: settled };
  }

  #tellBack({ line, text }: Back): void {
    const parts = [text];
    if (this.#sent > 0) parts.push(`${this.#sent} sent`);
    if (this.#state.recovered > 0) parts.push(`${this.#state.recovered} recovered`);
    this.#become({
      lines: this.#state.lines.map((each) => (each.id === line ? { id: line, text: parts.join(" · ") } : each)),
    });
  }

  #say(text: string): number {
    const id = ++this.#ids;
    this.#become({ lines: [...this.#state.lines, { id, text }].slice(-LINES) });
    return id;
  }

  #become(change: Partial<StoryState>): void {
    this.#state = { ...this.#state, ...change };
    this.#listeners.forEach((tell) => tell());
  }
}

/** In words, near enough. */
export function duration(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.round(ms / 1000)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}
