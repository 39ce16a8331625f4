// The client: puts one connection, its channels, their recovery and the outbox together.

import { TIMER_MAX_MS } from "./backoff.js";
import { Channel, type ChannelHost } from "./channel.js";
import { Connection, type ConnectionOptions, type ConnectionState, type Ways } from "./connection.js";
import { closed, uncertain, type TidewireError } from "./errors.js";
import type { HelloResult, PublishResult, Push, System } from "./generated/frames.js";
import type { Asked } from "./link.js";
import { Outbox, type Publish } from "./outbox.js";
import { Recovery } from "./recovery.js";
import type { Endpoints } from "./transports/transport.js";
import { finder, realWays, type Deployment, type Way } from "./ways.js";

export interface ClientOptions extends Deployment {
  /**
   * Returns a token, within 30 seconds. With `fresh` it has to be a new one: the last one was refused, has ended, or ends
   * soon; then the connection goes on with the new one.
   */
  readonly getToken: (fresh: boolean) => Promise<string>;
  /** Is told of errors that belong to nobody: a listener that threw, a subscription lost for good. Default: console. */
  readonly onError?: (error: unknown) => void;
  readonly WebSocket?: typeof WebSocket;
  readonly fetch?: typeof fetch;
  readonly random?: () => number;
}

export type StateListener = (state: ConnectionState, error?: TidewireError) => void;

const HEARTBEAT_MIN_MS = 5_000;
const STANDING_MS = 10_000;
const TOKEN_MS = 30_000;
const REMEMBERED_MS = 1_800_000; // the way that worked

/** The client without what channels may have beside events: `Tidewire` has it all. */
export class Client<C extends Channel = Channel> {
  readonly #options: ClientOptions;
  readonly #host: ChannelHost;
  readonly #connection: Connection;
  protected readonly outbox: Outbox;
  readonly #recovery: Recovery;
  protected readonly channels = new Map<string, C>();
  readonly #states = new Set<StateListener>();
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #userId: string | undefined;
  #way: string | undefined; // as it was told
  readonly #waiting = new Set<(error?: TidewireError) => void>(); // for a connection
  #ready = false; // what earlier pages left goes first

  constructor(options: ClientOptions) {
    this.#options = options;
    this.find = finder(options, this.fetch);
    this.remembered = remembered(`tidewire-way ${options.httpUrl ?? ""}`);
    const random = options.random ? { random: options.random } : {};
    const host = {
      ask: (request: Asked) => this.ask(request),
      connected: () => this.state === "connected",
      report: (error: unknown) => this.report(error),
      ...random,
    };
    this.#connection = new Connection({
      ...host,
      endpoints: () => this.find(),
      token: (fresh) => this.token(fresh),
      ways: () => this.ways(),
      fetch: this.fetch,
      remembered: this.remembered,
      onPush: (push) => this.#push(push),
      onState: (state, error) => this.#changed(state, error),
      onConnected: (hello) => void this.#connected(hello),
    });
    this.outbox = new Outbox({
      ...host,
      ask: (requests) => this.#connection.ask(requests),
      connected: () => this.#ready,
    });
    this.#recovery = new Recovery({
      ...host,
      deliver: (event) => this.channels.get(event.channel)?.deliver(event),
      startOver: (channel, position) => this.channels.get(channel)?.startOver(position),
      resubscribe: (channel) => this.channels.get(channel)?.resubscribe(),
    });
    this.#host = {
      ...host,
      standing: () => this.standing(),
      publish: (frame, offline) => this.publish(frame, offline),
      recovery: this.#recovery,
    };
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

  /** The way to the server that is in use, or was last; `tabs`: that of another tab; `undefined` before the first connection. */
  get transport(): Way | "tabs" | undefined {
    return this.#connection.way as Way | "tabs" | undefined;
  }

  /** The channel of that name: always the same object for the same name. */
  channel(name: string): C {
    let channel = this.channels.get(name);
    if (!channel) {
      channel = this.makeChannel(name, this.#host);
      this.channels.set(name, channel);
    }
    if (this.state === "idle") this.connect();
    return channel;
  }

  /** Be told of each change of the connection's state, or of `transport`. Returns a function that ends it. */
  onState(listener: StateListener): () => void {
    this.#states.add(listener);
    return () => void this.#states.delete(listener);
  }

  /** End it: what waits is refused. */
  close(): void {
    this.#connection.close();
  }

  // For those who extend it.

  /** Where the deployment is. */
  protected readonly find: () => Promise<Endpoints>;

  protected readonly remembered: NonNullable<ConnectionOptions["remembered"]>;

  // Looked up with each call: a page may replace it.
  protected readonly fetch: typeof fetch = (...request) => (this.#options.fetch ?? fetch)(...request);

  protected ways(): Ways {
    return realWays(this.#options, this.fetch, this.#options.WebSocket);
  }

  protected async token(fresh: boolean): Promise<string> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(uncertain("no token came")), TOKEN_MS);
    });
    try {
      return await Promise.race([this.#options.getToken(fresh), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Hello was answered: what is returned is awaited before channels are subscribed to and what waits is sent. */
  protected greeted(_hello: HelloResult): Promise<void> | undefined {
    return undefined;
  }

  /** The page or the network has woken. */
  protected woken(): void {
    // nothing more here
  }

  /** The page is put aside, or the client was closed. */
  protected letGo(): void {
    // nothing more here
  }

  /** What time it is for the server, in Unix milliseconds. */
  protected now(): number {
    return this.#connection.now();
  }

  protected async publish(frame: Publish, offline = false): Promise<PublishResult> {
    if (this.state === "closed") throw closed();
    if (this.state === "idle") this.connect();
    return this.outbox.add(frame, { offline });
  }

  protected makeChannel(name: string, host: ChannelHost): C {
    return new Channel(name, host) as C;
  }

  protected ask(request: Asked, timeoutMs?: number): Promise<unknown> {
    return this.#connection.ask([request], timeoutMs)[0] as Promise<unknown>;
  }

  /** Resolves when something can be asked; refused when that takes too long, or never will be. */
  protected standing(): Promise<void> {
    if (this.state === "idle") this.connect();
    return new Promise((resolve, reject) => {
      const wake = (error?: TidewireError): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        if (error) reject(error);
        else resolve();
      };
      const timer = setTimeout(() => wake(uncertain("not connected")), STANDING_MS);
      this.#waiting.add(wake);
      if (this.#ready) wake();
      else if (this.state === "closed") wake(closed());
    });
  }

  /** Something was pushed that is nobody's yet. */
  protected pushed(_push: Push): void {
    // nothing more here
  }

  protected report(error: unknown): void {
    (this.#options.onError ?? console.error)(error);
  }

  #listen(how: "addEventListener" | "removeEventListener"): void {
    globalThis.document?.[how]("visibilitychange", this.#wake);
    // A server has none of it.
    for (const name of ["online", "offline"]) globalThis[how]?.(name, this.#wake);
    globalThis[how]?.("pageshow", this.#shown as EventListener);
    globalThis[how]?.("pagehide", this.#hidden as EventListener);
  }

  readonly #wake = (): void => {
    if (globalThis.document?.visibilityState === "hidden") return;
    this.#connection.wake();
    this.woken();
    if (this.state === "connected") this.#check();
  };

  // A page with an open connection is not kept for the way back.
  readonly #hidden = (event: PageTransitionEvent): void => {
    if (!event.persisted) return;
    this.#connection.suspend();
    this.letGo();
  };

  readonly #shown = (event: PageTransitionEvent): void => {
    if (event.persisted) this.#connection.wake();
  };

  async #connected(hello: HelloResult): Promise<void> {
    // However busy: API Gateway closes what is silent for 10 minutes, and a loss may show in nothing else.
    clearInterval(this.#heartbeat);
    const everyMs = Math.min(Math.max(HEARTBEAT_MIN_MS, hello.heartbeat_s * 1000), TIMER_MAX_MS);
    this.#heartbeat = setInterval(() => this.#check(), everyMs);
    // What is here is one user's: documents, positions, what waits to be sent.
    if ((this.#userId ??= hello.user_id) !== hello.user_id)
      return this.#connection.close(closed("another user's token"));
    if (this.#way !== this.#connection.way) this.#tell("connected"); // without a loss
    const greeting = this.greeted(hello);
    if (greeting) await greeting;
    if (this.state !== "connected") return;
    this.channels.forEach((channel) => channel.connected());
    this.#ready = true;
    this.#waiting.forEach((wake) => wake());
    this.outbox.connected();
  }

  #check(): void {
    this.#recovery.sync();
    this.channels.forEach((channel) => channel.check());
  }

  #push(push: Push): void {
    if (push.type === "event") return this.#recovery.event(push);
    if (push.type === "system") return this.#system(push);
    const channel = "channel" in push && this.channels.get(push.channel);
    if (channel) channel.push(push);
    else this.pushed(push);
  }

  #system({ event, channel, position }: System): void {
    if (!channel) return;
    if (event === "lagged" && position) {
      this.#recovery.behind({ [channel]: position });
      this.channels.get(channel)?.check();
    } else if (event === "resubscribe") this.channels.get(channel)?.resubscribe();
  }

  #changed(state: ConnectionState, error: TidewireError | undefined): void {
    if (state !== "connected") {
      this.#ready = false;
      clearInterval(this.#heartbeat);
      this.#recovery.disconnected();
      this.channels.forEach((channel) => channel.disconnected());
    }
    if (state === "closed") this.#ended(error);
    this.#tell(state, error);
  }

  #tell(state: ConnectionState, error?: TidewireError): void {
    this.#way = this.#connection.way;
    for (const listener of this.#states) {
      try {
        listener(state, error);
      } catch (thrown) {
        this.report(thrown);
      }
    }
  }

  #ended(error = closed()): void {
    this.letGo();
    this.#waiting.forEach((wake) => wake(error));
    this.outbox.clear(error);
    this.channels.forEach((channel) => channel.closed(error));
    this.#listen("removeEventListener");
  }
}

/** The way that worked, for half an hour, under this key; of no use where there is no storage, or none is allowed. */
function remembered(key: string): NonNullable<ConnectionOptions["remembered"]> {
  return {
    get: () => {
      try {
        const [way = null, atMs] = localStorage.getItem(key)?.split(" ") ?? [];
        return Date.now() - Number(atMs) < REMEMBERED_MS ? way : null;
      } catch {
        return null;
      }
    },
    set: (way) => {
      if (way === "tabs") return; // which way theirs has taken they remember themselves
      try {
        localStorage.setItem(key, `${way} ${Date.now()}`);
      } catch {
        // The next page tries the ways in their order.
      }
    },
  };
}
