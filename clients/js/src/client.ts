// The client: one connection, its channels, and the checks that nothing was missed.

import { Channel } from "./channel.js";
import { Connection, type Asked, type ConnectionState } from "./connection.js";
import { TidewireError, closed } from "./errors.js";
import type { Position, PublishResult, Push, SyncResult } from "./generated/frames.js";
import { Outbox, type Publish } from "./outbox.js";
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
const SYNC_AFTER_QUIET_MS = 5_000;
// The server takes 100 positions in one request; this many of the longest names stay well below a frame's size, too.
const SYNC_MAX_CHANNELS = 50;

export class Tidewire {
  readonly #options: TidewireOptions;
  readonly #random: { readonly random?: () => number };
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #channels = new Map<string, Channel>();
  readonly #states = new Set<StateListener>();
  #websocketUrl: string | undefined;
  #heartbeatMs = 540_000;
  #syncTimer: ReturnType<typeof setTimeout> | undefined;
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
        this.#heartbeatMs = Math.max(SYNC_AFTER_QUIET_MS, hello.heartbeat_s * 1000);
        this.#userId = hello.user_id;
        this.#channels.forEach((channel) => channel.connected());
        this.#outbox.connected();
        this.#syncLater();
      },
      ...this.#random,
    });
    this.#outbox = new Outbox({
      ask: (requests) => this.#connection.ask(requests),
      connected: () => this.state === "connected",
      ...this.#random,
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
    void this.#sync();
  };

  #ask(request: Asked): Promise<unknown> {
    return this.#connection.ask([request])[0] as Promise<unknown>;
  }

  async #publish(frame: Publish): Promise<PublishResult> {
    if (this.state === "closed") throw closed("the client is closed");
    return this.#outbox.add(frame);
  }

  #push(push: Push): void {
    if (push.type === "event") {
      this.#syncLater();
      this.#channels.get(push.channel)?.receive(push);
    } else if (push.type === "system" && push.channel) {
      const channel = this.#channels.get(push.channel);
      if (push.event === "lagged") channel?.behind();
      else if (push.event === "resubscribe") channel?.resubscribe();
    }
  }

  #changed(state: ConnectionState, error: TidewireError | undefined): void {
    if (state !== "connected") {
      clearTimeout(this.#syncTimer);
      this.#channels.forEach((channel) => channel.disconnected());
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

  #syncLater(delayMs = SYNC_AFTER_QUIET_MS): void {
    clearTimeout(this.#syncTimer);
    this.#syncTimer = this.state === "connected" ? setTimeout(() => void this.#sync(), delayMs) : undefined;
  }

  /** Ask which streams go further than we know: the loss of a last push shows in no later offset. */
  async #sync(): Promise<void> {
    // Traffic that comes while it is under way, or its failure, puts the next one sooner.
    this.#syncLater(this.#heartbeatMs);
    const known = [...this.#channels.values()].flatMap(({ name, subscribed, position }) =>
      subscribed && position ? [[name, position] as const] : [],
    );
    try {
      // Without channels it is the heartbeat alone: API Gateway closes what is silent for 10 minutes.
      for (let start = 0; start === 0 || start < known.length; start += SYNC_MAX_CHANNELS) {
        const positions: Record<string, Position> = Object.fromEntries(known.slice(start, start + SYNC_MAX_CHANNELS));
        const { behind } = (await this.#ask({ type: "sync", positions })) as SyncResult;
        for (const name of Object.keys(behind)) this.#channels.get(name)?.behind();
      }
    } catch (error) {
      if (this.state !== "connected") return; // the next connection asks again
      if (error instanceof TidewireError && error.retryable) this.#syncLater(error.retryAfterMs);
      else this.#report(error);
    }
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
