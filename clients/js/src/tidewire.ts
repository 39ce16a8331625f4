// The client with everything: documents, presence, commands, one connection for all tabs, and what outlives the page.

import { Channel, type ChannelHost, type Events, type PublishOptions } from "./channel.js";
import { Client, type ClientOptions } from "./client.js";
import { Commands, type CommandHandler, type CommandOptions } from "./commands.js";
import { Connection, type Ways } from "./connection.js";
import { Documents, type Document, type DocumentsHost } from "./documents.js";
import { TidewireError, isPassing, uncertain } from "./errors.js";
import type { ErrorObject, HelloResult, PublishResult, Push, Send } from "./generated/frames.js";
import { IndexedDbStore } from "./indexeddb.js";
import { Presence } from "./presence.js";
import type { Kept, Store } from "./store.js";
import { shareTabs, type Tabs } from "./tabs/tabs.js";
import type { OpenTransport } from "./transports/transport.js";

export interface TidewireOptions extends ClientOptions {
  /** Whether the tabs of one browser and user have one connection together; they do unless this is `false`. */
  readonly shareTabs?: boolean;
  /** The script of `tidewire/worker`: then a SharedWorker has that connection, else one of the tabs. */
  readonly sharedWorker?: string | URL;
  /** Whether documents, and what was written with `offline`, outlive the page; they do unless this is `false`. */
  readonly persist?: boolean;
}

const READ_TIMEOUT_MS = 30_000;

/** A channel with everything. */
export class LiveChannel<E extends Events = Events> extends Channel<E> {
  /** Who is there; touched by `join()` at the latest. */
  readonly presence: Presence;
  readonly #documentsHost: DocumentsHost;
  readonly #report: (error: unknown) => void;
  #documents: Documents | undefined;

  /** @internal */
  constructor(name: string, host: ChannelHost, documents: DocumentsHost, userId: () => string | undefined) {
    super(name, host);
    this.#documentsHost = documents;
    this.#report = host.report;
    this.presence = this.add(new Presence(name, { ...host, userId, resubscribe: () => this.rejoin() }));
  }

  /** The state document of that key: always the same object for the same key. The channel is subscribed to for it. */
  document<T = unknown>(key: string): Document<T> {
    if (!this.#documents || !this.subscribed) {
      const documents = this.#withDocuments();
      this.rejoin().catch((error: unknown) => isPassing(error) || this.#report(error));
      void documents.prepare();
    }
    return this.#withDocuments().document<T>(key);
  }

  /** What is kept can be read from now on. @internal */
  async prepare(): Promise<void> {
    await this.#documents?.prepare();
  }

  /** Take up what an earlier page has left. @internal */
  async restore(kept: Kept): Promise<void> {
    const documents = this.#withDocuments();
    this.want();
    await documents.prepare();
    documents.restore(kept);
  }

  protected override want(): void {
    super.want();
    if (this.#documents) this.#documents.over = undefined;
  }

  #withDocuments(): Documents {
    return (this.#documents ??= this.add(new Documents(this.name, this.#documentsHost)));
  }
}

export class Tidewire extends Client<LiveChannel> {
  readonly #options: TidewireOptions;
  readonly #commands: Commands;
  #store: Store | undefined;
  #storeOf: string | undefined;
  #tabs: Tabs | undefined;
  #tabsOf: string | undefined;
  #user: string | undefined; // by the last token

  constructor(options: TidewireOptions) {
    super(options);
    this.#options = options;
    this.#commands = new Commands({
      ask: (request, timeoutMs) => this.ask(request, timeoutMs),
      now: () => this.now(),
      report: (error) => this.report(error),
    });
  }

  override channel<E extends Events = Events>(name: string): LiveChannel<E> {
    return super.channel(name) as unknown as LiveChannel<E>;
  }

  /** Have the server, or a peer, do something. Resolves with the answer. */
  async command(name: string, data?: unknown, options?: CommandOptions): Promise<unknown> {
    await this.standing();
    return this.#commands.ask(name, data, options);
  }

  /** Do what peers ask for by this name. Returns a function that ends it. */
  onCommand(name: string, handler: CommandHandler): () => void {
    return this.#commands.on(name, handler);
  }

  /** Send to a user, or to one connection; resolves when the server has it for good. */
  send(to: Send["to"], name: string, data: unknown, options: Pick<PublishOptions, "messageId" | "receipt"> = {}) {
    const { messageId = crypto.randomUUID(), ...rest } = options;
    return this.publish({ type: "send", to, name, data, message_id: messageId, ...rest }) as Promise<PublishResult>;
  }

  /** End it, and forget all that is kept of this user in this browser. */
  async logout(): Promise<void> {
    const store = this.#store;
    this.close();
    await store?.wipe();
  }

  protected override makeChannel(name: string, host: ChannelHost): LiveChannel {
    const client = this;
    const documents: DocumentsHost = {
      ask: host.ask,
      report: host.report,
      readDocument: (key) => this.#readDocument(name, key),
      get store() {
        return client.#store;
      },
    };
    return new LiveChannel(name, host, documents, () => this.userId);
  }

  protected override pushed(push: Push): void {
    if (push.type === "command") this.#commands.push(push);
  }

  protected override async token(fresh: boolean): Promise<string> {
    const token = await super.token(fresh);
    this.#user = subject(token);
    if (this.#user !== undefined) this.#open(this.#user);
    return token;
  }

  protected override async greeted({ user_id }: HelloResult): Promise<void> {
    this.#open(user_id);
    for (const kept of (await this.#store?.left()) ?? []) {
      if (kept.request.type === "publish" || kept.request.type === "send") this.outbox.restore(kept);
      else await super.channel(kept.request.channel).restore(kept);
    }
  }

  protected override ways(): Ways {
    const open = this.#options.shareTabs === false || !globalThis.document ? undefined : this.#shared();
    return open ? { tabs: open } : super.ways();
  }

  protected override woken(): void {
    this.#tabs?.wake();
  }

  protected override letGo(): void {
    this.#tabs?.close();
    if (this.state !== "closed") return;
    this.outbox.store = undefined;
    this.#store?.close();
    this.#store = this.#storeOf = undefined;
  }

  /** Keep things for this user from now on. */
  #open(user: string): void {
    if (this.#options.persist === false || !globalThis.indexedDB || user === this.#storeOf) return;
    this.#store?.close();
    this.#storeOf = user;
    this.#store = new IndexedDbStore({ name: this.#name(user), report: (error) => this.report(error) });
    this.outbox.store = this.#store;
    this.channels.forEach((channel) => void channel.prepare());
  }

  #name(user: string): string {
    return `tidewire ${this.#options.httpUrl ?? globalThis.location?.origin} ${user}`;
  }

  /** Returns the way through the tabs' one connection, if they can share one. */
  #shared(): OpenTransport | undefined {
    const user = this.#user;
    if (user === undefined) return undefined;
    if (this.#tabsOf !== user) {
      this.#tabs?.close();
      const { sharedWorker, httpUrl = globalThis.location?.origin, websocketUrl, transports } = this.#options;
      this.#tabs = shareTabs({
        name: this.#name(user),
        sharedWorker,
        config: { httpUrl, websocketUrl, transports },
        token: (fresh) => this.token(fresh),
        makeConnection: (callbacks) =>
          new Connection({
            ...callbacks,
            endpoints: () => this.find(),
            ways: () => super.ways(),
            fetch: this.fetch,
            remembered: this.remembered,
          }),
        report: (error) => this.report(error),
      });
      this.#tabsOf = user;
    }
    return this.#tabs?.forbidden ? undefined : this.#tabs?.open;
  }

  async #readDocument(
    channel: string,
    key: string,
    fresh = false,
  ): Promise<{ version: number; value: unknown } | undefined> {
    const { httpUrl } = await this.find();
    const url = `${httpUrl}/v1/channels/${encodeURIComponent(channel)}/state/${encodeURIComponent(key)}`;
    const headers = { Authorization: `Bearer ${await this.token(fresh)}` };
    let response: Response;
    let answer: unknown;
    try {
      response = await this.fetch(url, { headers, signal: AbortSignal.timeout(READ_TIMEOUT_MS) });
      answer = await response.json();
    } catch {
      throw uncertain("the document could not be read");
    }
    if (response.ok) return { version: Number(JSON.parse(response.headers.get("ETag") ?? "0")), value: answer };
    if (response.status === 404) return undefined;
    // The connection may have one that is newer, of another tab.
    if (response.status === 401 && !fresh) return this.#readDocument(channel, key, true);
    throw new TidewireError(answer as ErrorObject);
  }
}

/** Whom a JWT is about; `undefined` if it is none. */
function subject(token: string): string | undefined {
  try {
    const claims = token.split(".")[1] as string;
    const text = atob(claims.replaceAll("-", "+").replaceAll("_", "/"));
    const { sub } = JSON.parse(decodeURIComponent(escape(text))) as { sub?: unknown };
    return typeof sub === "string" ? sub : undefined;
  } catch {
    return undefined; // the server tells
  }
}
