// A channel's state documents: what the server has of them, and on top of it what the user has written meanwhile.

import { backoffMs } from "./backoff.js";
import type { Asked } from "./link.js";
import { TidewireError, againAfterMs, closed, isPassing, tooLarge, uncertain } from "./errors.js";
import type {
  ChangesResult,
  DocumentsResult,
  Push,
  StateWriteResult,
  Subscribe,
  SubscribeResult,
} from "./generated/frames.js";
import { frozen, patched, same } from "./merge.js";
import type { ChannelPart } from "./part.js";
import { Replica, type StateGet, type Version } from "./replica.js";
import { size } from "./size.js";
import type { Kept, Store } from "./store.js";

export interface DocumentsHost {
  readonly ask: (request: Asked) => Promise<unknown>;
  /** Read a document of this channel by HTTP; `undefined` if there is none. */
  readonly readDocument: (key: string) => Promise<{ version: number; value: unknown } | undefined>;
  readonly report: (error: unknown) => void;
  readonly store?: Store | undefined;
  readonly random?: () => number;
}

export interface WriteOptions {
  /** Keep it until it is answered, even if the page goes. */
  readonly offline?: boolean;
}

/** A document as a write has left it. */
export interface WriteResult<T> {
  readonly version: number;
  /** `undefined`: it is deleted. */
  readonly value: T | undefined;
  /** `merged`: others have written as well, and the server has settled it. */
  readonly resolution: "applied" | "merged";
}

/** A merge patch (RFC 7396): members to put, and `null` for those that go. */
export type MergePatch<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: MergePatch<T[K]> | null }
    : T;

/** A write that was refused. */
export interface Conflict<T> {
  /** What the write would have made of the document. */
  readonly mine: T | undefined;
  /** How the document is. */
  readonly current: T | undefined;
  /** Why: `version_conflict`, or `refused` by the server's own rules. */
  readonly error: TidewireError;
}

export type DocumentListener<T> = (value: T | undefined, document: Document<T>) => void;
export type ConflictListener<T> = (conflict: Conflict<T>) => T | undefined | Promise<T | undefined>;

type Change = Extract<Asked, { type: "state.set" | "state.patch" | "state.delete" }>;
type Draft = Partial<Change> & Pick<Change, "type">;

interface Write<T> {
  request: Change;
  readonly id: Promise<number> | undefined; // in the store
  readonly seen: unknown; // what its writer had before it
  readonly restored: boolean; // an earlier page has left it
  refusals: number;
  readonly resolve: (result: WriteResult<T>) => void;
  readonly reject: (error: unknown) => void;
}

const FRAME_MAX_BYTES = 250_000;
const KNOWN_MAX_BYTES = 20_000;
const VERSION_CONFLICT = 1007;
const REFUSED = 1014;

/** One document. What it hands out is frozen: make a new value, and `set` it. */
export class Document<T = unknown> {
  readonly key: string;
  readonly channel: string;
  readonly #documents: Documents;
  readonly #listeners = new Set<DocumentListener<T>>();
  readonly #conflicts = new Set<ConflictListener<T>>();
  readonly #writes: Write<T>[] = [];
  #waiting: { resolve: (value: T | undefined) => void; reject: (error: unknown) => void }[] = [];
  #version = 0;
  #settled: T | undefined; // of that version
  #value: T | undefined; // with the writes
  #base = 0; // the version that this shows
  #sending = false;

  /** @internal */
  constructor(key: string, documents: Documents) {
    this.key = key;
    this.channel = documents.channel;
    this.#documents = documents;
  }

  /** How it is, with own writes that the server has not settled yet; `undefined` if it is not there, or not known. */
  get value(): T | undefined {
    return this.#value;
  }

  /** The server's version that `value` rests on; 0 if none is known. */
  get version(): number {
    return this.#version;
  }

  /** How many own writes are not settled yet. */
  get pending(): number {
    return this.#writes.length;
  }

  /**
   * The value, once the server has told it.
   * @throws TidewireError when it can't be read, or the channel is refused; `closed`: it was left, or the client closed
   */
  ready(): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const { over } = this.#documents;
      if (over) return reject(over);
      this.#waiting.push({ resolve, reject });
      this.update();
    });
  }

  /** Make this of it. `value` has it at once; the promise settles when the server has answered for good. */
  set(value: T, options?: WriteOptions): Promise<WriteResult<T>> {
    // What nobody has seen must not be overwritten.
    return this.#write({ type: "state.set", value, base_version: 0 }, options);
  }

  /** Change members of it; as `set`. */
  patch(patch: MergePatch<T> & object, options?: WriteOptions): Promise<WriteResult<T>> {
    return this.#write({ type: "state.patch", patch: patch as Record<string, unknown> }, options);
  }

  /** Delete it; as `set`. */
  delete(options?: WriteOptions): Promise<WriteResult<T>> {
    return this.#write({ type: "state.delete" }, options);
  }

  /** Listen to changes of `value`, by whomever. Returns a function that ends it. */
  onChange(listener: DocumentListener<T>): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Be asked when a write is refused: the value that is returned is written upon the current one in its place, and its
   * promise goes on waiting; with `undefined` from all listeners it is taken back. Returns a function that ends it.
   */
  onConflict(listener: ConflictListener<T>): () => void {
    this.#conflicts.add(listener);
    return () => void this.#conflicts.delete(listener);
  }

  // The channel's side.

  /** What `value` is made of has changed, or what is known. @internal */
  update(): void {
    const { replica, told } = this.#documents;
    const missing = replica.missing.has(this.key);
    if (!missing) {
      this.#version = replica.version(this.key);
      this.#settled = frozen(replica.values.get(this.key) as T | undefined);
    }
    let value: unknown = this.#settled;
    this.#base = this.#version;
    for (const { request } of this.#writes) {
      value = applied(value, request);
      // Of what has come since, a write of the whole lets nothing be seen.
      if (request.type !== "state.patch") this.#base = request.base_version ?? 0;
    }
    if (!same(value, this.#value)) {
      this.#value = frozen(value as T | undefined);
      this.#listeners.forEach((listener) => {
        try {
          listener(this.#value, this);
        } catch (error) {
          this.#documents.host.report(error);
        }
      });
    }
    if (told && !missing) this.#waiting.splice(0).forEach(({ resolve }) => resolve(this.#value));
  }

  /**
   * Take up a write that an earlier page has left: it goes before all of this page, but for one that is under way.
   * @internal
   */
  restore({ id, request }: Kept): void {
    const place = this.#writes.findIndex(({ restored }, index) => !restored && !(index === 0 && this.#sending));
    this.#add(request as Change, Promise.resolve(id), place < 0 ? this.#writes.length : place, true).catch(
      (error: unknown) => isPassing(error) || this.#documents.host.report(error),
    );
  }

  /** It can't be read. @internal */
  unreadable(error: unknown): void {
    this.#waiting.splice(0).forEach(({ reject }) => reject(error));
  }

  /** Nothing is sent any more. What is kept stays so, for the next page. @internal */
  closed(error: TidewireError): void {
    this.unreadable(error);
    const writes = this.#writes.splice(0);
    this.update();
    // What an earlier page has left nobody here waits for: it is left once more.
    writes.forEach(({ restored, reject }) => reject(restored ? closed("left") : error));
  }

  /** Send what waits, one after the other. @internal */
  async send(): Promise<void> {
    if (this.#sending || !this.#documents.open) return;
    this.#sending = true;
    for (let write; (write = this.#writes[0]); ) await this.#settle(write);
    this.#sending = false;
  }

  async #write(change: Draft, { offline }: WriteOptions = {}): Promise<WriteResult<T>> {
    const request = this.#request(change, this.#base);
    if (this.#documents.over) throw this.#documents.over;
    return this.#add(request, offline ? this.#documents.host.store?.keep(request) : undefined, this.#writes.length);
  }

  /** A copy, since what is sent later, or again, must be what was written; upon the version that its writer sees. */
  #request(change: Draft, version: number): Change {
    const base = version ? { base_version: version } : {};
    const text = JSON.stringify({ ...change, channel: this.channel, key: this.key, ...base });
    const bytes = size(text);
    if (bytes > FRAME_MAX_BYTES) throw tooLarge(bytes);
    return JSON.parse(text) as Change;
  }

  #add(request: Change, id: Promise<number> | undefined, place: number, restored = false): Promise<WriteResult<T>> {
    id?.catch(() => undefined); // it is told when its turn comes
    return new Promise((resolve, reject) => {
      this.#writes.splice(place, 0, { request, id, seen: this.#value, restored, refusals: 0, resolve, reject });
      this.update();
      void this.send();
    });
  }

  async #settle(write: Write<T>): Promise<void> {
    const { host } = this.#documents;
    let id: number | undefined;
    let passing = false;
    let end: () => void;
    try {
      id = await write.id;
      if (write.refusals > 2) await this.#documents.pause(backoffMs(write.refusals - 2, host.random));
      const ask = async (): Promise<unknown> => {
        // It may have waited for long, and this page for longer; or it was left meanwhile.
        const ours = id === undefined || (await host.store?.sent(id)) !== false;
        if (!ours || this.#writes[0] !== write) throw closed("another page sends it");
        return host.ask(write.request);
      };
      const result = (await this.#documents.persist(ask)) as StateWriteResult;
      await this.#documents.wrote(this.key, result);
      const { version, resolution } = result;
      const value = (result.deleted ? undefined : (result.value ?? this.#settled)) as T | undefined;
      end = () => write.resolve({ version, value, resolution });
      if (this.#writes[0] === write) this.#rebase({ version, value, resolution });
    } catch (error) {
      if (await this.#retried(write, error)) return;
      passing = isPassing(error) || this.#writes[0] !== write; // left meanwhile: the next page asks for it
      end = () => write.reject(error);
    }
    if (id !== undefined && !passing) host.store?.forget(id);
    if (this.#writes[0] === write) this.#writes.shift(); // unless it was closed meanwhile
    this.update();
    end();
  }

  /**
   * The first write is settled. Where that left the document as the writer of the next one saw it, all that follow rest
   * upon it. Where others' changes came in, they do not: the server has to settle the next one with those, too.
   */
  #rebase({ version, value, resolution }: WriteResult<T>): void {
    const [, ...later] = this.#writes;
    const [next] = later;
    if (!next) return;
    const alone = resolution === "applied" && version === (next.request.base_version ?? -1) + 1;
    if (!alone && !same(value, next.seen)) return;
    for (const { request } of later) request.base_version = Math.max(request.base_version ?? 0, version);
  }

  /** Have the user say what becomes of a write that was refused: whether there is something to send in its place. */
  async #retried(write: Write<T>, error: unknown): Promise<boolean> {
    if (!(error instanceof TidewireError && (error.code === VERSION_CONFLICT || error.code === REFUSED))) return false;
    await this.#documents.refresh(this.key);
    const version = this.#version;
    const conflict = { mine: applied(write.seen, write.request) as T | undefined, current: this.#settled, error };
    for (const listener of this.#conflicts) {
      if (this.#writes[0] !== write) break; // it was left meanwhile
      try {
        const value = await listener(conflict);
        if (value === undefined) continue;
        write.request = this.#request({ type: "state.set", value, base_version: 0 }, version);
        write.refusals++;
        this.update();
        return true;
      } catch (thrown) {
        this.#documents.host.report(thrown);
      }
    }
    return false;
  }
}

/** A channel's documents. */
export class Documents implements ChannelPart {
  readonly channel: string;
  readonly host: DocumentsHost;
  readonly replica: Replica;
  /** Something can be asked. */
  open = false;
  /** Why nothing is told or written until the channel is subscribed to again. */
  over: TidewireError | undefined;
  /** The server has told of all documents since the channel was subscribed to. */
  told = false;
  readonly #documents = new Map<string, Document<never>>();
  readonly #heard = new Map<string, number>(); // of keys: a version that is there, with a hole before it
  readonly #catching = new Map<string, Promise<void>>(); // up, of keys
  readonly #waiting = new Set<(error?: TidewireError) => void>();
  #known: Record<string, number> | undefined; // what the server was told
  #doubted: Iterable<string> = []; // what it was not: then it does not tell what has been deleted
  #reading = 0; // counts readings of all: of one that was begun before, the rest is of no use
  #prepared: Promise<void> | undefined;
  #left = 0; // counts the subscriptions that were left

  constructor(channel: string, host: DocumentsHost) {
    this.channel = channel;
    this.host = host;
    this.replica = new Replica(channel);
  }

  /** The document of that key: always the same object for the same key. */
  document<T = unknown>(key: string): Document<T> {
    let document = this.#documents.get(key) as Document<T> | undefined;
    if (!document) {
      document = new Document<T>(key, this);
      this.#documents.set(key, document as unknown as Document<never>);
      document.update();
    }
    return document;
  }

  /** Show what is stored; to be awaited before the channel is subscribed to for the first time. */
  async prepare(): Promise<void> {
    const { store } = this.host;
    if (store) await (this.#prepared ??= this.#prepare(store));
  }

  async #prepare(store: Store): Promise<void> {
    try {
      const stored = await store.documents(this.channel);
      this.replica.read({ documents: stored as DocumentsResult["documents"] });
    } catch (error) {
      this.host.report(error);
    }
    this.#documents.forEach((document) => document.update());
  }

  /** Take up a write that an earlier page has left: in order, before the channel is subscribed to. */
  restore(kept: Kept): void {
    this.document((kept.request as Change).key).restore(kept);
  }

  subscribing(): Pick<Subscribe, "state"> {
    this.over = undefined;
    return { state: this.#tell() ?? true };
  }

  subscribed({ state }: SubscribeResult): void {
    this.open = true;
    if (state) void this.#read(state);
    this.#waiting.forEach((wake) => wake());
    this.#documents.forEach((document) => void document.send());
  }

  push(push: Push): void {
    if (push.type !== "state" || typeof push.key !== "string") return;
    const { key, version } = push;
    if (version > this.replica.version(key)) void this.#took(key, version, this.replica.pushed(key, push));
  }

  check(): void {
    if (!this.open) return;
    this.#tell();
    void this.#read();
  }

  disconnected(): void {
    this.open = false;
  }

  closed(error: TidewireError): void {
    this.open = this.told = false;
    this.over = error;
    this.#left++;
    this.#reading++;
    this.#heard.clear();
    this.#waiting.forEach((wake) => wake(error));
    this.#documents.forEach((document) => document.closed(error));
  }

  // The documents' side.

  /** Take the result of a write; resolves when the document is known as it is, or can't be. */
  wrote(key: string, result: Version): Promise<void> {
    return this.#took(key, result.version, this.replica.wrote(key, result));
  }

  /** Have a document as it is. */
  refresh(key: string): Promise<void> {
    this.#heard.set(key, this.replica.version(key) + 1);
    return this.#catchUp(key);
  }

  /** Ask, and again until there is an answer: what passes is waited for, and so is the next subscription. */
  async persist<R>(ask: () => Promise<R>): Promise<R> {
    const left = this.#left;
    for (let attempt = 0; ; attempt++) {
      while (!this.open) await this.pause();
      try {
        return await ask();
      } catch (error) {
        const waitMs = againAfterMs(error, attempt, this.host.random);
        if (left !== this.#left || waitMs === undefined) throw error;
        await this.pause(waitMs);
      }
    }
  }

  /** Wait for the next subscription, or, where there is one, so long at most. */
  pause(ms = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (error?: TidewireError): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        if (error) reject(error);
        else resolve();
      };
      const timer = this.open ? setTimeout(wake, ms) : undefined;
      this.#waiting.add(wake);
    });
  }

  /** The versions that the server is told; `undefined` if there are none, or too many for a frame. */
  #tell(): Record<string, number> | undefined {
    const { versions } = this.replica;
    const known = Object.fromEntries(versions);
    const fits = versions.size > 0 && JSON.stringify(known).length < KNOWN_MAX_BYTES;
    this.#doubted = fits ? [] : [...versions.keys()];
    return (this.#known = fits ? known : undefined);
  }

  /** Read all documents, of which the first may have come. */
  async #read(first?: DocumentsResult): Promise<void> {
    const reading = ++this.#reading;
    const doubted = new Set(this.#doubted);
    let request: StateGet = { type: "state.get", channel: this.channel, ...(this.#known && { known: this.#known }) };
    try {
      for (let result = first; ; result = undefined) {
        result ??= (await this.persist(() => this.host.ask(request))) as DocumentsResult;
        if (reading !== this.#reading) return;
        const next = this.replica.read(result);
        for (const key of Object.keys(result.documents)) {
          doubted.delete(key);
          this.#changed(key);
        }
        if (!next) break;
        const after = next.after ?? "";
        if (after <= (request.after ?? "")) throw new Error("a page of documents makes no sense"); // it would never end
        request = { ...request, after };
      }
      this.told = true;
      doubted.forEach((key) => void this.refresh(key));
      this.replica.missing.forEach((key) => void this.#catchUp(key));
      this.#documents.forEach((document) => document.update());
    } catch (error) {
      if (!isPassing(error)) this.host.report(error);
    }
  }

  #took(key: string, version: number, hole: StateGet | undefined): Promise<void> {
    if (hole) this.#hear(key, version);
    this.#changed(key);
    return this.#catchUp(key);
  }

  #hear(key: string, version: number): void {
    this.#heard.set(key, Math.max(this.#heard.get(key) ?? 0, version));
  }

  #changed(key: string): void {
    const { versions, values, missing } = this.replica;
    if (!missing.has(key)) {
      const document = values.has(key) ? { version: versions.get(key) as number, value: values.get(key) } : undefined;
      this.host.store?.putDocument(this.channel, key, document);
    }
    this.#documents.get(key)?.update();
  }

  #hasHole(key: string): boolean {
    return (this.#heard.get(key) ?? 0) > this.replica.version(key);
  }

  #lacks(key: string): boolean {
    return this.#hasHole(key) || this.replica.missing.has(key);
  }

  /** Ask for what is lacking of a document; resolves when nothing is, or it can't be had. */
  async #catchUp(key: string): Promise<void> {
    if (!this.#catching.has(key) && this.#lacks(key)) this.#catching.set(key, this.#fill(key));
    return this.#catching.get(key);
  }

  async #fill(key: string): Promise<void> {
    try {
      for (let attempt = 0; this.#lacks(key); attempt++) {
        // What was read may be older than what was pushed; whoever says so again and again must not be hammered.
        if (attempt > 3) await this.pause(backoffMs(attempt - 4, this.host.random));
        await (this.#hasHole(key) ? this.#fillHole(key) : this.#fetch(key));
        this.#changed(key);
      }
    } catch (error) {
      this.#heard.delete(key);
      if (!isPassing(error)) this.host.report(error);
      this.#documents.get(key)?.unreadable(error);
    }
    this.#catching.delete(key);
  }

  async #fillHole(key: string): Promise<void> {
    const { channel, host, replica } = this;
    const heard = this.#heard.get(key);
    const ask = (): Promise<unknown> =>
      host.ask({ type: "state.get", channel, key, since_version: replica.version(key) });
    const result = (await this.persist(ask)) as ChangesResult | DocumentsResult;
    if ("changes" in result) replica.changed(key, result);
    else replica.read(result);
    // If that was not all, and nothing has come meanwhile, there is no more.
    if (this.#heard.get(key) === heard) this.#heard.delete(key);
  }

  async #fetch(key: string): Promise<void> {
    const document = await this.persist(() => this.host.readDocument(key));
    const version = this.replica.version(key);
    if (this.replica.fetched(key, document)) this.#hear(key, version);
    if (this.replica.missing.has(key)) throw uncertain("the document makes no sense");
  }
}

function applied(value: unknown, request: Change): unknown {
  if (request.type === "state.set") return request.value;
  return request.type === "state.patch" ? patched(value, request.patch) : undefined;
}
