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

const CONNECT_TIMEOUT_MS = 4_000;
const REQUEST_TIMEOUT_MS = 10_000;
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
  #attempt = 0;
  #nextId = 1;
  #refused = false; // the last token was not accepted
  #timer: ReturnType<typeof setTimeout> | undefined;
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
      void this.#connect();
    }
  }

  /** Do not wait for the next attempt: the page or the network has woken up. */
  hurry(): void {
    if (this.#state === "reconnecting" && this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      void this.#connect();
    }
  }

  /** End it; requests under way are refused. */
  close(error = closed("the client was closed")): void {
    if (this.#state === "closed") return;
    this.#enter("closed", error);
    this.#drop(error);
  }

  /**
   * Send requests as one frame, or one batch, which is carried out in order.
   * @returns a promise for each; it is refused with a retryable error when nothing came back
   */
  ask(requests: readonly Asked[]): Promise<unknown>[] {
    const frames = requests.map((request) => ({ ...request, id: this.#nextId++ }));
    const answers = frames.map(
      ({ id }) =>
        new Promise<unknown>((resolve, reject) => {
          const timer = setTimeout(() => this.#settle(id, undefined, uncertain("no answer came")), REQUEST_TIMEOUT_MS);
          this.#pending.set(id, { resolve, reject, timer });
        }),
    );
    if (this.#transport) this.#transport.send(JSON.stringify(frames.length === 1 ? frames[0] : frames));
    else for (const { id } of frames) this.#settle(id, undefined, uncertain("not connected"));
    return answers;
  }

  async #connect(): Promise<void> {
    let url: string;
    let token: string;
    try {
      [url, token] = await Promise.all([this.#options.url(), this.#options.token(this.#refused)]);
    } catch {
      return this.#later();
    }
    if (this.#state === "closed") return;
    let opened = false;
    const transport = this.#options.open(url, {
      open: () => {
        opened = true;
        if (this.#transport === transport) void this.#hello(token);
      },
      message: (text) => this.#receive(text),
      close: () => {
        if (this.#transport === transport) this.#lost();
      },
    });
    this.#transport = transport;
    this.#timer = setTimeout(() => {
      if (!opened && this.#transport === transport) transport.close();
    }, CONNECT_TIMEOUT_MS);
  }

  async #hello(token: string): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const transport = this.#transport;
    try {
      const [answer] = this.ask([{ type: "hello", protocol: 1, token }]);
      const hello = (await answer) as HelloResult;
      if (this.#transport !== transport) return;
      this.#attempt = 0;
      this.#refused = false;
      this.#enter("connected");
      this.#options.onConnected(hello);
    } catch (error) {
      if (!(error instanceof TidewireError) || this.#transport !== transport) return;
      if (error.code === UNAUTHENTICATED && !this.#refused) {
        this.#refused = true; // one more try, with a fresh token
        transport?.close();
      } else if (error.retryable) transport?.close();
      else this.close(error);
    }
  }

  #lost(): void {
    this.#drop(uncertain("the connection ended"));
    if (this.#state !== "closed") this.#later();
  }

  #later(waitMs?: number): void {
    if (this.#state === "closed") return;
    this.#enter("reconnecting");
    const delayMs = waitMs ?? backoffMs(this.#attempt++, RECONNECT, this.#options.random);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#connect();
    }, delayMs);
  }

  #drop(error: TidewireError): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const transport = this.#transport;
    this.#transport = undefined;
    transport?.close();
    for (const id of [...this.#pending.keys()]) this.#settle(id, undefined, error);
  }

  #receive(text: string): void {
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return; // no frame of ours
    }
    for (const frame of Array.isArray(message) ? message : [message]) {
      if (typeof frame === "object" && frame !== null) this.#frame(frame as Record<string, unknown>);
    }
  }

  #frame(frame: Record<string, unknown>): void {
    if (typeof frame["type"] !== "string") {
      // API Gateway's own error: it says not which request failed, so all of them are uncertain.
      for (const id of [...this.#pending.keys()]) this.#settle(id, undefined, uncertain("the gateway failed"));
    } else if (frame["type"] === "reply") {
      const error = frame["error"] as ConstructorParameters<typeof TidewireError>[0] | undefined;
      if (typeof frame["id"] === "number") {
        this.#settle(frame["id"], frame["result"], error ? new TidewireError(error) : undefined);
      }
    } else if (frame["type"] === "system" && frame["event"] === "disconnect") this.#disconnected(frame);
    else if (this.#state === "connected") this.#options.onPush(frame as unknown as Push);
  }

  #disconnected(frame: Record<string, unknown>): void {
    const code = Number(frame["code"]);
    const error = { code, name: String(frame["name"] ?? "disconnected"), message: "the server ended it" };
    if (code >= RECONNECT_CODES.from && code < RECONNECT_CODES.to) {
      this.#drop(uncertain("the server ended the connection"));
      this.#later(typeof frame["after_ms"] === "number" ? frame["after_ms"] : undefined);
    } else this.close(new TidewireError({ ...error, retryable: false }));
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
