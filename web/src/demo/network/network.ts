// A network that can be taken away: what the client is given in place of the browser's `fetch` and `WebSocket`.

import type { Way } from "tidewire";
import { WAYS } from "./ways.js";

/** What is let through: one way to the server alone, or all of them. */
export type Choice = Way | "best";

export interface NetworkState {
  readonly online: boolean;
  readonly choice: Choice;
  /** How often the connection was killed. */
  readonly kills: number;
}

export interface RealNetwork {
  readonly fetch: typeof fetch;
  readonly WebSocket: typeof WebSocket;
  /** Says that the network has changed, as browsers do: clients then don't wait for their next attempt. */
  readonly announce: () => void;
}

/** What requests share that are lost together: those of a way, or all that read nothing. */
type Kind = Way | "other";

export class Network {
  readonly fetch: typeof fetch;
  readonly WebSocket: typeof WebSocket;
  readonly #real: RealNetwork;
  readonly #listeners = new Set<() => void>();
  readonly #sockets = new Set<() => void>(); // what loses each that is open
  readonly #cuts = new Map<Kind, AbortController>();
  #state: NetworkState = { online: true, choice: "best", kills: 0 };
  #reading: Way | undefined; // the way of the last that was let through
  #barred: Way | undefined; // not let through until another is: clients begin with the way that worked last
  #breaksNext = false; // the next read fails
  #unannounced = false; // the connection has yet to notice a change

  constructor(real: RealNetwork = browser()) {
    this.#real = real;
    this.fetch = (input, init) => this.#fetch(input, init);
    this.WebSocket = this.#socketClass(real.WebSocket);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly getSnapshot = (): NetworkState => this.#state;

  /**
   * The ways that the client may try. A way that is not let through it finds out by itself, but for a poll: that stands
   * before its first read fails.
   */
  get transports(): readonly Way[] {
    return WAYS.filter((way) => !way.endsWith("poll") || this.#allows(way));
  }

  /** Take the network away, with all that is open or under way, or give it back. */
  setOnline(online: boolean): void {
    if (online === this.#state.online) return;
    this.#become({ online });
    if (online) this.#real.announce();
    else this.#lose(() => true);
  }

  /** Let through this way alone. A connection by another one is lost; with `best`, for a better one to be found. */
  force(choice: Choice): void {
    this.#become({ choice });
    this.#barred = choice === "best" && this.#reading !== "websocket" ? this.#reading : undefined;
    this.#unannounced = true;
    this.#lose((kind) => kind !== "other" && !this.#allows(kind));
    this.#announceSoon();
  }

  /** Lose the connection, once. */
  kill(): void {
    this.#become({ kills: this.#state.kills + 1 });
    this.#breaksNext = this.#reading === "short_poll"; // it may be between two polls
    this.#lose(() => true);
  }

  #become(change: Partial<NetworkState>): void {
    this.#state = { ...this.#state, ...change };
    this.#listeners.forEach((tell) => tell());
  }

  /** Whether the network, when it is there, lets that way through. */
  #allows(way: Way): boolean {
    const { choice } = this.#state;
    return (choice === "best" || choice === way) && way !== this.#barred;
  }

  /** Whether a connection by that way is let through. */
  #admits(way: Way): boolean {
    if (this.#barred !== way) this.#barred = undefined;
    if (!this.#state.online || !this.#allows(way)) return false;
    this.#reading = way;
    return true;
  }

  #lose(which: (kind: Kind) => boolean): void {
    if (which("websocket")) [...this.#sockets].forEach((lose) => lose());
    for (const [kind, cut] of [...this.#cuts]) {
      if (!which(kind)) continue;
      this.#cuts.delete(kind);
      cut.abort(lost());
    }
  }

  /** When the client has seen what it has lost: it hears of it in promises. */
  #announceSoon(): void {
    setTimeout(() => this.#real.announce());
  }

  async #fetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    const way = wayOf(input, init);
    const breaks = way !== undefined && this.#breaksNext;
    if (way) this.#breaksNext = false;
    if (breaks || !this.#state.online || (way && !this.#admits(way))) {
      if (this.#unannounced) this.#announceSoon();
      this.#unannounced = false;
      throw lost();
    }
    const kind = way ?? "other";
    const cut = this.#cuts.get(kind) ?? new AbortController();
    this.#cuts.set(kind, cut);
    const signal = init.signal ? AbortSignal.any([init.signal, cut.signal]) : cut.signal;
    return this.#real.fetch(input, { ...init, signal });
  }

  #socketClass(Real: typeof WebSocket): typeof WebSocket {
    const admits = (): boolean => this.#admits("websocket");
    const sockets = this.#sockets;
    return class extends Real {
      constructor(url: string | URL, protocols?: string | string[]) {
        if (!admits()) throw lost(); // the client takes it for one that could not be had
        super(url, protocols);
        const lose = (): void => {
          sockets.delete(lose);
          this.close();
          this.dispatchEvent(new Event("close")); // at once: nobody answers where there is no network
        };
        sockets.add(lose);
        this.addEventListener("close", () => sockets.delete(lose));
      }
    };
  }
}

function browser(): RealNetwork {
  return {
    fetch: (...request) => globalThis.fetch(...request),
    WebSocket: globalThis.WebSocket,
    announce: () => globalThis.dispatchEvent(new Event("online")),
  };
}

/** What the browser's own `fetch` throws. */
function lost(): TypeError {
  return new TypeError("Failed to fetch");
}

/** The way that reads so; `undefined`: it is no reading side of a connection. */
function wayOf(input: RequestInfo | URL, { headers }: RequestInit): Way | undefined {
  const accept = new Headers(headers).get("Accept") ?? "";
  if (accept.startsWith("text/event-stream")) return "sse";
  if (accept.startsWith("application/x-ndjson")) return "stream";
  const url = input instanceof Request ? input.url : String(input);
  const waitS = /[?&]wait_s=(\d+)/.exec(url)?.[1];
  if (waitS === undefined) return undefined;
  return waitS === "0" ? "short_poll" : "long_poll";
}
