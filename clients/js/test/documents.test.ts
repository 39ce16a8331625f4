// Documents against a server of one channel that settles as the real one does, on a network that can do its worst.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Asked } from "../src/link.js";
import { Documents, type Document, type DocumentsHost } from "../src/documents.js";
import { TidewireError, closed, uncertain } from "../src/errors.js";
import type { Push } from "../src/generated/frames.js";
import { patched, same } from "../src/merge.js";
import type { KeptDocument, Keepable, Store } from "../src/store.js";
import { seeded, settled, shuffled, wireError, type Frame } from "./fakes.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const CHANNEL = "room:a";
const LARGE = 24_000;

type Member = Record<string, unknown>;
type Strategy = "merge" | "reject" | "last_write_wins" | "largest";

interface Entry {
  readonly version: number;
  readonly value: unknown; // undefined: deleted
  readonly patch?: object;
}

function isObject(value: unknown): value is Member {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Both changes of `base`: of what both have changed, `mine`. */
function merged(base: unknown, mine: unknown, theirs: unknown): unknown {
  if (same(mine, base)) return theirs;
  if (same(theirs, base) || !isObject(mine) || !isObject(theirs)) return mine;
  const before = isObject(base) ? base : {};
  const both = [...new Set([...Object.keys(theirs), ...Object.keys(mine)])].map((name) => [
    name,
    merged(before[name], mine[name], theirs[name]),
  ]);
  return Object.fromEntries(both.filter(([, value]) => value !== undefined));
}

function fits(value: unknown): boolean {
  return value === undefined || JSON.stringify(value).length <= LARGE;
}

function refusal(fields: Frame): TidewireError {
  return new TidewireError(wireError({ retryable: false, ...fields }) as never);
}

class StateServer {
  readonly logs = new Map<string, Entry[]>();
  readonly clients: Client[] = [];
  pageSize = Infinity;

  constructor(readonly strategy: Strategy = "merge") {}

  current(key: string): Entry {
    return this.logs.get(key)?.at(-1) ?? { version: 0, value: undefined };
  }

  handle(request: Member, from?: Client): unknown {
    const key = String(request["key"]);
    if (request["type"] !== "state.get") return this.#write(key, request, from);
    const since = request["since_version"] as number | undefined;
    if (request["key"] === undefined) return this.page(request["known"] as never, request["after"] as string);
    if (since !== undefined && since <= this.current(key).version) {
      const changes = (this.logs.get(key) ?? []).slice(since).map(wire);
      if (fits(changes)) return { changes };
    }
    return { documents: this.current(key).version ? { [key]: wire({ ...this.current(key), patch: undefined }) } : {} };
  }

  page(known: Record<string, number> | true | undefined, after = ""): Frame {
    const versions = known === true ? {} : (known ?? {});
    const entries = [...this.logs.keys()].sort().flatMap((key) => {
      const current = this.current(key);
      const version = versions[key];
      if (key <= after || version === current.version) return [];
      if (version === undefined && current.value === undefined) return [];
      const changes = version === undefined ? [] : this.logs.get(key)!.slice(version).map(wire);
      if (version !== undefined && changes.length === 1) return [[key, { version: current.version, changes }] as const];
      return [[key, wire({ ...current, patch: undefined })] as const];
    });
    const documents = Object.fromEntries(entries.slice(0, this.pageSize));
    return entries.length > this.pageSize ? { documents, more: true } : { documents };
  }

  #write(key: string, { type, value, patch, base_version: base }: Member, from?: Client): unknown {
    const log = this.logs.get(key) ?? [];
    const current = this.current(key);
    const to = (it: unknown): unknown =>
      type === "state.set" ? value : type === "state.patch" ? patched(it, patch as object) : undefined;
    let next: unknown;
    let resolution = "applied";
    if (base === undefined || base === current.version || (base === 0 && current.value === undefined)) {
      next = to(current.value);
    } else {
      const before = log[(base as number) - 1]?.value;
      const wanted = to(before);
      if (same(wanted, current.value)) next = wanted;
      else if (base === 0 || this.strategy === "reject") {
        throw refusal({ code: 1007, name: "version_conflict", details: wire({ ...current, patch: undefined }) });
      } else if (this.strategy === "last_write_wins") next = to(current.value);
      else {
        resolution = "merged";
        if (this.strategy === "merge") next = patch ? to(current.value) : merged(before, wanted, current.value);
        else if (Number(wanted) < 0) throw refusal({ code: 1014, name: "refused" });
        else next = Math.max(Number(wanted), Number(current.value));
      }
    }
    if (same(next, current.value)) return result(current, resolution);
    const short = isObject(patch) && same(patched(current.value, patch), next) && current.value !== undefined;
    const entry = { version: current.version + 1, value: next, ...(short ? { patch: patch as object } : {}) };
    this.logs.set(key, [...log, entry]);
    const push = { type: "state", channel: CHANNEL, key, updated_by: "x", updated_at_ms: 1, ...wire(entry) };
    for (const client of this.clients) if (client !== from) client.inbox.push(push as never);
    return result(entry, resolution);
  }
}

function result({ version, value, patch }: Entry, resolution: string): Frame {
  if (fits(value)) return { ...wire({ version, value }), resolution };
  return { version, ...(patch && fits(patch) ? { patch } : {}), resolution };
}

function wire({ version, value, patch }: Omit<Entry, "patch"> & { patch?: object | undefined }): Frame {
  const content = patch ? { patch } : value === undefined ? { deleted: true } : { value };
  const large = !fits(patch ?? value);
  return JSON.parse(JSON.stringify({ version, ...(large ? {} : content) })) as Frame;
}

/** One user's documents and what lies between them and the server. */
class Client {
  readonly inbox: Push[] = [];
  readonly asked: Asked[] = [];
  readonly read: string[] = [];
  readonly report = vi.fn();
  readonly documents: Documents;
  online = false;
  /** What becomes of the next requests; the server's answer unless given. */
  readonly instead: ((request: Asked) => unknown)[] = [];
  readonly readInstead: (() => unknown)[] = [];

  constructor(
    readonly server: StateServer,
    host: Partial<DocumentsHost> = {},
  ) {
    server.clients.push(this);
    this.documents = new Documents(CHANNEL, {
      ask: async (request) => this.#ask(request),
      readDocument: async (key) => {
        this.read.push(key);
        const { version, value } = this.server.current(key);
        await this.readInstead.shift()?.();
        return value === undefined ? undefined : { version, value };
      },
      report: this.report,
      random: () => 0,
      ...host,
    });
  }

  document<T = Member>(key = "k"): Document<T> {
    return this.documents.document<T>(key);
  }

  async come(): Promise<void> {
    const { state } = this.documents.subscribing();
    this.online = true;
    this.documents.subscribed({ state: this.server.page(state as never) } as never);
    await settled();
  }

  go(): void {
    this.online = false;
    this.inbox.length = 0;
    this.documents.disconnected();
  }

  async receive(): Promise<void> {
    for (const push of this.inbox.splice(0)) this.documents.push(push);
    await settled();
  }

  async #ask(request: Asked): Promise<unknown> {
    this.asked.push(structuredClone(request));
    if (!this.online) throw uncertain("not connected");
    const instead = this.instead.shift();
    return instead ? instead(request) : this.server.handle(request as never, this);
  }

  /** The next request is carried out, and its answer lost. */
  loseReply(): void {
    this.instead.push((request) => {
      this.server.handle(request as never, this);
      throw uncertain("no answer came");
    });
  }

  writes(): Member[] {
    return this.asked.filter(({ type }) => type !== "state.get") as never;
  }
}

async function setUp(strategy: Strategy = "merge", value?: unknown) {
  const server = new StateServer(strategy);
  if (value !== undefined) server.handle({ type: "state.set", key: "k", value });
  const [ann, bob] = [new Client(server), new Client(server)];
  await ann.come();
  await bob.come();
  return { server, ann, bob };
}

function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error);
}

class FakeStore implements Store {
  readonly kept = new Map<number, Keepable>();
  readonly saved = new Map<string, KeptDocument>();
  fails = false;
  #next = 1;

  documents = async (): Promise<Record<string, KeptDocument>> => Object.fromEntries(this.saved);
  putDocument(_channel: string, key: string, document: KeptDocument | undefined): void {
    if (document) this.saved.set(key, document);
    else this.saved.delete(key);
  }
  async keep(request: Keepable): Promise<number> {
    if (this.fails) throw refusal({ code: 1010, name: "limit_reached" });
    this.kept.set(this.#next, structuredClone(request));
    return this.#next++;
  }
  sent = async (): Promise<boolean> => true;
  close = (): void => undefined;
  forget = (id: number): void => void this.kept.delete(id);
  left = async () => [...this.kept].map(([id, request]) => ({ id, request, sentAtMs: undefined }));
  wipe = async (): Promise<void> => undefined;
}

describe("reading", () => {
  test("a document is there once the server has told it, and follows what is pushed", async () => {
    const { ann, bob } = await setUp("merge", { n: 1 });
    const document = ann.document();
    expect(await document.ready()).toEqual({ n: 1 });
    const changes: unknown[] = [];
    const stop = document.onChange((value, of) => changes.push([value, of.version]));
    await bob.document().patch({ n: 2 });
    await ann.receive();
    expect(changes).toEqual([[{ n: 2 }, 2]]);
    stop();
    await bob.document().delete();
    await ann.receive();
    expect([document.value, document.version, changes.length]).toEqual([undefined, 3, 1]);
  });

  test("before the server has told there is nothing, and `ready` waits; left, it is refused", async () => {
    const ann = new Client(new StateServer());
    const ready = outcome(ann.document().ready());
    await settled();
    ann.documents.closed(closed("left"));
    expect(await ready).toMatchObject({ kind: "closed" });
    expect(await outcome(ann.document().ready())).toMatchObject({ kind: "closed" });
    await ann.come();
    expect(await ann.document().ready()).toBeUndefined();
  });

  test("a hole is filled once, whatever is pushed meanwhile", async () => {
    const { ann, bob } = await setUp("merge", { n: 1 });
    for (const n of [2, 3, 4, 5]) await bob.document().patch({ n });
    ann.inbox.shift();
    ann.instead.push(() => Promise.reject(uncertain("no answer came")));
    await ann.receive();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ann.document().value).toEqual({ n: 5 });
    expect(ann.asked).toEqual(Array(2).fill({ type: "state.get", channel: CHANNEL, key: "k", since_version: 1 }));
  });

  test("a push that comes while a hole is filled, and is not in the answer, is not lost", async () => {
    const { server, ann, bob } = await setUp("merge", { n: 1 });
    for (const n of [2, 3]) await bob.document().patch({ n });
    ann.inbox.shift();
    ann.instead.push(async (request) => {
      const answer = server.handle(request as never);
      for (const n of [4, 5]) await bob.document().patch({ n });
      ann.inbox.shift();
      ann.documents.push(ann.inbox.shift()!);
      return answer;
    });
    await ann.receive();
    await settled();
    expect(ann.document().value).toEqual({ n: 5 });
  });

  test("the loss of a last push shows at the next check; and in the pages that follow a subscription", async () => {
    const { server, ann, bob } = await setUp();
    server.pageSize = 2;
    for (const key of ["a", "b", "c", "d", "e"]) await bob.document(key).set({ key });
    ann.inbox.length = 0;
    ann.documents.check();
    await settled();
    expect(ann.asked).toHaveLength(3);
    expect([...ann.documents.replica.values.keys()]).toEqual(["a", "b", "c", "d", "e"]);
    const late = new Client(server);
    await late.come();
    expect([...late.documents.replica.values.keys()]).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("more versions than a frame holds are not told, and what has been deleted is found all the same", async () => {
    const { server, ann, bob } = await setUp();
    const keys = Array.from({ length: 300 }, (_, number) => `${"k".repeat(90)}${number}`);
    for (const key of keys) server.handle({ type: "state.set", key, value: 1 });
    await ann.receive();
    ann.go();
    await bob.receive();
    await bob.document(keys[7]!).delete();
    expect(ann.documents.subscribing()).toEqual({ state: true });
    await ann.come();
    expect(ann.document(keys[7]!).value).toBeUndefined();
    expect(ann.asked).toHaveLength(1);
    expect(ann.documents.replica.values.size).toBe(299);
  });

  test("what was not told with the first page is not told with the next ones", async () => {
    const { server, ann, bob } = await setUp();
    server.pageSize = 1;
    for (const key of ["a", "b", "c"]) server.handle({ type: "state.set", key, value: 1 });
    const late = new Client(server);
    await late.come();
    expect(late.asked).toEqual([
      { type: "state.get", channel: CHANNEL, after: "a" },
      { type: "state.get", channel: CHANNEL, after: "b" },
    ]);
    for (const key of ["a", "b", "c"]) server.handle({ type: "state.set", key, value: 2 });
    late.asked.splice(0);
    await late.come();
    const known = { a: 1, b: 1, c: 1 };
    expect(late.asked).toEqual([
      { type: "state.get", channel: CHANNEL, known, after: "a" },
      { type: "state.get", channel: CHANNEL, known, after: "b" },
    ]);
    expect([ann, bob].map(({ asked }) => asked)).toEqual([[], []]);
  });

  test.each([
    ["that are empty", {}],
    ["that do not ascend", { a: { version: 1, value: 1 } }],
  ])("pages %s are not asked for without end", async (_name, documents) => {
    const ann = new Client(new StateServer());
    const more = (): unknown => ({ documents, more: true });
    ann.instead.push(...Array.from({ length: 50 }, () => more));
    await ann.come();
    ann.documents.check();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(ann.asked.length).toBeLessThan(4);
    expect(ann.report).toHaveBeenCalledOnce();
    ann.instead.length = 0;
    ann.documents.check();
    expect(await ann.document("b").ready()).toBeUndefined();
  });

  test("what is handed out can't be changed", async () => {
    const { ann } = await setUp("merge", { list: [{ n: 1 }] });
    const value = ann.document<{ list: { n: number }[] }>().value!;
    expect(() => (value.list[0]!.n = 2)).toThrow(TypeError);
    const mine = { list: [{ n: 3 }] };
    const written = ann.document().set(mine);
    mine.list[0]!.n = 4;
    expect(ann.document().value).toEqual({ list: [{ n: 3 }] });
    expect((await written).value).toEqual({ list: [{ n: 3 }] });
  });

  test.each([[undefined], [null], [1], ["x"], [{}], [[]]])(
    "frames that make no sense (%o) throw nothing",
    async (junk) => {
      const { ann, bob } = await setUp("merge", { n: 1 });
      for (const push of [
        { key: junk, version: 5 },
        { key: "k", version: junk },
        { key: "other", version: 1, patch: junk },
      ]) {
        ann.documents.push({ type: "state", channel: CHANNEL, ...push } as never);
        await settled();
      }
      ann.documents.subscribed({ state: { documents: junk } } as never);
      ann.documents.subscribed({ state: { documents: { k: junk } } } as never);
      ann.instead.push(() => junk);
      await outcome(ann.document().patch({ x: 1 }));
      await vi.advanceTimersByTimeAsync(1_000);
      await bob.document().patch({ m: 1 });
      ann.go();
      await ann.come();
      expect(ann.document().value).toEqual(bob.document().value);
    },
  );
});

describe("large documents", () => {
  const text = "x".repeat(LARGE);

  test("are read by HTTP, and what is known of them is shown until then", async () => {
    const { server, ann } = await setUp("merge", { n: 1 });
    const document = ann.document();
    server.handle({ type: "state.set", key: "k", value: { n: 2, text } });
    let free: () => void = () => undefined;
    ann.readInstead.push(() => new Promise<void>((resolve) => (free = resolve)));
    await ann.receive();
    expect(document.value).toEqual({ n: 1 });
    server.handle({ type: "state.patch", key: "k", patch: { n: 3 } }); // while it is read
    await ann.receive();
    free();
    await settled();
    expect(ann.document().value).toEqual({ n: 3, text });
    expect(ann.document().version).toBe(3);
    expect(ann.read).toEqual(["k"]); // the rest came as changes
  });

  test("are read again when that fails, and `ready` waits for it", async () => {
    const { ann, bob, server } = await setUp();
    server.handle({ type: "state.set", key: "k", value: { text } });
    ann.readInstead.push(() => Promise.reject(uncertain("nothing came")));
    await ann.receive();
    const ready = ann.document().ready();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await ready).toEqual({ text });
    bob.readInstead.push(() => Promise.reject(refusal({ code: 1005, name: "forbidden" })));
    await bob.receive();
    expect(bob.report).toHaveBeenCalledOnce();
  });

  test("what is written to them is settled by its change, or read", async () => {
    const { ann, server } = await setUp("merge", { text });
    expect((await ann.document().patch({ n: 1 })).value).toEqual({ text, n: 1 });
    expect(ann.read).toEqual(["k"]);
    ann.instead.push((request) => {
      const { version, resolution } = server.handle(request as never, ann) as Member;
      return { version, resolution };
    });
    expect(await ann.document().patch({ n: 2 })).toMatchObject({ version: 3, value: { text, n: 2 } });
    expect(ann.read).toEqual(["k", "k"]);
  });

  test("what the server would refuse for its size is not sent, nor shown", async () => {
    const { ann } = await setUp();
    expect(await outcome(ann.document().set({ text: "é".repeat(126_000) }))).toMatchObject({ kind: "too_large" });
    expect([ann.document().value, ann.document().pending, ann.asked]).toEqual([undefined, 0, []]);
  });

  test("one that is read older than it is known to be, again and again, is not read without a pause", async () => {
    const server = new StateServer();
    server.handle({ type: "state.set", key: "k", value: { text } });
    server.handle({ type: "state.set", key: "k", value: { text: `${text}2` } });
    let times = 0;
    const ann = new Client(server, {
      readDocument: async () => {
        if (++times > 500) throw refusal({ code: 1005, name: "forbidden" });
        return times > 15 ? server.current("k") : { version: 1, value: { text } };
      },
    });
    await ann.come();
    expect(times).toBeLessThan(6);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(times).toBeLessThan(50);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(ann.document().value).toEqual({ text: `${text}2` });
    expect([times, ann.report.mock.calls.length]).toEqual([16, 0]);
  });

  test("one that is gone when it is read is not there", async () => {
    const { server, ann } = await setUp();
    server.handle({ type: "state.set", key: "k", value: { text } });
    server.handle({ type: "state.delete", key: "k" });
    ann.inbox.pop();
    await ann.receive();
    expect(await ann.document().ready()).toBeUndefined();
    expect(ann.document().version).toBe(2);
  });
});

describe("writing", () => {
  test("shows at once, and rests on what others write meanwhile", async () => {
    const { ann, bob } = await setUp("merge", { n: 1 });
    const document = ann.document();
    const seen: unknown[] = [];
    document.onChange((value) => seen.push(value));
    await bob.document().patch({ b: 1 });
    const written = document.patch({ a: 1 });
    expect([document.value, document.version, document.pending]).toEqual([{ n: 1, a: 1 }, 1, 1]);
    await ann.receive();
    expect(await written).toEqual({ version: 3, value: { n: 1, b: 1, a: 1 }, resolution: "merged" });
    expect([document.version, document.pending]).toEqual([3, 0]);
    expect(seen.at(-1)).toEqual({ n: 1, b: 1, a: 1 });
    expect(seen.length).toBeLessThanOrEqual(2);
  });

  test("one at a time and in order, each upon the one before", async () => {
    const { ann } = await setUp("reject");
    const document = ann.document();
    const versions = await Promise.all([document.set({ n: 1 }), document.set({ n: 2 }), document.patch({ m: 3 })]);
    expect(versions.map(({ version }) => version)).toEqual([1, 2, 3]);
    expect(ann.writes().map((write) => write["base_version"])).toEqual([0, 1, 2]);
    await document.delete();
    await Promise.all([document.set({ n: 4 }), document.set({ n: 5 })]);
    expect([document.value, document.version]).toEqual([{ n: 5 }, 6]);
  });

  test("what comes upon a deletion that nobody knew of follows its own former write", async () => {
    const { server, ann, bob } = await setUp("reject", { n: 1 });
    await bob.document().delete();
    const late = new Client(server);
    await late.come();
    await Promise.all([late.document().set({ n: 2 }), late.document().set({ n: 3 })]);
    expect(server.current("k").version).toBe(4);
    await ann.receive();
    expect(ann.document().value).toEqual({ n: 3 });
  });

  test("two who were away agree, and have what both have written", async () => {
    const { ann, bob, server } = await setUp("merge", { ann: 0, bob: 0 });
    ann.go();
    bob.go();
    const written = [1, 2, 3].flatMap((n) => [
      ann.document().set({ ...ann.document().value, ann: n }),
      bob.document().set({ ...bob.document().value, bob: n }),
      ann.document().patch({ [`a${n}`]: n }),
    ]);
    expect([ann.document().value, ann.document().pending]).toEqual([{ ann: 3, bob: 0, a1: 1, a2: 2, a3: 3 }, 6]);
    await ann.come();
    await bob.come();
    await Promise.all(written);
    await ann.receive();
    expect(server.current("k").value).toEqual({ ann: 3, bob: 3, a1: 1, a2: 2, a3: 3 });
    expect(ann.document().value).toEqual(server.current("k").value);
    expect(bob.document().value).toEqual(server.current("k").value);
  });

  test("a write upon one that was settled with others' is settled with those, too", async () => {
    const { ann, bob, server } = await setUp("largest", 5);
    ann.go();
    const written = [ann.document<number>().set(6), ann.document<number>().set(7)];
    await bob.document<number>().set(10);
    await ann.come();
    await Promise.all(written);
    expect(server.current("k").value).toBe(10);
    expect(ann.document().value).toBe(10);
  });

  test("a lost reply: it is sent again as it was, once more changes nothing", async () => {
    const { ann, server } = await setUp("reject", { n: 1 });
    ann.loseReply();
    const written = [ann.document().set({ n: 2 }), ann.document().set({ n: 3 })];
    await vi.advanceTimersByTimeAsync(1_000);
    expect((await Promise.all(written)).map(({ version }) => version)).toEqual([2, 3]);
    expect(ann.writes().map((write) => write["base_version"])).toEqual([1, 1, 2]);
    expect(server.current("k").value).toEqual({ n: 3 });
  });

  test("what was not answered when the connection went is sent when one stands, not before", async () => {
    const { ann } = await setUp("merge", { n: 1 });
    ann.go();
    const written = ann.document().patch({ n: 2 });
    await vi.advanceTimersByTimeAsync(600_000);
    expect(ann.asked).toEqual([]);
    await ann.come();
    expect(await written).toMatchObject({ version: 2 });
  });

  test("the server says when it is tried again", async () => {
    const { ann } = await setUp();
    ann.instead.push(() => Promise.reject(refusal({ code: 2004, retryable: true, retry_after_ms: 800 })));
    const written = ann.document().set({ n: 1 });
    await vi.advanceTimersByTimeAsync(799);
    expect(ann.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await written).toMatchObject({ version: 1 });
  });

  test("what is refused is taken back, and those behind it stand", async () => {
    const { ann, server } = await setUp("merge", { n: 1 });
    const seen: unknown[] = [];
    ann.document().onChange((value) => seen.push(value));
    ann.instead.push(() => Promise.reject(refusal({ code: 1005, name: "forbidden" })));
    const refused = outcome(ann.document().patch({ n: 2 }));
    const written = ann.document().patch({ m: 1 });
    expect(await refused).toMatchObject({ kind: "forbidden" });
    await written;
    expect(seen).toEqual([{ n: 2 }, { n: 2, m: 1 }, { n: 1, m: 1 }]);
    expect(server.current("k").value).toEqual({ n: 1, m: 1 });
  });

  test("what was left or closed is refused, and sent no more", async () => {
    const { ann } = await setUp("merge", { n: 1 });
    ann.instead.push(() => Promise.reject(uncertain("no answer came")));
    const refused = [outcome(ann.document().patch({ n: 2 })), outcome(ann.document().patch({ n: 3 }))];
    await settled();
    ann.documents.closed(closed("left"));
    expect(await Promise.all(refused)).toMatchObject([{ kind: "closed" }, { kind: "closed" }]);
    expect(ann.document().value).toEqual({ n: 1 });
    await ann.come();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(ann.writes()).toHaveLength(1);
    expect(await ann.document().patch({ n: 4 })).toMatchObject({ version: 2 });
  });

  test("what was on its way when that happened is not sent again", async () => {
    const { ann } = await setUp("merge", { n: 1 });
    let lose: (error: TidewireError) => void = () => undefined;
    ann.instead.push(() => new Promise((_resolve, reject) => (lose = reject)));
    const refused = outcome(ann.document().patch({ n: 2 }));
    await settled();
    ann.documents.closed(closed("left"));
    await ann.come();
    const written = ann.document().patch({ m: 1 });
    lose(uncertain("no answer came"));
    expect(await refused).toMatchObject({ kind: "closed" });
    await vi.advanceTimersByTimeAsync(60_000);
    expect((await written).value).toEqual({ n: 1, m: 1 });
    expect(ann.writes().map((write) => write["patch"])).toEqual([{ n: 2 }, { m: 1 }]);
  });

  test("a listener that throws breaks nothing but itself", async () => {
    const { ann } = await setUp();
    const heard = vi.fn();
    ann.document().onChange(() => {
      throw new Error("mine");
    });
    ann.document().onChange(heard);
    await ann.document().set({ n: 1 });
    expect(ann.report).toHaveBeenCalledWith(new Error("mine"));
    expect(heard).toHaveBeenCalledOnce();
  });

  test("what was seen by nobody is not overwritten; a patch to it says what it changes", async () => {
    const server = new StateServer("merge");
    server.handle({ type: "state.set", key: "k", value: { n: 1 } });
    const ann = new Client(server);
    const refused = outcome(ann.document().set({ mine: 1 }));
    const patched = ann.document().patch({ m: 1 });
    await ann.come();
    expect(await refused).toMatchObject({ kind: "version_conflict" });
    expect(await patched).toMatchObject({ value: { n: 1, m: 1 } });
  });
});

describe("conflicts", () => {
  async function conflicting() {
    const { ann, bob, server } = await setUp("reject", { n: 1 });
    await bob.document().set({ n: 2 });
    return { ann, server, bob };
  }

  test("without anybody to ask, the write is refused, and what is there is shown", async () => {
    const { ann } = await conflicting();
    expect(await outcome(ann.document().set({ n: 3 }))).toMatchObject({ kind: "version_conflict" });
    expect([ann.document().value, ann.document().version]).toEqual([{ n: 2 }, 2]);
  });

  test("what the user returns is written upon the current value", async () => {
    const { ann, server } = await conflicting();
    const asked = vi.fn();
    ann.document<{ n: number }>().onConflict(async ({ mine, current }) => {
      asked(mine, current);
      return { n: mine!.n + current!.n };
    });
    expect(await ann.document().set({ n: 3 })).toEqual({ version: 3, value: { n: 5 }, resolution: "applied" });
    expect(asked).toHaveBeenCalledExactlyOnceWith({ n: 3 }, { n: 2 });
    expect(server.current("k").value).toEqual({ n: 5 });
  });

  test("again when others were faster once more, upon the version that was shown", async () => {
    const { ann, bob, server } = await conflicting();
    let times = 0;
    ann.document<{ n: number }>().onConflict(async ({ current }) => {
      if (times++ === 0) {
        await bob.document().set({ n: 20 });
        await ann.receive(); // while the user thinks
      }
      return { n: current!.n + 1 };
    });
    expect((await ann.document().set({ n: 3 })).value).toEqual({ n: 21 });
    expect([times, server.current("k").version]).toEqual([2, 4]);
  });

  test("nothing, or a listener that throws: the next is asked, then it is refused", async () => {
    const { ann } = await conflicting();
    const last = vi.fn();
    ann.document().onConflict(() => undefined);
    ann.document().onConflict(() => {
      throw new Error("mine");
    });
    ann.document().onConflict(last);
    expect(await outcome(ann.document().set({ n: 3 }))).toMatchObject({ kind: "version_conflict" });
    expect(last).toHaveBeenCalledOnce();
    expect(ann.report).toHaveBeenCalledExactlyOnceWith(new Error("mine"));
  });

  test("about a write that was left meanwhile nobody is asked, nor the next one when one has thought for long", async () => {
    const { ann } = await conflicting();
    const asked = vi.fn();
    ann.document().onConflict(asked);
    ann.instead.push(async (request) => {
      await Promise.resolve();
      ann.documents.closed(closed("left"));
      return ann.server.handle(request as never, ann);
    });
    expect(await outcome(ann.document().set({ n: 3 }))).toMatchObject({ kind: "closed" });
    await settled();
    expect(asked).not.toHaveBeenCalled();

    const { ann: bob } = await conflicting();
    bob.document().onConflict(() => bob.documents.closed(closed("left")) as undefined);
    bob.document().onConflict(asked);
    expect(await outcome(bob.document().set({ n: 3 }))).toMatchObject({ kind: "closed" });
    await settled();
    expect(asked).not.toHaveBeenCalled();
  });

  test("a resolver that refuses is one as well", async () => {
    const { ann, bob } = await setUp("largest", 5);
    await bob.document<number>().set(7);
    ann.document<number>().onConflict(({ current, error }) => (error.kind === "refused" ? current! + 1 : undefined));
    expect(await ann.document<number>().set(-1)).toMatchObject({ value: 8 });
  });
});

describe("over pages", () => {
  test("documents are shown before the server is there, and continued", async () => {
    const store = new FakeStore();
    const { server, bob } = await setUp("merge", { n: 1 });
    const first = new Client(server, { store });
    await first.come();
    await first.document<number>("other").set(1);
    await first.document("other").delete();
    expect([...store.saved]).toEqual([["k", { version: 1, value: { n: 1 } }]]);
    await bob.document().patch({ n: 2 });

    const ann = new Client(server, { store });
    const ready = ann.document().ready();
    await ann.documents.prepare();
    expect([ann.document().value, ann.document().version]).toEqual([{ n: 1 }, 1]);
    expect(ann.documents.subscribing()).toEqual({ state: { k: 1 } });
    await ann.come();
    expect(await ready).toEqual({ n: 2 });
    expect(store.saved.get("k")).toEqual({ version: 2, value: { n: 2 } });
  });

  test("a write that was kept is shown, sent first, and forgotten when it is answered", async () => {
    const store = new FakeStore();
    const { server, bob } = await setUp("merge", { n: 1 });
    const first = new Client(server, { store });
    await first.come();
    first.instead.push(() => Promise.reject(uncertain("no answer came")));
    void outcome(first.document().patch({ a: 1 }, { offline: true }));
    void outcome(first.document().patch({ a: 2 }, { offline: true }));
    void outcome(first.document().patch({ lost: 1 }));
    await settled();
    first.documents.closed(closed("the page goes"));
    await settled();
    await bob.document().patch({ b: 1 });

    const ann = new Client(server, { store });
    await ann.documents.prepare();
    const written = ann.document().patch({ a: 3 });
    for (const kept of await store.left()) ann.documents.restore(kept);
    expect(ann.document().value).toEqual({ n: 1, a: 3 });
    expect(store.kept.size).toBe(2);
    await ann.come();
    await written;
    expect(ann.writes().map((write) => write["patch"])).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }]);
    expect(server.current("k").value).toEqual({ n: 1, a: 3, b: 1 });
    expect(store.kept.size).toBe(0);
  });

  test("one that is taken up while another is under way goes behind it, and before the rest; each is sent once", async () => {
    const store = new FakeStore();
    const { server } = await setUp("merge", { n: 1 });
    const ann = new Client(server, { store });
    await ann.come();
    ann.instead.push(() => Promise.reject(uncertain("the connection ended")));
    const written = [ann.document().patch({ a: 1 }), ann.document().patch({ b: 1 })];
    await settled();
    ann.go();
    for (const name of ["kept1", "kept2"]) {
      const request = { type: "state.patch", channel: CHANNEL, key: "k", patch: { [name]: 1 } } as const;
      ann.documents.restore({ id: await store.keep(request), request, sentAtMs: undefined });
    }
    await ann.come();
    await Promise.all(written);
    const sent = ann.writes().map(({ patch }) => Object.keys(patch as object)[0]);
    expect(sent).toEqual(["a", "a", "kept1", "kept2", "b"]);
    expect(ann.document().pending).toBe(0);
  });

  test("one that another page has taken over meanwhile is not sent", async () => {
    const store = new FakeStore();
    const { server } = await setUp("merge", { n: 1 });
    const ann = new Client(server, { store });
    await ann.come();
    ann.go();
    const written = outcome(ann.document().patch({ a: 1 }, { offline: true }));
    await settled();
    store.sent = async () => false;
    await ann.come();
    expect(await written).toMatchObject({ kind: "closed" });
    expect([ann.writes(), ann.document().value]).toEqual([[], { n: 1 }]);
  });

  test("of one that is refused the next page is told, and it is forgotten", async () => {
    const store = new FakeStore();
    const { server } = await setUp("reject", { n: 1 });
    const ann = new Client(server, { store });
    const request = { type: "state.set", channel: CHANNEL, key: "k", value: 2, base_version: 0 } as const;
    ann.documents.restore({ id: await store.keep(request), request, sentAtMs: undefined });
    expect(ann.document().value).toBe(2);
    await ann.come();
    expect(ann.document().value).toEqual({ n: 1 });
    expect(ann.report).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ kind: "version_conflict" }));
    expect(store.kept.size).toBe(0);
  });

  test.each(["keep", "sent"] as const)(
    "one that is left while it is noted (%s) is left to the next page",
    async (how) => {
      const store = new FakeStore();
      const { server } = await setUp("merge", { n: 1 });
      const ann = new Client(server, { store });
      await ann.come();
      let go: () => void = () => undefined;
      const noted = new Promise<void>((resolve) => (go = resolve));
      const note = store[how].bind(store) as (...args: unknown[]) => Promise<never>;
      store[how] = (async (request: Keepable) => {
        await noted;
        return note(request);
      }) as never;
      const refused = outcome(ann.document().patch({ a: 1 }, { offline: true }));
      await settled();
      ann.documents.closed(closed("unsubscribed"));
      expect(await refused).toMatchObject({ kind: "closed" });
      await ann.come();
      const written = ann.document().patch({ b: 1 });
      go();
      expect((await written).value).toEqual({ n: 1, b: 1 });
      expect(ann.writes().map(({ patch }) => patch)).toEqual([{ b: 1 }]);
      expect([...store.kept.values()]).toMatchObject([{ patch: { a: 1 } }]);
    },
  );

  test("where the server ends it for good, what is kept stays so without a word, also what is under way", async () => {
    const store = new FakeStore();
    const { server } = await setUp("merge", { n: 1 });
    const ann = new Client(server, { store });
    for (const name of ["a", "b"]) {
      const request = { type: "state.patch", channel: CHANNEL, key: "k", patch: { [name]: 1 } } as const;
      ann.documents.restore({ id: await store.keep(request), request, sentAtMs: undefined });
    }
    let lose: (error: TidewireError) => void = () => undefined;
    ann.instead.push(() => new Promise((_resolve, reject) => (lose = reject)));
    await ann.come();
    const mine = outcome(ann.document().patch({ c: 1 }, { offline: true }));
    const revoked = refusal({ code: 3501, name: "revoked" });
    ann.go();
    ann.documents.closed(revoked);
    lose(revoked);
    expect(await mine).toBe(revoked);
    await settled();
    expect(ann.report).not.toHaveBeenCalled();
    expect(store.kept.size).toBe(3);
  });

  test("what can't be kept is refused", async () => {
    const store = new FakeStore();
    store.fails = true;
    const ann = new Client(new StateServer(), { store });
    await ann.come();
    expect(await outcome(ann.document().set({ n: 1 }, { offline: true }))).toMatchObject({ kind: "limit_reached" });
    expect([ann.document().value, ann.writes()]).toEqual([undefined, []]);
  });

  test("a store that fails is told, and nothing else", async () => {
    const store = new FakeStore();
    store.documents = () => Promise.reject(new Error("no disk"));
    const { server } = await setUp("merge", { n: 1 });
    const ann = new Client(server, { store });
    await ann.documents.prepare();
    await ann.come();
    expect(ann.document().value).toEqual({ n: 1 });
    expect(ann.report).toHaveBeenCalledExactlyOnceWith(new Error("no disk"));
  });
});

describe("whatever the network does, all end with what the server has", () => {
  const NAMES = ["ann", "bob", "cyd"];

  test.each(
    Array.from({ length: 150 }, (_, seed) => [(["merge", "reject", "last_write_wins"] as const)[seed % 3]!, seed]),
  )("%s (seed %i)", async (strategy, seed) => {
    const random = seeded(seed);
    const server = new StateServer(strategy);
    server.pageSize = 1;
    const accepted = new Map<string, number>(); // by user and document: the last number that was not refused
    const clients = NAMES.map((name) => [name, new Client(server, { random })] as const);
    const text = "x".repeat(LARGE - 60);
    for (const key of ["a", "b"]) server.handle({ type: "state.set", key, value: { text: key === "b" ? text : "" } });
    for (const [, client] of clients) await client.come();

    for (let step = 1; step <= 60; step++) {
      const [name, client] = clients[Math.floor(random() * clients.length)]!;
      const key = random() < 0.7 ? "a" : "b";
      const document = client.document(key);
      const move = random();
      if (move < 0.45) {
        const whole = random() < 0.5;
        const mine = { [name]: step, [`${name}${step % 3}`]: "y".repeat(step % 30) };
        const written = whole ? document.set({ ...document.value, ...mine }) : document.patch(mine);
        written.then(
          () => accepted.set(`${name} ${key}`, step),
          () => undefined, // a conflict
        );
      } else if (move < 0.6) client.loseReply();
      else if (move < 0.7) client.instead.push(() => Promise.reject(uncertain("it never came there")));
      else if (move < 0.9) {
        const pushes = shuffled(client.inbox.splice(0), random);
        for (const push of pushes) {
          if (random() < 0.3) continue;
          client.documents.push(push);
          if (random() < 0.2) client.documents.push(push);
        }
      } else if (client.online) client.go();
      else void client.come();
      if (random() < 0.3) await vi.advanceTimersByTimeAsync(random() * 400);
    }

    for (const [, client] of clients) {
      client.instead.length = 0;
      if (!client.online) await client.come();
    }
    await vi.advanceTimersByTimeAsync(120_000);
    for (const [, client] of clients) {
      await client.receive();
      client.documents.check();
      await vi.advanceTimersByTimeAsync(60_000);
    }
    for (const [name, client] of clients) {
      for (const key of ["a", "b"]) {
        const { value, version, pending } = client.document(key);
        expect({ value, version, pending }).toEqual({ ...server.current(key), patch: undefined, pending: 0 });
        const last = accepted.get(`${name} ${key}`);
        if (strategy === "merge" && last) expect((value as Member)[name]).toBe(last);
      }
      expect(client.report).not.toHaveBeenCalled();
    }
  });
});

test("a listener that insists against a rule of the server's does not hammer it", async () => {
  const { ann } = await setUp("merge", { n: 1 });
  const refuse = async (request: Asked): Promise<unknown> => {
    ann.instead.push(refuse);
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (request.type === "state.get") return ann.server.handle(request as never, ann);
    throw refusal({ code: 1014, name: "refused" });
  };
  ann.instead.push(refuse);
  ann.document().onConflict(({ mine }) => mine);
  const written = outcome(ann.document().set({ n: 2 }));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(ann.writes().length).toBeLessThan(45);
  ann.documents.closed(closed("enough"));
  expect(await written).toMatchObject({ kind: "closed" });
});
