// One transport that has said hello, or is about to: asks and answers, until it ends.

import { TidewireError, uncertain } from "./errors.js";
import type { ErrorObject, HelloResult, Push, Request } from "./generated/frames.js";
import { size } from "./size.js";
import { HttpSession } from "./transports/session.js";
import type { Endpoints, OpenTransport, Transport } from "./transports/transport.js";

/** A request as its sender has it: the link gives it its id. */
export type Asked = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;

export interface LinkOptions {
  readonly open: OpenTransport;
  readonly endpoints: Endpoints;
  readonly fetch: typeof fetch;
  readonly token: string;
  /** The session to take up again. */
  readonly sessionId: string | undefined;
  readonly connectTimeoutMs: number;
  /** Hello was answered. */
  readonly onUp: (hello: HelloResult) => void;
  readonly onPush: (push: Push) => void;
  /** Something was refused since the token is not good, or has ended. */
  readonly onUnauthenticated: (error: TidewireError) => void;
  /** Something was answered, and not with an error. */
  readonly onAnswer: () => void;
  /** It has ended; `error` if the server refused hello. Called once, and what waits is refused after it. */
  readonly onDown: (error?: TidewireError) => void;
}

const REQUEST_TIMEOUT_MS = 10_000;
const PONG_TIMEOUT_MS = 4_000;
const UNAUTHENTICATED = 1004;
const SESSION_UNKNOWN = 1011;
const TIMEOUT = 2002;

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: TidewireError) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #transport: Transport;
  readonly #pending = new Map<number, Pending>();
  #hello: HelloResult | undefined;
  #ended = false;
  #nextId = 1;
  #received = 0; // messages
  #connectTimer: ReturnType<typeof setTimeout> | undefined;
  #probeTimer: ReturnType<typeof setTimeout> | undefined;
  #token: string; // the newest that was taken
  readonly #tokenIds = new Set<unknown>(); // of requests that bring a token: what becomes of one is its own affair
  #http: Promise<HttpSession> | undefined; // for what is too large for a frame

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#token = options.token;
    this.#connectTimer = setTimeout(() => this.#end(), options.connectTimeoutMs);
    this.#transport = options.open(options.endpoints, {
      open: () => this.#greet(),
      message: (text) => this.#receive(text),
      close: () => this.#end(),
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  get idle(): boolean {
    return this.#pending.size === 0;
  }

  /** Another has followed it, in the same session. */
  retire(): void {
    this.#transport.retire?.();
  }

  /**
   * Send requests as one frame, or one batch, which is carried out in order.
   * @returns a promise for each; it is refused with a retryable error when nothing came back
   */
  ask(requests: readonly Asked[], timeoutMs?: number): Promise<unknown>[] {
    const frames = requests.map((request) => ({ ...request, id: this.#nextId++ }));
    const text = JSON.stringify(frames.length === 1 ? frames[0] : frames);
    const answers = frames.map(
      ({ id }) => new Promise((resolve, reject) => this.#expect(id, resolve, reject, timeoutMs)),
    );
    if (this.#ended) this.#refuse(uncertain());
    else if (this.#transport.maxBytes && size(text) > this.#transport.maxBytes) void this.#post(text);
    else this.#transport.send(text);
    return answers;
  }

  /**
   * Put a token in the place of the one that ends soon.
   * @throws TidewireError when it is refused: the other is good until its end
   */
  async refresh(token: string): Promise<void> {
    this.#tokenIds.add(this.#nextId);
    await this.ask([{ type: "refresh", token }])[0];
    this.#token = token;
    this.#http = undefined; // that ends with the other
  }

  /**
   * Not a sound since a request: the server is busy, or the network has gone silently, as when a laptop slept, which
   * TCP takes minutes to notice. API Gateway itself answers a ping, however busy the functions are.
   */
  probe(): void {
    if (this.#probeTimer !== undefined || this.#ended) return;
    const receivedBefore = this.#received;
    this.#transport.send(JSON.stringify({ type: "ping", id: this.#nextId++ }));
    this.#probeTimer = setTimeout(() => {
      this.#probeTimer = undefined;
      if (this.#received === receivedBefore) this.#end();
    }, PONG_TIMEOUT_MS);
  }

  /** End it without a word to its owner; what waits is refused. `forGood`: its session is over too. */
  close(error: TidewireError, forGood = false): void {
    this.#release(forGood);
    this.#refuse(error);
  }

  #greet(): void {
    if (this.#ended) return;
    clearTimeout(this.#connectTimer);
    const id = this.#nextId++;
    this.#tokenIds.add(id);
    // Taken at once: what is pushed next may be in the same read.
    const up = (hello: HelloResult): void => {
      if (typeof hello?.heartbeat_s !== "number") return this.#end();
      this.#hello = hello;
      this.#options.onUp(hello);
    };
    const refused = (error: TidewireError): void => {
      if (this.#ended) return;
      if (error.code === UNAUTHENTICATED) this.#options.onUnauthenticated(error);
      else this.#end(error.code === TIMEOUT ? undefined : error);
    };
    this.#expect(id, up as Pending["resolve"], refused);
    const session_id = this.#options.sessionId; // not sent if there is none
    this.#transport.send(JSON.stringify({ type: "hello", id, protocol: 1, token: this.#token, session_id }));
  }

  #expect(id: number, resolve: Pending["resolve"], reject: Pending["reject"], timeoutMs = REQUEST_TIMEOUT_MS): void {
    const receivedBefore = this.#received;
    const timer = setTimeout(() => this.#unanswered(id, receivedBefore), timeoutMs);
    this.#pending.set(id, { resolve, reject, timer });
  }

  async #post(text: string): Promise<void> {
    const { endpoints, fetch } = this.#options;
    const session_id = this.#hello?.session_id ?? null;
    this.#http ??= HttpSession.open(endpoints.httpUrl, { protocol: 1, token: this.#token, session_id }, fetch);
    try {
      this.#receive(await (await this.#http).post(text));
    } catch {
      this.#http = undefined; // what was asked runs into its time, and is asked again
    }
  }

  #unanswered(id: number, receivedBefore: number): void {
    this.#settle(id, undefined, uncertain("no answer came"));
    if (this.#received === receivedBefore) this.probe();
  }

  #end(error?: TidewireError): void {
    if (this.#ended) return;
    this.#release();
    this.#options.onDown(error);
    // After the loss was told, since who hears of it may close for good.
    this.#refuse(uncertain());
  }

  #release(forGood = false): void {
    this.#ended = true;
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#probeTimer);
    this.#transport.close(forGood);
  }

  #refuse(error: TidewireError): void {
    for (const id of [...this.#pending.keys()]) this.#settle(id, undefined, error);
  }

  #receive(text: string): void {
    this.#received++;
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return; // no frame of ours
    }
    for (const frame of [message].flat()) {
      if (this.#ended) return; // maybe by the frame before
      if (typeof frame === "object" && frame !== null) this.#frame(frame as Record<string, unknown>);
    }
  }

  #frame(frame: Record<string, unknown>): void {
    if (typeof frame["type"] !== "string") {
      // API Gateway's own error: it says not which request failed, so all of them are uncertain.
      this.#refuse(uncertain("the gateway failed"));
    } else if (frame["type"] === "reply") {
      const object = frame["error"] as ErrorObject | undefined;
      const error = object ? new TidewireError(object) : undefined;
      if (!this.#tokenIds.has(frame["id"])) {
        // Nothing was done: to those who asked it is as if the connection had been lost.
        if (error?.code === UNAUTHENTICATED) return this.#options.onUnauthenticated(error);
        if (error?.code === SESSION_UNKNOWN) return this.#end();
        if (!error) this.#options.onAnswer();
      }
      if (typeof frame["id"] === "number") this.#settle(frame["id"], frame["result"], error);
    } else if (this.#hello || (frame["type"] === "system" && frame["event"] === "disconnect")) {
      this.#options.onPush(frame as unknown as Push);
    }
  }

  #settle(id: number, result: unknown, error: TidewireError | undefined): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (error) pending.reject(error);
    else pending.resolve(result);
  }
}
