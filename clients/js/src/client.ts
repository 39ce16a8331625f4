// The client: one connection, its channels, and the checks that nothing was missed.

import { Channel } from "./channel.js";
import { Connection, type Asked, type ConnectionState } from "./connection.js";
import type { TidewireError } from "./errors.js";
import type { Position, Push, SyncResult } from "./generated/frames.js";
import { Outbox } from "./outbox.js";
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

const SYNC_AFTER_QUIET_MS = 5_000;

export class Tidewire {
  readonly #options: TidewireOptions;
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #channels = new Map<string, Channel>();
  readonly #states = new Set<StateListener>();
  #websocketUrl: string | undefined;
  #heartbeatMs = 540_000;
  #quietTimer: ReturnType<typeof setTimeout> | undefined;
  #userId: string | undefined;

  constructor(options: TidewireOptions) {
    this.#options = options;
    this.#websocketUrl = options.websocketUrl;
    const random = options.random ? { random: options.random } : {};
    this.#connection = new Connection({
      url: () => this.#url(),
      token: options.getToken,
      open: this.#transport(),
      onPush: (push) => this.#push(push),
      onState: (state, error) => this.#changed(state, error),
      onConnected: (hello) => {
        this.#heartbeatMs = hello.heartbeat_s * 1000;
        this.#userId = hello.user_id;
        this.#channels.forEach((channel) => channel.connected());
        this.#outbox.flush();
        this.#syncLater(SYNC_AFTER_QUIET_MS);
      },
      ...random,
    });
    this.#outbox = new Outbox({
      ask: (requests) => this.#connection.ask(requests),
      connected: () => this.state === "connected",
      ...random,
    });
    if (typeof addEventListener === "function") addEventListener("online", this.#wake);
    if (typeof document !== "undefined") document.addEventListener("visibilitychange", this.#wake);
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** Who the server says we are; `undefined` before the first connection. */
  get userId(): string | undefined {
    return this.#userId;
  }

  /** Connect now; a first `channel()` call does it as well. */
  connect(): void {
    this.#connection.open();
  }

  /** The channel of that name: always the same object for the same name. */
  channel(name: string): Channel {
    let channel = this.#channels.get(name);
    if (!channel) {
      channel = new Channel(name, {
        ask: (request) => this.#ask(request),
        publish: (frame) => this.#outbox.add(frame),
        connected: () => this.state === "connected",
        report: (error) => this.#report(error),
      });
      this.#channels.set(name, channel);
    }
    this.connect();
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
    this.#outbox.clear();
    clearTimeout(this.#quietTimer);
    if (typeof removeEventListener === "function") removeEventListener("online", this.#wake);
    if (typeof document !== "undefined") document.removeEventListener("visibilitychange", this.#wake);
  }

  readonly #wake = (): void => {
    if (typeof document !== "undefined" && document.visibilityState === "hidden") return;
    this.#connection.hurry();
    if (this.state === "connected") void this.#sync();
  };

  #ask(request: Asked): Promise<unknown> {
    return this.#connection.ask([request])[0] as Promise<unknown>;
  }

  #push(push: Push): void {
    if (push.type !== "event") return;
    this.#channels.get(push.channel)?.receive(push);
    this.#syncLater(SYNC_AFTER_QUIET_MS);
  }

  #changed(state: ConnectionState, error: TidewireError | undefined): void {
    if (state !== "connected") {
      clearTimeout(this.#quietTimer);
      this.#channels.forEach((channel) => channel.disconnected());
    }
    if (state === "closed") this.#outbox.clear();
    for (const listener of this.#states) {
      try {
        listener(state, error);
      } catch (thrown) {
        this.#report(thrown);
      }
    }
  }

  #syncLater(delayMs: number): void {
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => void this.#sync(), delayMs);
  }

  /** Ask which streams go further than we know: the loss of a last push shows in no later offset. */
  async #sync(): Promise<void> {
    clearTimeout(this.#quietTimer);
    const positions: Record<string, Position> = {};
    for (const [name, channel] of this.#channels) {
      if (channel.subscribed && channel.position) positions[name] = channel.position;
    }
    try {
      // Without channels it is the heartbeat alone: API Gateway closes what is silent for 10 minutes.
      const result = (await this.#ask({ type: "sync", positions })) as SyncResult;
      for (const name of Object.keys(result.behind)) this.#channels.get(name)?.behind();
    } catch (error) {
      if (!(error as TidewireError).retryable) this.#report(error);
    }
    if (this.state === "connected") this.#syncLater(this.#heartbeatMs);
  }

  async #url(): Promise<string> {
    if (this.#websocketUrl === undefined) {
      const origin = this.#options.httpUrl ?? location.origin;
      const response = await (this.#options.fetch ?? fetch)(`${origin}/v1/config`);
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
