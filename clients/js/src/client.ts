// The client: puts one connection, its channels, their recovery and the outbox together.

import { Channel } from "./channel.js";
import { Connection, type Asked, type ConnectionState } from "./connection.js";
import { TidewireError, closed } from "./errors.js";
import type { PublishResult, Push } from "./generated/frames.js";
import { Outbox, type Publish } from "./outbox.js";
import { Recovery } from "./recovery.js";
import { webSocketTransport } from "./transports/websocket.js";
import type { OpenTransport } from "./transports/transport.js";

export interface TidewireOptions {
  /** Origin of the HTTP API; the page's own unless given. */
  readonly httpUrl?: string;
  /** Returns a token; `fresh` when the last one was refused. */
  readonly getToken: (fresh: boolean) => Promise<string>;
  /** Where the WebSocket is; asked of `GET /v1/config` unless given. */
  readonly websocketUrl?: string;
  /** Is told of errors that belong to nobody: a listener that threw, a subscription lost for good. Default: console. */
  readonly onError?: (error: unknown) => void;
  readonly WebSocket?: typeof WebSocket;
  readonly fetch?: typeof fetch;
  readonly random?: () => number;
}

export type StateListener = (state: ConnectionState, error?: TidewireError) => void;

const CONFIG_TIMEOUT_MS = 10_000;
const HEARTBEAT_MIN_MS = 5_000;

export class Tidewire {
  readonly #options: TidewireOptions;
  readonly #random: { readonly random?: () => number };
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #recovery: Recovery;
  readonly #channels = new Map<string, Channel>();
  readonly #states = new Set<StateListener>();
  #websocketUrl: string | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #userId: string | undefined;

  constructor(options: TidewireOptions) {
    this.#options = options;
    this.#websocketUrl = options.websocketUrl;
    this.#random = options.random ? { random: options.random } : {};
    this.#connection = new Connection({
      url: () => this.#url(),
      token: options.getToken,
      open: this.#transport(),
      onPush: (push) => this.#push(push),
      onState: (state, error) => this.#changed(state, error),
      onConnected: (hello) => {
        // However busy: API Gateway closes what is silent for 10 minutes, and a loss may show in nothing else.
        const heartbeatMs = Math.max(HEARTBEAT_MIN_MS, hello.heartbeat_s * 1000);
        this.#heartbeat = setInterval(() => this.#recovery.sync(), heartbeatMs);
        this.#userId = hello.user_id;
        this.#channels.forEach((channel) => channel.connected());
        this.#outbox.connected();
      },
      ...this.#random,
    });
    this.#outbox = new Outbox({
      ask: (requests) => this.#connection.ask(requests),
      connected: () => this.state === "connected",
      report: (error) => this.#report(error),
      ...this.#random,
    });
    this.#recovery = new Recovery({
      ask: (request) => this.#ask(request),
      connected: () => this.state === "connected",
      deliver: (event) => this.#channels.get(event.channel)?.deliver(event),
      startOver: (channel) => this.#channels.get(channel)?.startOver(),
      report: (error) => this.#report(error),
    });
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** Who the server says we are; `undefined` before the first connection. */
  get userId(): string | undefined {
    return this.#userId;
  }

  /** Connect now; the first `channel()` call does it as well. After `close()`, or an end for good, it begins anew. */
  connect(): void {
    if (typeof addEventListener === "function") addEventListener("online", this.#wake);
    if (typeof document !== "undefined") document.addEventListener("visibilitychange", this.#wake);
    this.#connection.open();
  }

  /** The channel of that name: always the same object for the same name. */
  channel(name: string): Channel {
    let channel = this.#channels.get(name);
    if (!channel) {
      channel = new Channel(name, {
        ask: (request) => this.#ask(request),
        publish: (frame) => this.#publish(frame),
        recovery: this.#recovery,
        connected: () => this.state === "connected",
        report: (error) => this.#report(error),
        ...this.#random,
      });
      this.#channels.set(name, channel);
    }
    if (this.state === "idle") this.connect();
    return channel;
  }

  /** Be told of each change of the connection's state. Returns a function that ends it. */
  onState(listener: StateListener): () => void {
    this.#states.add(listener);
    return () => void this.#states.delete(listener);
  }

  /** End it: what waits is refused. */
  close(): void {
    this.#connection.close();
  }

  readonly #wake = (): void => {
    if (typeof document !== "undefined" && document.visibilityState === "hidden") return;
    this.#connection.hurry();
    this.#recovery.sync();
  };

  #ask(request: Asked): Promise<unknown> {
    return this.#connection.ask([request])[0] as Promise<unknown>;
  }

  async #publish(frame: Publish): Promise<PublishResult> {
    if (this.state === "closed") throw closed("the client is closed");
    return this.#outbox.add(frame);
  }

  #push(push: Push): void {
    if (push.type === "event") this.#recovery.event(push);
    else if (push.type === "system" && push.channel) {
      if (push.event === "lagged" && push.position) this.#recovery.behind({ [push.channel]: push.position });
      else if (push.event === "resubscribe") this.#channels.get(push.channel)?.resubscribe();
    }
  }

  #changed(state: ConnectionState, error: TidewireError | undefined): void {
    if (state !== "connected") {
      clearInterval(this.#heartbeat);
      this.#recovery.disconnected();
    }
    if (state === "closed") this.#ended(error);
    for (const listener of this.#states) {
      try {
        listener(state, error);
      } catch (thrown) {
        this.#report(thrown);
      }
    }
  }

  #ended(error = closed("the client was closed")): void {
    this.#outbox.clear(error);
    this.#channels.forEach((channel) => channel.closed(error));
    if (typeof removeEventListener === "function") removeEventListener("online", this.#wake);
    if (typeof document !== "undefined") document.removeEventListener("visibilitychange", this.#wake);
  }

  async #url(): Promise<string> {
    if (this.#websocketUrl === undefined) {
      const origin = this.#options.httpUrl ?? location.origin;
      const signal = AbortSignal.timeout(CONFIG_TIMEOUT_MS);
      const response = await (this.#options.fetch ?? fetch)(`${origin}/v1/config`, { signal });
      if (!response.ok) throw new Error(`GET /v1/config answered ${response.status}`);
      this.#websocketUrl = ((await response.json()) as { websocket_url: string }).websocket_url;
    }
    return this.#websocketUrl;
  }

  #transport(): OpenTransport {
    return (url, handlers) => webSocketTransport(this.#options.WebSocket ?? WebSocket)(url, handlers);
  }

  #report(error: unknown): void {
    (this.#options.onError ?? console.error)(error);
  }
}
