// What outlives the page, in IndexedDB: one database for each deployment and user, shared by the user's pages. Where
// it can't be had, or fails, this page goes on in memory.
//
// A kept request belongs to the page that kept it. A page holds a Web Lock while it has any, which the browser releases
// when the page goes: what then belongs to nobody is taken over by the page that asks first. It holds none without,
// since browsers that hold such a lock against a page don't put it into the back/forward cache, and Safari, which does,
// releases the lock. So the lock may be lost: that a request is still the page's own is checked again before it is sent.

import { TidewireError } from "./errors.js";
import { size } from "./size.js";
import { outboxFull, type Keepable, type Kept, type KeptDocument, type Store } from "./store.js";

export interface IndexedDbOptions {
  /** Of the database: names the deployment and the user. */
  readonly name: string;
  /** Is told, once, when the storage can't be used. */
  readonly report: (error: unknown) => void;
}

// What has to be known of all of them without reading them is in the keys.
type DocumentKey = [channel: string, key: string, used: number, bytes: number];
type RequestKey = [id: number, owner: string, bytes: number];

interface KeptText {
  readonly text: string;
  readonly sentAtMs: number | undefined;
}

const MAX_DOCUMENTS = 500;
const MAX_REQUESTS = 1_000;
const MAX_BYTES = 5_000_000; // of each
const OPEN_TIMEOUT_MS = 5_000; // there are versions of Safari in which it may never answer
// Without Web Locks (before Safari 15.4, and where there is no HTTPS) nobody knows which pages are gone. What is this
// old was not sent in a page's first minutes, and should the page live after all, it will see that it was taken over.
const ABANDONED_MS = 300_000;
const LOCK = "tidewire-page-";
const IN_MEMORY = ""; // no page's id

export class IndexedDbStore implements Store {
  readonly #options: IndexedDbOptions;
  #database: Promise<IDBDatabase>;
  readonly #page = Math.random().toString(36).slice(2) + Date.now().toString(36);
  readonly #locks = globalThis.navigator?.locks as LockManager | undefined;
  readonly #kept = new Map<number, RequestKey>(); // this page's requests
  readonly #unsaved = new Map<string, readonly [DocumentKey, string | undefined]>(); // the last of each document
  #lock: Promise<() => void> | undefined; // resolves when it is held, with what releases it
  #holders = 0; // requests in the database and what is being done that needs the lock
  #saving = false;
  #used = 0;
  #inMemory = false;

  constructor(options: IndexedDbOptions) {
    this.#options = options;
    this.#database = this.#open();
  }

  async documents(channel: string): Promise<Readonly<Record<string, KeptDocument>>> {
    const found = new Map<string, string | undefined>();
    try {
      await this.#run("documents", async (store) => {
        const all = within(channel);
        const [keys, texts] = await Promise.all([got(store.getAllKeys(all)), got(store.getAll(all))]);
        (keys as unknown as DocumentKey[]).forEach(([, key, , bytes], index) => {
          found.set(key, texts[index] as string);
          store.delete(keys[index] as IDBValidKey);
          store.put(texts[index], [channel, key, this.#use(), bytes]);
        });
      });
    } catch (error) {
      this.#fail(error); // what has been read stays so
    }
    for (const [name, [[of, key, , bytes], text]] of [...this.#unsaved]) {
      if (of !== channel) continue;
      found.set(key, text);
      this.#unsaved.set(name, [[of, key, this.#use(), bytes], text]);
    }
    const parsed = [...found].flatMap(([key, text]) => (text ? [[key, JSON.parse(text) as KeptDocument]] : []));
    return Object.fromEntries(parsed) as Record<string, KeptDocument>;
  }

  putDocument(channel: string, key: string, document: KeptDocument | undefined): void {
    const text = document && JSON.stringify(document);
    this.#unsaved.set(JSON.stringify([channel, key]), [[channel, key, this.#use(), text ? size(text) : 0], text]);
    void this.#save();
  }

  async keep(request: Keepable): Promise<number> {
    const text = JSON.stringify(request);
    let key: RequestKey | undefined;
    if (!this.#inMemory) {
      try {
        await this.#hold();
        key = await this.#run("requests", async (store) => {
          const free = nextKey(await requestKeys(store), this.#page, size(text));
          store.put({ text, sentAtMs: undefined } satisfies KeptText, free);
          return free;
        });
      } catch (error) {
        this.#letGo();
        if (error instanceof TidewireError) throw error;
        this.#fail(error);
      }
    }
    key ??= nextKey([...this.#kept.values()], IN_MEMORY, size(text));
    this.#kept.set(key[0], key);
    return key[0];
  }

  async sent(id: number): Promise<boolean> {
    const key = this.#kept.get(id);
    if (!key || key[1] === IN_MEMORY) return true;
    try {
      return await this.#run("requests", async (store) => {
        const kept = (await got(store.get(key))) as KeptText | undefined;
        if (kept) store.put({ ...kept, sentAtMs: Date.now() } satisfies KeptText, key);
        return kept !== undefined;
      });
    } catch (error) {
      this.#fail(error);
      // A later page would send it as if for the first time. There is room for forgetting where there is none for more.
      await this.#remove(key);
      return true;
    }
  }

  forget(id: number): void {
    const key = this.#kept.get(id);
    if (!key) return;
    this.#kept.delete(id);
    if (key[1] !== IN_MEMORY) void this.#remove(key).then(() => this.#letGo());
  }

  async left(): Promise<readonly Kept[]> {
    try {
      await this.#hold();
      const keys = await this.#run("requests", requestKeys);
      // Asked after the keys were read: a page has its lock from before its first request until after its last.
      const held = (await this.#locks?.query())?.held?.map(({ name }) => name);
      const gone = keys.filter(
        ([id, owner]) => owner !== this.#page && (held ? !held.includes(LOCK + owner) : id < Date.now() - ABANDONED_MS),
      );
      const taken = await this.#run("requests", async (store) => {
        const found: [RequestKey, KeptText][] = [];
        for (const key of gone) {
          const kept = (await got(store.get(key))) as KeptText | undefined;
          if (!kept) continue; // another page was faster
          const mine: RequestKey = [key[0], this.#page, key[2]];
          store.delete(key);
          store.put(kept, mine);
          found.push([mine, kept]);
        }
        return found;
      });
      this.#holders += taken.length;
      return taken.map(([key, { text, sentAtMs }]) => {
        this.#kept.set(key[0], key);
        return { id: key[0], request: JSON.parse(text) as Keepable, sentAtMs };
      });
    } catch (error) {
      this.#fail(error);
      return [];
    } finally {
      this.#letGo();
    }
  }

  async wipe(): Promise<void> {
    this.close(); // if it was not yet
    this.#unsaved.clear();
    this.#database = this.#open();
    try {
      await this.#database;
    } catch {
      return this.close(); // as has been reported: nothing can be read of it either
    }
    // Emptied first: where a page has it open and does not run, it is deleted only when that page has gone.
    const emptied = Promise.all(STORES.map((name) => this.#run(name, async (store) => void store.clear())));
    await emptied.catch(() => undefined);
    this.close();
    await new Promise<unknown>((resolve, reject) => {
      const request = indexedDB.deleteDatabase(this.#options.name);
      request.onsuccess = resolve;
      request.onblocked = () => resolve(emptied);
      request.onerror = () => reject(request.error as DOMException);
    });
  }

  close(): void {
    this.#inMemory = true;
    this.#kept.clear();
    this.#disconnect();
    this.#release();
  }

  #open(): Promise<IDBDatabase> {
    const opening = open(this.#options.name);
    opening.then(
      (database) => {
        database.onclose = () => this.#fail("the browser closed it");
        database.onversionchange = () => this.close(); // another page wipes it
      },
      (error: unknown) => this.#fail(error),
    );
    return opening;
  }

  /** What has been begun is ended. */
  #disconnect(): void {
    this.#database.then(
      (database) => database.close(),
      () => undefined,
    );
  }

  /** Write what has changed, one transaction at a time: of a document that changes often, only the last is written. */
  async #save(): Promise<void> {
    if (this.#saving) return;
    this.#saving = true;
    while (this.#unsaved.size > 0 && !this.#inMemory) {
      const batch = [...this.#unsaved];
      try {
        await this.#run("documents", async (store) => {
          for (const [, [key, text]] of batch) {
            store.delete(within(key[0], key[1]));
            if (text) store.put(text, key);
          }
          const keys = (await got(store.getAllKeys())) as unknown as DocumentKey[];
          for (const key of surplus(keys)) store.delete(key);
        });
        for (const [name, saved] of batch) if (this.#unsaved.get(name) === saved) this.#unsaved.delete(name);
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#saving = false;
    for (const [channel, key] of surplus([...this.#unsaved.values()].map(([each]) => each))) {
      this.#unsaved.delete(JSON.stringify([channel, key]));
    }
  }

  /** Do `work` in a transaction; what it returns is returned when that has been written for good. */
  async #run<T>(name: StoreName, work: (store: IDBObjectStore) => Promise<T>): Promise<T> {
    const database = await this.#database;
    return new Promise((resolve, reject) => {
      const durability = name === "requests" ? "strict" : "relaxed"; // what is lost of a document is asked for again
      const transaction = database.transaction(name, "readwrite", { durability });
      const result = work(transaction.objectStore(name));
      result.catch(reject);
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = () => reject(transaction.error as DOMException);
    });
  }

  async #remove(key: RequestKey): Promise<void> {
    const remove = (): Promise<void> => this.#run("requests", async (store) => void store.delete(key));
    try {
      await remove().catch((error: unknown) => (this.#fail(error), remove()));
    } catch {
      // It has been reported that the storage fails.
    }
  }

  #fail(error: unknown): void {
    if (this.#inMemory) return;
    this.#inMemory = true;
    this.#options.report(new Error("IndexedDB fails: what is kept ends with the page", { cause: error }));
    // It may be the connection that is broken, as after a sleep in iOS, and what is answered must still be forgotten.
    this.#disconnect();
    this.#database = this.#open();
  }

  /** Later than what was used before, by whatever page of this user. */
  #use(): number {
    return (this.#used = Math.max(Date.now(), this.#used + 1));
  }

  /** Hold the lock; what has been held is let go of. */
  async #hold(): Promise<void> {
    this.#holders++;
    this.#lock ??= new Promise((resolve, reject) => {
      const locks = this.#locks;
      if (!locks) return resolve(() => undefined);
      const held = (): Promise<void> => new Promise((release) => resolve(release));
      locks.request(LOCK + this.#page, held).catch((error: unknown) => {
        this.#lock = undefined; // lost, or not given: asked for again when it is needed again
        reject(error as Error);
      });
    });
    await this.#lock;
  }

  #letGo(): void {
    if (--this.#holders === 0) this.#release();
  }

  #release(): void {
    this.#lock?.then(
      (release) => release(),
      () => undefined,
    );
    this.#lock = undefined;
  }
}

const STORES = ["documents", "requests"] as const;
type StoreName = (typeof STORES)[number];

function open(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    setTimeout(reject, OPEN_TIMEOUT_MS, "it does not open");
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => STORES.forEach((store) => request.result.createObjectStore(store));
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error as DOMException);
  });
}

function got<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error as DOMException);
  });
}

async function requestKeys(store: IDBObjectStore): Promise<RequestKey[]> {
  return (await got(store.getAllKeys())) as unknown as RequestKey[];
}

/** A key after all others: the time, or what comes next. */
function nextKey(keys: readonly RequestKey[], owner: string, bytes: number): RequestKey {
  let id = Date.now();
  let sum = bytes;
  for (const [other, , each] of keys) {
    id = Math.max(id, other + 1);
    sum += each;
  }
  if (keys.length >= MAX_REQUESTS || sum > MAX_BYTES) throw outboxFull();
  return [id, owner, bytes];
}

/** The keys of the documents that are too many: the least recently used. */
function surplus(keys: readonly DocumentKey[]): DocumentKey[] {
  let sum = 0;
  const lastFirst = [...keys].sort((a, b) => b[2] - a[2]);
  return lastFirst.filter(([, , , bytes], index) => (sum += bytes) > MAX_BYTES || index >= MAX_DOCUMENTS);
}

/** All keys that begin so. */
function within(...prefix: string[]): IDBKeyRange {
  return IDBKeyRange.bound(prefix, [...prefix, []]);
}
