// One connection to the server, kept up: connects, says hello, asks and answers, comes back after a loss.

import { RECONNECT, backoffMs } from "./backoff.js";
import { TidewireError, closed, uncertain } from "./errors.js";
import type { HelloResult, Push, Request } from "./generated/frames.js";
import type { OpenTransport, Transport } from "./transports/transport.js";

export type ConnectionState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

/** A request as its sender has it: the connection gives it its id. */
export type Asked = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;

export interface ConnectionOptions {
  /** The server's WebSocket URL; asked before each attempt. */
  readonly url: () => Promise<string>;
  /** A token; `fresh` asks for a new one, since the last was refused. */
  readonly token: (fresh: boolean) => Promise<string>;
  readonly open: OpenTransport;
  readonly random?: () => number;
  /** Called for every push, after `connected`. */
  readonly onPush: (push: Push) => void;
  readonly onState: (state: ConnectionState, error?: TidewireError) => void;
  /** Called after each hello: subscribe, send what waits. */
  readonly onConnected: (hello: HelloResult) => void;
}

// The first attempt; each later one gets twice the time of the one before, for a server that starts from cold.
const CONNECT_TIMEOUT_MS = 4_000;
const CONNECT_TIMEOUT_MAX_MS = 30_000;
const REQUEST_TIMEOUT_MS = 10_000;
const PONG_TIMEOUT_MS = 4_000;
const UNAUTHENTICATED = 1004;
const RECONNECT_CODES = { from: 3000, to: 3500 };

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: TidewireError) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class Connection {
  #state: ConnectionState = "idle";
  #transport: Transport | undefined;
  #attempt = 0; // of reconnecting, since the last success
  #try = 0; // counts attempts for good: what belongs to an earlier one is ignored
  #nextId = 1;
  #received = 0; // messages on this connection
  #refused = false; // a token was not accepted, and with a fresh one nothing has been answered yet
  #connectTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #probeTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #pending = new Map<number, Pending>();
  readonly #options: ConnectionOptions;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connect, if it is not connected or trying to. */
  open(): void {
    if (this.#state === "idle" || this.#state === "closed") {
      this.#attempt = 0;
      this.#refused = false;
      this.#enter("connecting");
      if (this.state === "connecting") void this.#connect(); // unless a listener has closed it
    }
  }

  /** Do not wait for the next attempt: the page or the network has woken up. */
  hurry(): void {
    if (this.#retryTimer !== undefined) void this.#connect();
  }

  /** End it; requests under way are refused. */
  close(error = closed("the client was closed")): void {
    if (this.#state === "closed") return;
    this.#drop();
    this.#refuse(error);
    this.#enter("closed", error);
  }

  /**
   * Send requests as one frame, or one batch, which is carried out in order.
   * @returns a promise for each; it is refused with a retryable error when nothing came back
   */
  ask(requests: readonly Asked[]): Promise<unknown>[] {
    // Before hello is answered the server would refuse it, or, in the handshake, it would be lost.
    if (this.#state === "connected") return this.#ask(requests);
    const error = this.#state === "closed" ? closed("the client is closed") : uncertain("not connected");
    return requests.map(() => Promise.reject(error));
  }

  #ask(requests: readonly Asked[]): Promise<unknown>[] {
    const frames = requests.map((request) => ({ ...request, id: this.#nextId++ }));
    const text = JSON.stringify(frames.length === 1 ? frames[0] : frames);
    const receivedBefore = this.#received;
    const answers = frames.map(
      ({ id }) =>
        new Promise<unknown>((resolve, reject) => {
          const timer = setTimeout(() => this.#unanswered(id, receivedBefore), REQUEST_TIMEOUT_MS);
          this.#pending.set(id, { resolve, reject, timer });
        }),
    );
    this.#transport?.send(text);
    return answers;
  }

  #unanswered(id: number, receivedBefore: number): void {
    this.#settle(id, undefined, uncertain("no answer came"));
    if (this.#received === receivedBefore) this.#probe();
  }

  /**
   * Not a sound since the request: the server is busy, or the network has gone silently, as when a laptop slept, which
   * TCP takes minutes to notice. API Gateway itself answers a ping, however busy the functions are.
   */
  #probe(): void {
    if (this.#probeTimer !== undefined) return;
    const receivedBefore = this.#received;
    this.#transport?.send(JSON.stringify({ type: "ping" }));
    this.#probeTimer = setTimeout(() => {
      this.#probeTimer = undefined;
      if (this.#received === receivedBefore) this.#transport?.close();
    }, PONG_TIMEOUT_MS);
  }

  async #connect(): Promise<void> {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    const attempt = ++this.#try;
    let url: string;
    let token: string;
    try {
      [url, token] = await Promise.all([this.#options.url(), this.#options.token(this.#refused)]);
    } catch {
      if (attempt === this.#try) this.#later();
      return;
    }
    if (attempt !== this.#try) return; // closed meanwhile, and perhaps opened again
    this.#received = 0;
    const transport = this.#options.open(url, {
      open: () => {
        if (attempt === this.#try) void this.#hello(token, attempt);
      },
      message: (text) => {
        this.#receive(text, attempt);
      },
      close: () => {
        if (attempt === this.#try) this.#lost();
      },
    });
    this.#transport = transport;
    const timeoutMs = Math.min(CONNECT_TIMEOUT_MAX_MS, CONNECT_TIMEOUT_MS * 2 ** this.#attempt);
    this.#connectTimer = setTimeout(() => transport.close(), timeoutMs);
  }

  async #hello(token: string, attempt: number): Promise<void> {
    clearTimeout(this.#connectTimer);
    try {
      const [answer] = this.#ask([{ type: "hello", protocol: 1, token }]);
      const hello = (await answer) as HelloResult;
      if (attempt !== this.#try) return;
      if (typeof hello?.heartbeat_s !== "number") throw uncertain("the server's hello makes no sense");
      this.#attempt = 0;
      this.#enter("connected");
      if (attempt === this.#try) this.#options.onConnected(hello);
    } catch (error) {
      if (attempt !== this.#try) return;
      if (!(error instanceof TidewireError)) throw error;
      if (error.code === UNAUTHENTICATED) this.#unauthenticated(error);
      else if (error.retryable) this.#transport?.close();
      else this.close(error);
    }
  }

  /** The token was refused, or has ended, and with it the subscriptions: one more try, with a fresh one. */
  #unauthenticated(error: TidewireError): void {
    if (this.#refused) return this.close(error);
    this.#refused = true;
    this.#transport?.close();
  }

  #lost(): void {
    this.#drop();
    this.#later();
    this.#refuse(uncertain("the connection ended"));
  }

  #later(waitMs = backoffMs(this.#attempt++, RECONNECT, this.#options.random)): void {
    this.#retryTimer = setTimeout(() => void this.#connect(), waitMs);
    this.#enter("reconnecting");
  }

  /** Let go of the transport. */
  #drop(): void {
    this.#try++;
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#probeTimer);
    this.#retryTimer = this.#probeTimer = undefined;
    const transport = this.#transport;
    this.#transport = undefined;
    transport?.close();
  }

  /** Refuse what waits for an answer; after a loss when that was told, since who hears of it may close for good. */
  #refuse(error: TidewireError): void {
    for (const id of [...this.#pending.keys()]) this.#settle(id, undefined, error);
  }

  #receive(text: string, attempt: number): void {
    this.#received++;
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return; // no frame of ours
    }
    for (const frame of Array.isArray(message) ? message : [message]) {
      if (attempt !== this.#try) return; // of a connection that has ended, maybe by the frame before
      if (typeof frame === "object" && frame !== null) this.#frame(frame as Record<string, unknown>);
    }
  }

  #frame(frame: Record<string, unknown>): void {
    if (typeof frame["type"] !== "string") {
      // API Gateway's own error: it says not which request failed, so all of them are uncertain.
      this.#refuse(uncertain("the gateway failed"));
    } else if (frame["type"] === "reply") {
      const object = frame["error"] as ConstructorParameters<typeof TidewireError>[0] | undefined;
      const error = object ? new TidewireError(object) : undefined;
      if (this.#state === "connected") {
        // Nothing was done: to those who asked it is as if the connection had been lost.
        if (error?.code === UNAUTHENTICATED) return this.#unauthenticated(error);
        if (!error) this.#refused = false;
      }
      if (typeof frame["id"] === "number") this.#settle(frame["id"], frame["result"], error);
    } else if (frame["type"] === "system" && frame["event"] === "disconnect") this.#disconnected(frame);
    else if (this.#state === "connected") this.#options.onPush(frame as unknown as Push);
  }

  #disconnected(frame: Record<string, unknown>): void {
    const code = Number(frame["code"]);
    const name = typeof frame["name"] === "string" ? frame["name"] : "disconnected";
    if (code >= RECONNECT_CODES.from && code < RECONNECT_CODES.to) {
      this.#drop();
      this.#later(typeof frame["after_ms"] === "number" ? frame["after_ms"] : undefined);
      this.#refuse(uncertain("the server ended the connection"));
    } else this.close(new TidewireError({ code, name, message: `the server ended it: ${name}`, retryable: false }));
  }

  #settle(id: number, result: unknown, error: TidewireError | undefined): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (error) pending.reject(error);
    else pending.resolve(result);
  }

  #enter(state: ConnectionState, error?: TidewireError): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onState(state, error);
  }
}
