import { IDBDatabase, IDBFactory, IDBKeyRange, IDBObjectStore } from "fake-indexeddb";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { IndexedDbStore } from "../src/indexeddb.js";
import type { Publish } from "../src/outbox.js";
import { FakeLocks, type FakePage } from "./fake-locks.js";

const NAME = "tidewire:https://example.org:ann";
let reported: unknown[];
let locks: FakeLocks;

beforeEach(() => {
  reported = [];
  locks = new FakeLocks();
  vi.stubGlobal("indexedDB", new IDBFactory());
  vi.stubGlobal("IDBKeyRange", IDBKeyRange);
  vi.stubGlobal("navigator", { locks: undefined });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

function page(its?: FakePage): IndexedDbStore {
  vi.stubGlobal("navigator", { locks: its });
  return new IndexedDbStore({ name: NAME, report: (error) => void reported.push(error) });
}

function said(id: string, data: unknown = "x"): Publish {
  return { type: "publish", channel: "room:a", name: "said", data, message_id: id };
}

function document(version: number, value: unknown = "x"): { version: number; value: unknown } {
  return { version, value };
}

/** What the database has; asked last, since it waits for all that was begun. */
function raw<T>(store: "documents" | "requests", ask: (store: globalThis.IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(NAME);
    opening.onerror = () => reject(opening.error as DOMException);
    opening.onsuccess = () => {
      const request = ask(opening.result.transaction(store, "readwrite").objectStore(store));
      request.onsuccess = () => {
        opening.result.close();
        resolve(request.result);
      };
    };
  });
}

function keysOf(store: "documents" | "requests"): Promise<IDBValidKey[]> {
  return raw(store, (it) => it.getAllKeys());
}

async function lastPut(store: IndexedDbStore): Promise<void> {
  await store.documents(""); // comes after what was put, in the same database
}

/** From now on the disk is full: what puts is aborted. */
function fillDisk(): void {
  const put = IDBObjectStore.prototype.put;
  vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(function (this: IDBObjectStore, ...put_) {
    const request = put.apply(this, put_);
    this.transaction.abort();
    return request;
  });
}

function broken(): Error {
  return new Error("no");
}

// documents

test("a later page finds the documents as they were last seen", async () => {
  const first = page();
  first.putDocument("doc:a", "k1", document(1, { n: 1 }));
  first.putDocument("doc:a", "k1", document(2, { n: 2 }));
  first.putDocument("doc:a", "__proto__", document(3, null));
  first.putDocument("doc:a", "gone", document(1));
  first.putDocument("doc:b", "k1", document(9));
  await lastPut(first);
  first.putDocument("doc:a", "gone", undefined);
  await lastPut(first);
  const found = await page().documents("doc:a");
  expect(Object.entries(found).sort()).toEqual([
    ["__proto__", document(3, null)],
    ["k1", document(2, { n: 2 })],
  ]);
  expect(reported).toEqual([]);
});

test("what was put is found at once", async () => {
  const store = page();
  store.putDocument("doc:a", "k", document(1));
  store.putDocument("doc:a", "k", document(2));
  expect(await store.documents("doc:a")).toEqual({ k: document(2) });
  store.putDocument("doc:a", "k", undefined);
  expect(await store.documents("doc:a")).toEqual({});
});

test("of a document that changes often only the last is written", async () => {
  const put = vi.spyOn(IDBObjectStore.prototype, "put");
  const store = page();
  for (let version = 1; version <= 100; version++) store.putDocument("doc:a", "k", document(version));
  await lastPut(store);
  expect(put).toHaveBeenCalledTimes(2); // the first, and the last of those that came meanwhile
  expect(await page().documents("doc:a")).toEqual({ k: document(100) });
});

test("a document is what it was when it was put", async () => {
  const store = page();
  const value = { n: 1 };
  store.putDocument("doc:a", "k", document(1, value));
  value.n = 2;
  expect(await store.documents("doc:a")).toEqual({ k: document(1, { n: 1 }) });
});

test.each(["in the database", "in memory"])(
  "at most 500 documents, the least recently used go first: %s",
  async (where) => {
    if (where === "in memory") vi.stubGlobal("indexedDB", undefined);
    const store = page();
    for (let index = 0; index < 500; index++) store.putDocument(`doc:${index}`, "k", document(index));
    await lastPut(store);
    await store.documents("doc:0"); // is used
    store.putDocument("doc:1", "k", document(2_000)); // and so is this
    store.putDocument("doc:new", "k", document(1));
    await lastPut(store);
    expect(await store.documents("doc:2")).toEqual({});
    expect(await store.documents("doc:0")).toEqual({ k: document(0) });
    expect(await store.documents("doc:1")).toEqual({ k: document(2_000) });
    expect(await store.documents("doc:3")).toEqual({ k: document(3) });
    expect(await store.documents("doc:new")).toEqual({ k: document(1) });
  },
);

test.each(["in the database", "in memory"])("at most 5,000,000 bytes of documents, in UTF-8: %s", async (where) => {
  if (where === "in memory") vi.stubGlobal("indexedDB", undefined);
  const store = page();
  for (let index = 0; index < 6; index++) store.putDocument("doc:a", `${index}`, document(1, "é".repeat(450_000)));
  await lastPut(store);
  expect(Object.keys(await store.documents("doc:a")).sort()).toEqual(["1", "2", "3", "4", "5"]);
});

// kept requests

test("a later page gets what an earlier one has left, in order, and what was sent says so", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_000_000 });
  const old = locks.page();
  const store = page(old);
  const ids = await Promise.all(["1", "2", "3"].map((id) => store.keep(said(id))));
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
  expect(await store.sent(ids[0] as number)).toBe(true);
  store.forget(ids[1] as number);
  await keysOf("requests");
  old.go();
  expect(await page(locks.page()).left()).toEqual([
    { id: ids[0], request: said("1"), sentAtMs: 1_000_000 },
    { id: ids[2], request: said("3"), sentAtMs: undefined },
  ]);
  expect(reported).toEqual([]);
});

test("what a page that lives has kept is its own", async () => {
  const store = page(locks.page());
  const id = await store.keep(said("1"));
  expect(await page(locks.page()).left()).toEqual([]);
  expect(await store.left()).toEqual([]);
  expect(await store.sent(id)).toBe(true);
});

test("of two pages that ask at once only one gets each", async () => {
  const old = locks.page();
  const store = page(old);
  for (const id of ["1", "2", "3"]) await store.keep(said(id));
  old.go();
  const [one, other] = [page(locks.page()), page(locks.page())];
  const taken = (await Promise.all([one.left(), other.left()])).flat();
  expect(taken.map(({ request }) => (request as Publish).message_id)).toEqual(["1", "2", "3"]);
  expect(await page(locks.page()).left()).toEqual([]); // they live
  for (const { id } of taken) for (const it of [one, other]) it.forget(id);
  await vi.waitFor(() => expect(locks.held.size).toBe(0));
});

test("a page that has lost its lock is told that another has taken a request over", async () => {
  const old = locks.page();
  const store = page(old);
  const id = await store.keep(said("1"));
  old.go(); // as when Safari puts it into the back/forward cache
  const other = page(locks.page());
  const [taken] = await other.left();
  expect(await store.sent(id)).toBe(false);
  expect(await keysOf("requests")).toHaveLength(1);
  store.forget(id);
  expect(await other.sent(taken!.id)).toBe(true);
  expect(await keysOf("requests")).toHaveLength(1);
});

test("the lock is held only while something is kept, so that the page can be put into the back/forward cache", async () => {
  const store = page(locks.page());
  expect(await store.left()).toEqual([]);
  await vi.waitFor(() => expect(locks.held.size).toBe(0));
  const [one, two] = await Promise.all([store.keep(said("1")), store.keep(said("2"))]);
  expect(locks.held.size).toBe(1);
  store.forget(one);
  await keysOf("requests");
  expect(locks.held.size).toBe(1);
  store.forget(two);
  store.forget(two);
  await vi.waitFor(() => expect(locks.held.size).toBe(0));
  await store.keep(said("3"));
  expect(locks.held.size).toBe(1);
});

test("without Web Locks, what is 5 minutes old counts as left", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_000_000 });
  const store = page();
  const id = await store.keep(said("1"));
  const other = page();
  vi.setSystemTime(1_300_000);
  expect(await other.left()).toEqual([]);
  vi.setSystemTime(1_300_001);
  expect(await store.left()).toEqual([]); // its own
  expect(await other.left()).toMatchObject([{ request: said("1") }]);
  expect(await store.sent(id)).toBe(false); // and the page that kept it learns of it
});

test.each(["in the database", "in memory"])("at most 1,000 requests are kept: %s", async (where) => {
  if (where === "in memory") vi.stubGlobal("indexedDB", undefined);
  const store = page(locks.page());
  const id = await store.keep(said("0"));
  if (where === "in memory") for (let index = 1; index < 1_000; index++) await store.keep(said("x"));
  else {
    await raw("requests", (it) => {
      for (let index = 1; index < 999; index++) it.put({ text: "{}", sentAtMs: undefined }, [index, "other", 2]);
      return it.put({ text: "{}", sentAtMs: undefined }, [999, "other", 2]);
    });
  }
  await expect(store.keep(said("more"))).rejects.toMatchObject({
    code: 1010,
    kind: "limit_reached",
    retryable: false,
    message: "the outbox is full",
  });
  store.forget(id);
  expect(await store.sent(await store.keep(said("more")))).toBe(true);
  expect(reported).toHaveLength(where === "in memory" ? 1 : 0);
});

test.each(["in the database", "in memory"])("at most 5,000,000 bytes of requests are kept: %s", async (where) => {
  if (where === "in memory") vi.stubGlobal("indexedDB", undefined);
  const store = page(locks.page());
  for (let index = 0; index < 20; index++) await store.keep(said("x", "é".repeat(120_000)));
  await expect(store.keep(said("x", "é".repeat(120_000)))).rejects.toMatchObject({ code: 1010 });
  await store.keep(said("x"));
});

test("close() leaves what is kept to the next", async () => {
  const its = locks.page(); // of the same page
  const store = page(its);
  const id = await store.keep(said("1"));
  store.close();
  store.forget(id); // it was not answered
  await vi.waitFor(() => expect(locks.held.size).toBe(0));
  expect(await page(its).left()).toMatchObject([{ request: said("1") }]);
  expect(reported).toEqual([]);
});

// storage that fails

test.each<[string, () => void]>([
  ["is not there", () => vi.stubGlobal("indexedDB", undefined)],
  [
    "is forbidden",
    () =>
      vi.spyOn(IDBFactory.prototype, "open").mockImplementation(() => {
        throw new DOMException("no", "SecurityError");
      }),
  ],
  [
    "can't be opened",
    () =>
      vi.spyOn(IDBFactory.prototype, "open").mockImplementation(() => {
        const request = { error: broken(), onerror: (): void => undefined };
        setTimeout(() => request.onerror());
        return request as never;
      }),
  ],
  [
    "throws",
    () => {
      const { transaction } = IDBDatabase.prototype;
      vi.spyOn(IDBDatabase.prototype, "transaction").mockImplementation(function (this: IDBDatabase, ...them) {
        if (them[1] === "readwrite") throw new DOMException("lost", "InvalidStateError");
        return transaction.apply(this, them);
      });
    },
  ],
  ["is full", fillDisk],
])("storage that %s: everything goes on in memory, with one warning", async (_, breakIt) => {
  breakIt();
  const store = page(locks.page());
  store.putDocument("doc:a", "k", document(1));
  const [one, two] = await Promise.all([store.keep(said("1")), store.keep(said("2"))]);
  expect(two).toBeGreaterThan(one);
  expect(await store.sent(one)).toBe(true);
  store.forget(one);
  store.putDocument("doc:a", "k2", document(2));
  expect(await store.documents("doc:a")).toEqual({ k: document(1), k2: document(2) });
  store.putDocument("doc:a", "k", undefined);
  expect(await store.documents("doc:a")).toEqual({ k2: document(2) });
  expect(await store.left()).toEqual([]);
  expect(reported).toEqual([expect.any(Error)]);
  await store.wipe();
  expect(await store.documents("doc:a")).toEqual({});
});

test("storage that never opens is not waited for", async () => {
  vi.useFakeTimers();
  vi.spyOn(IDBFactory.prototype, "open").mockReturnValue({} as never);
  const store = page();
  const kept = store.keep(said("1"));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await kept).toEqual(expect.any(Number));
  expect(reported).toHaveLength(1);
});

test("a disk that fills up in the middle: nothing is lost, and what is answered is still forgotten", async () => {
  const store = page(locks.page());
  store.putDocument("doc:a", "k1", document(1));
  const [answered, sent] = await Promise.all([store.keep(said("1")), store.keep(said("2"))]);
  await lastPut(store);
  fillDisk();
  store.putDocument("doc:a", "k1", document(2));
  store.putDocument("doc:a", "k2", document(1));
  await store.keep(said("3"));
  expect(await store.documents("doc:a")).toEqual({ k1: document(2), k2: document(1) });
  expect(await store.sent(sent)).toBe(true); // which could not be noted: a later page must not send it as if it were new
  store.forget(answered);
  await vi.waitFor(async () => expect(await keysOf("requests")).toEqual([]));
  expect(reported).toHaveLength(1);
});

test("a connection that the browser closes: nothing is lost, and what is answered is still forgotten", async () => {
  const connections: IDBDatabase[] = [];
  const { transaction } = IDBDatabase.prototype;
  vi.spyOn(IDBDatabase.prototype, "transaction").mockImplementation(function (this: IDBDatabase, ...them) {
    connections.push(this);
    return transaction.apply(this, them);
  });
  const store = page(locks.page());
  const [answered, sent] = await Promise.all([store.keep(said("1")), store.keep(said("2"))]);
  connections[0]!.close(); // as after a sleep in iOS
  store.forget(answered);
  expect(await store.sent(sent)).toBe(true);
  store.putDocument("doc:a", "k", document(1));
  expect(await store.documents("doc:a")).toEqual({ k: document(1) });
  await store.keep(said("3"));
  await vi.waitFor(async () => expect(await keysOf("requests")).toEqual([]));
  expect(reported).toHaveLength(1);
});

test("wipe() deletes everything, and other pages of the user go on in memory", async () => {
  const [store, other] = [page(locks.page()), page(locks.page())];
  store.putDocument("doc:a", "k", document(1));
  await lastPut(store);
  const id = await other.keep(said("1"));
  await store.wipe();
  expect(await indexedDB.databases()).toEqual([]);
  expect(await store.documents("doc:a")).toEqual({});
  expect(await other.sent(id)).toBe(true);
  other.forget(id);
  other.putDocument("doc:a", "k", document(2));
  store.putDocument("doc:a", "k", document(3));
  await other.keep(said("2"));
  expect(await other.documents("doc:a")).toEqual({ k: document(2) });
  expect(await store.documents("doc:a")).toEqual({ k: document(3) });
  expect(await indexedDB.databases()).toEqual([]);
  const next = page(locks.page());
  expect(await next.documents("doc:a")).toEqual({});
  expect(await next.left()).toEqual([]);
  expect(reported).toEqual([]);
});

test("wipe() does not wait for a page that does not run, and leaves nothing in its database", async () => {
  const store = page(locks.page());
  store.putDocument("doc:a", "k", document(1));
  await store.keep(said("1"));
  const frozen = await new Promise<globalThis.IDBDatabase>((resolve) => {
    const opening = indexedDB.open(NAME);
    opening.onsuccess = () => resolve(opening.result);
  });
  await store.wipe();
  const left = await new Promise((resolve) => {
    const request = frozen.transaction("documents").objectStore("documents").getAllKeys();
    request.onsuccess = () => resolve(request.result);
  });
  expect(left).toEqual([]);
  frozen.close();
});
