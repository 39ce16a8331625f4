// The client: puts one connection, its channels, their recovery and the outbox together.

import { Channel, type ChannelHost } from "./channel.js";
import { Connection, type ConnectionState, type Ways } from "./connection.js";
import { TidewireError, closed } from "./errors.js";
import type { HelloResult, PublishResult, Push, System } from "./generated/frames.js";
import type { Asked } from "./link.js";
import { Outbox, type Publish } from "./outbox.js";
import { Recovery } from "./recovery.js";
import { httpTransport } from "./transports/http.js";
import type { Endpoints } from "./transports/transport.js";
import { webSocketTransport } from "./transports/websocket.js";

/** The ways to the server, the best first: what they are called in `GET /v1/config`. */
export const WAYS = ["websocket", "sse", "stream", "long_poll", "short_poll"] as const;
export type Way = (typeof WAYS)[number];

export interface TidewireOptions {
  /** Origin of the HTTP API; the page's own unless given. */
  readonly httpUrl?: string;
  /** Returns a token; `fresh` when the last one was refused, or is about to end. */
  readonly getToken: (fresh: boolean) => Promise<string>;
  /** Ways that may be taken, in any order; all unless given. */
  readonly transports?: readonly Way[];
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
const REMEMBERED_MS = 1_800_000; // the way that worked

/** The client without what channels may have beside events: {@link Tidewire} of `index.ts` has it all. */
export class Client<C extends Channel = Channel> {
  readonly #options: TidewireOptions;
  readonly #random: { readonly random?: () => number };
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #recovery: Recovery;
  readonly #channels = new Map<string, C>();
  readonly #states = new Set<StateListener>();
  #endpoints: Endpoints | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #userId: string | undefined;

  constructor(options: TidewireOptions) {
    this.#options = options;
    this.#random = options.random ? { random: options.random } : {};
    this.#connection = new Connection({
      endpoints: () => this.#find(),
      token: options.getToken,
      ways: this.#ways(),
      fetch: this.#fetch,
      remembered: this.#remembered(),
      onPush: (push) => this.#push(push),
      onState: (state, error) => this.#changed(state, error),
      onConnected: (hello) => this.#connected(hello),
      ...this.#random,
    });
    this.#outbox = new Outbox({
      ask: (requests) => this.#connection.ask(requests),
      connected: () => this.state === "connected",
      report: (error) => this.#report(error),
      ...this.#random,
    });
    this.#recovery = new Recovery({
      ask: (request) => this.ask(request),
      connected: () => this.state === "connected",
      deliver: (event) => this.#channels.get(event.channel)?.deliver(event),
      startOver: (channel) => this.#channels.get(channel)?.startOver(),
      report: (error) => this.report(error),
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
    this.#listen("addEventListener");
    this.#connection.open();
  }

  /** The way to the server that is in use, or was last; `undefined` before the first connection. */
  get transport(): Way | undefined {
    return this.#connection.way as Way | undefined;
  }

  /** The channel of that name: always the same object for the same name. */
  channel(name: string): C {
    let channel = this.#channels.get(name);
    if (!channel) {
      channel = this.makeChannel(name, {
        ask: (request) => this.ask(request),
        publish: (frame) => this.#publish(frame),
        recovery: this.#recovery,
        connected: () => this.state === "connected",
        report: (error) => this.report(error),
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

  // For those who extend it.

  protected makeChannel(name: string, host: ChannelHost): C {
    return new Channel(name, host) as C;
  }

  protected ask(request: Asked, timeoutMs?: number): Promise<unknown> {
    return this.#connection.ask([request], timeoutMs)[0] as Promise<unknown>;
  }

  /** Something was pushed that is nobody's yet. */
  protected pushed(_push: Push): void {
    // the core has no more
  }

  protected report(error: unknown): void {
    (this.#options.onError ?? console.error)(error);
  }

  #listen(how: "addEventListener" | "removeEventListener"): void {
    globalThis.document?.[how]("visibilitychange", this.#wake);
    const page = globalThis[how]?.bind(globalThis); // a server has none
    for (const name of ["online", "offline"]) page?.(name, this.#wake);
    page?.("pageshow", this.#shown as EventListener);
    page?.("pagehide", this.#hidden as EventListener);
  }

  readonly #wake = (): void => {
    if (globalThis.document?.visibilityState === "hidden") return;
    this.#connection.wake();
    if (this.state === "connected") this.#check();
  };

  // A page with an open connection is not kept for the way back.
  readonly #hidden = (event: PageTransitionEvent): void => {
    if (event.persisted) this.#connection.suspend();
  };

  readonly #shown = (event: PageTransitionEvent): void => {
    if (event.persisted) this.#connection.wake();
  };

  #connected(hello: HelloResult): void {
    // However busy: API Gateway closes what is silent for 10 minutes, and a loss may show in nothing else.
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => this.#check(), Math.max(HEARTBEAT_MIN_MS, hello.heartbeat_s * 1000));
    this.#userId = hello.user_id;
    this.#channels.forEach((channel) => channel.connected());
    this.#outbox.connected();
  }

  #check(): void {
    this.#recovery.sync();
    this.#channels.forEach((channel) => channel.check());
  }

  async #publish(frame: Publish): Promise<PublishResult> {
    if (this.state === "closed") throw closed("the client is closed");
    return this.#outbox.add(frame);
  }

  #push(push: Push): void {
    if (push.type === "event") return this.#recovery.event(push);
    if (push.type === "system") return this.#system(push);
    const channel = "channel" in push && this.#channels.get(push.channel);
    if (channel) channel.push(push);
    else this.pushed(push);
  }

  #system({ event, channel, position }: System): void {
    if (!channel) return;
    if (event === "lagged" && position) {
      this.#recovery.behind({ [channel]: position });
      this.#channels.get(channel)?.check();
    } else if (event === "resubscribe") this.#channels.get(channel)?.resubscribe();
  }

  #changed(state: ConnectionState, error: TidewireError | undefined): void {
    if (state !== "connected") {
      clearInterval(this.#heartbeat);
      this.#recovery.disconnected();
      this.#channels.forEach((channel) => channel.disconnected());
    }
    if (state === "closed") this.#ended(error);
    for (const listener of this.#states) {
      try {
        listener(state, error);
      } catch (thrown) {
        this.report(thrown);
      }
    }
  }

  #ended(error = closed("the client was closed")): void {
    this.#outbox.clear(error);
    this.#channels.forEach((channel) => channel.closed(error));
    this.#listen("removeEventListener");
  }

  async #find(): Promise<Endpoints> {
    if (!this.#endpoints) {
      const { websocketUrl, httpUrl = globalThis.location?.origin } = this.#options;
      if (websocketUrl) return (this.#endpoints = { websocketUrl, httpUrl, streamUrl: httpUrl });
      const signal = AbortSignal.timeout(CONFIG_TIMEOUT_MS);
      const response = await this.#fetch(`${httpUrl}/v1/config`, { signal });
      if (!response.ok) throw new Error(`GET /v1/config answered ${response.status}`);
      const config = (await response.json()) as Record<"websocket_url" | "http_url" | "stream_url", string>;
      const { websocket_url, http_url = httpUrl, stream_url = http_url } = config;
      this.#endpoints = { websocketUrl: websocket_url, httpUrl: http_url, streamUrl: stream_url };
    }
    return this.#endpoints;
  }

  // Looked up with each call: a page may replace them.
  readonly #fetch: typeof fetch = (...request) => (this.#options.fetch ?? fetch)(...request);

  #ways(): Ways {
    const { transports = WAYS } = this.#options;
    const ways: Record<string, Ways[string]> = {};
    for (const way of WAYS) {
      if (!transports.includes(way)) continue;
      ways[way] =
        way === "websocket"
          ? (...opening) => webSocketTransport(this.#options.WebSocket ?? WebSocket)(...opening)
          : httpTransport(way, this.#fetch);
    }
    return ways;
  }

  #remembered(): { get(): string | null; set(way: string): void } {
    const key = `tidewire-way ${this.#options.httpUrl ?? ""}`;
    return {
      get: () => {
        const [way = null, atMs] = this.#storage()?.getItem(key)?.split(" ") ?? [];
        return Date.now() - Number(atMs) < REMEMBERED_MS ? way : null;
      },
      set: (way) => {
        try {
          this.#storage()?.setItem(key, `${way} ${Date.now()}`);
        } catch {
          // It is full: the next page tries the ways in their order.
        }
      },
    };
  }

  #storage(): Storage | undefined {
    try {
      return globalThis.localStorage;
    } catch {
      return undefined; // forbidden by the browser's settings
    }
  }
}
