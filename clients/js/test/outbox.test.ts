import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Asked } from "../src/link.js";
import { TidewireError, closed, uncertain } from "../src/errors.js";
import type { PublishResult } from "../src/generated/frames.js";
import { Outbox, type Publish } from "../src/outbox.js";
import { outboxFull, type Keepable, type Kept, type Store } from "../src/store.js";
import { settled, wireError } from "./fakes.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Answer = { resolve: (result: unknown) => void; reject: (error: TidewireError) => void };

/** An outbox and the batches that it has sent, each with the answers to give. */
function setUp({ online = true, random = (): number => 0 } = {}) {
  const network = { online };
  const reported: unknown[] = [];
  const batches: { frames: Publish[]; answers: Answer[] }[] = [];
  const outbox = new Outbox({
    random,
    connected: () => network.online,
    report: (error) => void reported.push(error),
    ask: (requests: readonly Asked[]) => {
      const answers: Answer[] = [];
      const promises = requests.map(
        () => new Promise<unknown>((resolve, reject) => void answers.push({ resolve, reject })),
      );
      batches.push({ frames: requests as Publish[], answers });
      return promises;
    },
  });
  const last = () => batches.at(-1) as (typeof batches)[number];
  const accept = (): Promise<void> => {
    last().answers.forEach((answer, index) => answer.resolve(accepted(last().frames[index]!.message_id as string)));
    return settled();
  };
  const fail = (error: TidewireError): Promise<void> => {
    last().answers.forEach((answer) => answer.reject(error));
    return settled();
  };
  return { network, outbox, reported, batches, last, accept, fail };
}

function accepted(message_id: string): PublishResult {
  return { message_id, status: "accepted" };
}

function said(id: string, data: unknown = "x", channel = "room:a"): Publish {
  return { type: "publish", channel, name: "said", data, message_id: id };
}

function ids(frames: readonly Publish[]): unknown[] {
  return frames.map(({ message_id }) => message_id);
}

/** What is kept, whichever page asks. */
class FakeStore implements Pick<Store, "keep" | "sent" | "forget"> {
  readonly kept = new Map<number, Kept>();
  readonly log: string[] = [];
  full = false;
  taken = false; // by another page
  #id = 0;

  async keep(request: Keepable): Promise<number> {
    await Promise.resolve();
    if (this.full) throw outboxFull();
    const id = ++this.#id;
    this.kept.set(id, { id, request, sentAtMs: undefined });
    this.#note("keep", id);
    return id;
  }

  async sent(id: number): Promise<boolean> {
    await Promise.resolve();
    if (this.taken) return false;
    this.kept.set(id, { ...(this.kept.get(id) as Kept), sentAtMs: Date.now() });
    this.#note("sent", id);
    return true;
  }

  forget(id: number): void {
    this.#note("forget", id);
    this.kept.delete(id);
  }

  #note(what: string, id: number): void {
    this.log.push(`${what} ${(this.kept.get(id)?.request as Publish).message_id}`);
  }

  /** For an outbox. */
  get store(): Store {
    return this as unknown as Store;
  }

  /** Another page: what is left goes back in line, and its connection stands. */
  reload(page: ReturnType<typeof setUp>): void {
    page.outbox.store = this.store;
    for (const kept of [...this.kept.values()]) page.outbox.restore(kept);
    page.network.online = true;
    page.outbox.connected();
  }
}

const offline = { offline: true };

function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error);
}

test("sends at once, and resolves with the server's answer", async () => {
  const { outbox, batches, accept } = setUp();
  const result = outbox.add(said("1"));
  expect(batches[0]?.frames).toEqual([said("1")]);
  await accept();
  expect(await result).toEqual(accepted("1"));
});

test("one batch at a time, in the order of publishing", async () => {
  const { outbox, batches, accept } = setUp();
  for (const id of ["1", "2", "3"]) void outbox.add(said(id));
  expect(batches.map(({ frames }) => ids(frames))).toEqual([["1"]]);
  await accept();
  expect(batches.map(({ frames }) => ids(frames))).toEqual([["1"], ["2", "3"]]);
});

test("a batch stays below 30,000 bytes, counted in UTF-8, and nothing is lost or swapped by that", async () => {
  const { outbox, network, batches, accept } = setUp({ online: false });
  const sent = Array.from({ length: 40 }, (_, index) => said(`${index}`, "é".repeat((index * 601) % 7_000)));
  const results = sent.map((frame) => outbox.add(frame));
  network.online = true;
  outbox.flush();
  while (batches.flatMap(({ frames }) => frames).length < sent.length) await accept();
  await accept();
  expect(batches.flatMap(({ frames }) => ids(frames))).toEqual(ids(sent));
  for (const { frames } of batches) {
    const onTheWire = JSON.stringify(frames.map((frame) => ({ ...frame, id: 123_456_789, retry: true })));
    expect(new TextEncoder().encode(onTheWire).length).toBeLessThan(30_000);
  }
  expect(batches.length).toBeLessThan(20);
  await Promise.all(results);
});

test("a batch has at most 100 frames", async () => {
  const { outbox, network, last } = setUp({ online: false });
  for (let index = 0; index < 150; index++) void outbox.add(said(`${index}`));
  network.online = true;
  outbox.flush();
  expect(last().frames).toHaveLength(100);
});

test("what waits without a connection is sent when one stands, for the first time", async () => {
  const { outbox, network, batches } = setUp({ online: false });
  void outbox.add(said("1"));
  await vi.advanceTimersByTimeAsync(600_000); // however long that takes
  expect(batches).toEqual([]);
  network.online = true;
  outbox.connected();
  expect(batches[0]?.frames).toEqual([said("1")]);
});

test("what was sent before is sent with the same id and retry: true", async () => {
  const { outbox, network, batches, fail, accept } = setUp();
  const result = outbox.add(said("1"));
  network.online = false;
  await fail(uncertain("the connection ended"));
  network.online = true;
  outbox.connected();
  expect(batches[1]?.frames).toEqual([{ ...said("1"), retry: true }]);
  await accept();
  expect(await result).toEqual(accepted("1"));
});

test("repeats keep their place before what was published later", async () => {
  const { outbox, network, last, fail } = setUp();
  void outbox.add(said("1"));
  void outbox.add(said("2"));
  network.online = false;
  await fail(uncertain("the connection ended"));
  network.online = true;
  outbox.connected();
  expect(ids(last().frames)).toEqual(["1", "2"]);
});

test("what failed in the middle of a batch is repeated in its old order, before what was published meanwhile", async () => {
  const { outbox, network, batches, last } = setUp({ online: false });
  for (const id of ["a1", "a2", "a3"]) void outbox.add(said(id));
  const other = outbox.add(said("b1", "x", "room:b"));
  network.online = true;
  outbox.flush();
  void outbox.add(said("a4"));
  const limited = new TidewireError(wireError({ code: 2004, retry_after_ms: 800 }) as never);
  const [a1, a2, a3, b1] = last().answers;
  a3!.reject(limited); // in whatever order the answers come
  b1!.resolve(accepted("b1"));
  a1!.resolve(accepted("a1"));
  await settled();
  expect(batches).toHaveLength(1);
  a2!.reject(limited);
  await other;
  void outbox.add(said("a5"));
  await vi.advanceTimersByTimeAsync(799);
  expect(batches).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(ids(last().frames)).toEqual(["a2", "a3", "a4", "a5"]);
  expect(last().frames.map(({ retry }) => retry)).toEqual([true, true, undefined, undefined]);
});

test("an answer that may be tried again is, after what the server asks", async () => {
  const { outbox, batches, fail } = setUp();
  void outbox.add(said("1"));
  await fail(new TidewireError(wireError({ code: 2004, retry_after_ms: 800 }) as never));
  await vi.advanceTimersByTimeAsync(799);
  expect(batches).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(batches[1]?.frames).toEqual([{ ...said("1"), retry: true }]);
});

test("without a word from the server the waits grow", async () => {
  const { outbox, batches, fail } = setUp({ random: () => 1 });
  const waits: number[] = [];
  void outbox.add(said("1"));
  for (let attempt = 0; attempt < 4; attempt++) {
    await fail(uncertain("no answer came"));
    const failedAt = Date.now();
    await vi.advanceTimersToNextTimerAsync();
    waits.push(Date.now() - failedAt);
  }
  expect(waits).toEqual([500, 1_000, 2_000, 4_000]);
  expect(batches).toHaveLength(5);
});

test("a new connection does not wait for what the old one was asked to", async () => {
  const { outbox, batches, fail } = setUp();
  void outbox.add(said("1"));
  await fail(new TidewireError(wireError({ retry_after_ms: 20_000 }) as never));
  outbox.connected();
  expect(batches).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(batches).toHaveLength(2);
});

test("one that is refused for good fails alone", async () => {
  const { outbox, network, last, batches } = setUp({ online: false });
  const results = ["1", "2", "3"].map((id) => outcome(outbox.add(said(id))));
  network.online = true;
  outbox.flush();
  last().answers[0]!.resolve(accepted("1"));
  last().answers[1]!.reject(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  last().answers[2]!.resolve(accepted("3"));
  expect(await Promise.all(results)).toMatchObject([accepted("1"), { code: 1005 }, accepted("3")]);
  expect(batches).toHaveLength(1);
});

test("gives up before the server would no longer know the id", async () => {
  const { outbox, batches, fail, network } = setUp();
  const result = outcome(outbox.add(said("1")));
  network.online = false;
  await fail(uncertain("the connection ended"));
  await vi.advanceTimersByTimeAsync(280_001);
  network.online = true;
  outbox.connected();
  expect(await result).toMatchObject({ code: 2002 });
  expect(batches).toHaveLength(1);
});

test("gives up on one that is never answered, and goes on with the next", async () => {
  const { outbox, fail, last } = setUp();
  const result = outcome(outbox.add(said("1")));
  const began = Date.now();
  while (Date.now() - began <= 280_000) {
    await fail(uncertain("no answer came"));
    await vi.advanceTimersByTimeAsync(20_000);
  }
  await fail(uncertain("no answer came"));
  await vi.advanceTimersByTimeAsync(20_000);
  expect(await result).toMatchObject({ code: 2002 });
  void outbox.add(said("2"));
  expect(ids(last().frames)).toEqual(["2"]);
});

test("more than a frame may have is refused here: the gateway would cut the connection, each time again", async () => {
  const { outbox, batches } = setUp();
  expect(await outcome(outbox.add(said("1", "x".repeat(256_000))))).toMatchObject({ code: 1003, retryable: false });
  expect(batches).toEqual([]);
});

test("data that is no JSON is refused, not thrown", async () => {
  const { outbox } = setUp();
  expect(await outcome(outbox.add(said("1", 1n)))).toBeInstanceOf(TypeError);
});

test("a repeat says what was said, whatever became of the object", async () => {
  const { outbox, batches, fail } = setUp();
  const data = { text: "before" };
  void outbox.add(said("1", data));
  data.text = "after";
  await fail(uncertain("no answer came"));
  await vi.advanceTimersByTimeAsync(20_000);
  expect(batches[1]?.frames[0]?.data).toEqual({ text: "before" });
});

test("clear() refuses what waits", async () => {
  const { outbox, network, batches } = setUp({ online: false });
  const result = outcome(outbox.add(said("1")));
  outbox.clear(closed("the client was closed"));
  expect(await result).toMatchObject({ kind: "closed", retryable: false });
  network.online = true;
  outbox.connected();
  expect(batches).toEqual([]);
});

test("a large one goes alone, in its turn", async () => {
  const { outbox, network, batches, accept } = setUp({ online: false });
  const large = "x".repeat(100_000);
  for (const [id, data] of Object.entries({ 1: "x", 2: large, 3: large, 4: "x", 5: "x" }))
    void outbox.add(said(id, data));
  network.online = true;
  outbox.flush();
  for (let batch = 0; batch < 4; batch++) await accept();
  expect(batches.map(({ frames }) => ids(frames))).toEqual([["1"], ["2"], ["3"], ["4", "5"]]);
});

test("up to 256,000 bytes are sent", async () => {
  const { outbox, batches } = setUp();
  void outbox.add(said("1", "x".repeat(255_800)));
  expect(batches).toHaveLength(1);
});

test("at most 1,000 publications wait", async () => {
  const { outbox, network, batches, accept } = setUp({ online: false });
  for (let index = 0; index < 1_000; index++) void outbox.add(said(`${index}`));
  expect(await outcome(outbox.add(said("more")))).toMatchObject({
    code: 1010,
    kind: "limit_reached",
    retryable: false,
    message: "the outbox is full",
  });
  network.online = true;
  outbox.flush();
  void outbox.add(said("room again"));
  while (batches.flatMap(({ frames }) => frames).length < 1_001) await accept();
  expect(ids(batches.flatMap(({ frames }) => frames)).at(-1)).toBe("room again");
});

test("at most 10,000,000 bytes wait", async () => {
  const { outbox } = setUp({ online: false });
  for (let index = 0; index < 40; index++) void outbox.add(said(`${index}`, "x".repeat(249_800)));
  expect(await outcome(outbox.add(said("more", "x".repeat(10_000))))).toMatchObject({ code: 1010 });
  void outbox.add(said("small"));
  expect(await Promise.race([outcome(outbox.add(said("small too"))), settled()])).toBe(undefined);
});

test("one that is to outlive the page is kept before it is sent, noted as sent, and forgotten when it is answered", async () => {
  const { outbox, batches, accept } = setUp();
  const kept = new FakeStore();
  outbox.store = kept.store;
  const result = outbox.add(said("1"), offline);
  expect(batches).toEqual([]);
  await settled();
  expect(kept.log).toEqual(["keep 1", "sent 1"]);
  expect(batches[0]?.frames).toEqual([said("1")]);
  await accept();
  expect(await result).toEqual(accepted("1"));
  expect(kept.log).toEqual(["keep 1", "sent 1", "forget 1"]);
});

test("only what asks for it is kept", async () => {
  const { outbox, batches } = setUp();
  const kept = new FakeStore();
  outbox.store = kept.store;
  void outbox.add(said("1"));
  expect(batches).toHaveLength(1);
  await settled();
  expect(kept.log).toEqual([]);
});

test("what came later does not overtake what is being kept", async () => {
  const { outbox, batches, accept } = setUp();
  outbox.store = new FakeStore().store;
  void outbox.add(said("1"));
  void outbox.add(said("2"), offline);
  void outbox.add(said("3"));
  await accept();
  await accept();
  await accept();
  expect(ids(batches.flatMap(({ frames }) => frames))).toEqual(["1", "2", "3"]);
});

test("one that is noted as sent is not noted again, whatever it takes", async () => {
  const { outbox, fail, last, accept } = setUp();
  const kept = new FakeStore();
  outbox.store = kept.store;
  void outbox.add(said("1"), offline);
  await settled();
  await fail(uncertain("no answer came"));
  outbox.connected();
  expect(last().frames).toEqual([{ ...said("1"), retry: true }]);
  await accept();
  expect(kept.log).toEqual(["keep 1", "sent 1", "forget 1"]);
});

test("what waits when the store becomes known is kept then, in order", async () => {
  const { outbox, network } = setUp({ online: false });
  const kept = new FakeStore();
  for (const id of ["1", "2", "3"]) void outbox.add(said(id), offline);
  await settled();
  outbox.store = kept.store;
  outbox.store = kept.store; // twice is once
  await settled();
  outbox.store = kept.store;
  await settled();
  expect(kept.log).toEqual(["keep 1", "keep 2", "keep 3"]);
  network.online = true;
  outbox.connected();
  await settled();
  expect(kept.log).toEqual(["keep 1", "keep 2", "keep 3", "sent 1", "sent 2", "sent 3"]);
});

test("without a store it is sent all the same", async () => {
  const { outbox, batches } = setUp();
  void outbox.add(said("1"), offline);
  expect(batches).toHaveLength(1);
});

test("one that the store has no room for is refused, and holds up nothing", async () => {
  const { outbox, batches, accept } = setUp();
  const kept = new FakeStore();
  kept.full = true;
  outbox.store = kept.store;
  const refused = outcome(outbox.add(said("1"), offline));
  const result = outbox.add(said("2"));
  expect(await refused).toMatchObject({ code: 1010, message: "the outbox is full" });
  await accept();
  expect(await result).toEqual(accepted("2"));
  expect(ids(batches.flatMap(({ frames }) => frames))).toEqual(["2"]);
});

test("one that is refused for good, or given up, is forgotten", async () => {
  const { outbox, last, network } = setUp({ online: false });
  const kept = new FakeStore();
  outbox.store = kept.store;
  const results = ["1", "2"].map((id) => outcome(outbox.add(said(id), offline)));
  await settled();
  network.online = true;
  outbox.connected();
  await settled();
  last().answers[0]!.reject(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  network.online = false;
  last().answers[1]!.reject(uncertain("the connection ended"));
  await settled();
  expect([...kept.kept.keys()]).toEqual([2]);
  await vi.advanceTimersByTimeAsync(280_001);
  network.online = true;
  outbox.connected();
  expect(await Promise.all(results)).toMatchObject([{ code: 1005 }, { code: 2002 }]);
  expect(kept.log.slice(-2)).toEqual(["forget 1", "forget 2"]);
});

test("one that another page has taken over is left to it", async () => {
  const { outbox, batches, accept } = setUp();
  const kept = new FakeStore();
  outbox.store = kept.store;
  kept.taken = true;
  const result = outcome(outbox.add(said("1"), offline));
  await settled();
  expect(batches).toEqual([]);
  expect(await result).toMatchObject({ kind: "closed", retryable: false });
  expect(kept.log).toEqual(["keep 1"]);
  void outbox.add(said("2"));
  await accept();
  expect(ids(batches.flatMap(({ frames }) => frames))).toEqual(["2"]);
});

test("closing the client refuses what is kept, under way or not, and leaves it to the next page", async () => {
  const page = setUp();
  const kept = new FakeStore();
  page.outbox.store = kept.store;
  const results = [outcome(page.outbox.add(said("1"), offline))];
  await settled();
  results.push(outcome(page.outbox.add(said("2"), offline)));
  await settled();
  page.network.online = false;
  await page.fail(closed("the client was closed"));
  page.outbox.clear(closed("the client was closed"));
  expect(await Promise.all(results)).toMatchObject([{ kind: "closed" }, { kind: "closed" }]);
  const next = setUp({ online: false });
  kept.reload(next);
  await settled();
  expect(next.last().frames).toEqual([{ ...said("1"), retry: true }, said("2")]);
});

test("a reload with a full outbox sends everything once and in order, before what is new", async () => {
  const page = setUp({ online: false });
  const kept = new FakeStore();
  page.outbox.store = kept.store;
  for (let index = 0; index < 1_000; index++) void page.outbox.add(said(`${index}`), offline);
  await settled();
  expect(kept.kept.size).toBe(1_000);

  const next = setUp({ online: false });
  void next.outbox.add(said("new, in memory"));
  void next.outbox.add(said("new, kept"), offline);
  kept.reload(next);
  await settled();
  while (next.batches.flatMap(({ frames }) => frames).length < 1_002) await next.accept();
  await next.accept();
  const sent = next.batches.flatMap(({ frames }) => frames);
  expect(ids(sent)).toEqual([...Array(1_000).keys()].map(String).concat("new, in memory", "new, kept"));
  expect(sent.some(({ retry }) => retry)).toBe(false);
  expect(kept.kept.size).toBe(0);
  expect(next.reported).toEqual([]);
});

test("what is restored in several goes is in order", async () => {
  const { outbox, network, last } = setUp({ online: false });
  const left = (id: number): Kept => ({ id, request: said(`${id}`), sentAtMs: undefined });
  void outbox.add(said("new"));
  for (const id of [3, 5, 2, 4]) outbox.restore(left(id));
  network.online = true;
  outbox.connected();
  await settled();
  expect(ids(last().frames)).toEqual(["2", "3", "4", "5", "new"]);
});

test("a crash between sending and the answer: the next page sends it again as the same", async () => {
  const page = setUp();
  const kept = new FakeStore();
  page.outbox.store = kept.store;
  void page.outbox.add(said("1"), offline);
  await settled();
  void page.outbox.add(said("2"), offline);
  await settled();
  expect(page.batches).toHaveLength(1);

  await vi.advanceTimersByTimeAsync(280_000);
  const next = setUp({ online: false });
  kept.reload(next);
  await settled();
  expect(next.last().frames).toEqual([{ ...said("1"), retry: true }, said("2")]);
  await next.accept();
  expect(kept.kept.size).toBe(0);
  expect(next.reported).toEqual([]);
});

test.each([280_001, -280_001])("one that was sent %i ms before is not sent again, but reported once", async (ago) => {
  const page = setUp({ online: false });
  const kept = new FakeStore();
  await kept.keep(said("1"));
  await kept.sent(1);
  await kept.keep(said("2"));
  vi.setSystemTime(Date.now() + ago);
  kept.reload(page);
  await settled();
  expect(ids(page.last().frames)).toEqual(["2"]);
  await page.accept();
  expect(page.reported).toMatchObject([{ code: 2002 }]);
  expect(kept.kept.size).toBe(0);
});

test("what an earlier page published and the server refuses is reported; closing is no news", async () => {
  const page = setUp({ online: false });
  const kept = new FakeStore();
  await kept.keep(said("1"));
  kept.reload(page);
  await settled();
  await page.fail(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  expect(page.reported).toMatchObject([{ code: 1005 }]);
  page.network.online = false;
  page.outbox.restore({ id: 9, request: said("2"), sentAtMs: undefined });
  page.outbox.clear(closed("the client was closed"));
  expect(page.reported).toHaveLength(1);
});

const revoked = (): TidewireError =>
  new TidewireError(wireError({ code: 3501, name: "revoked", retryable: false }) as never);

test("what has just failed when the client is closed is refused as well, and stays for the next page", async () => {
  const page = setUp();
  const kept = new FakeStore();
  page.outbox.store = kept.store;
  const results = [outcome(page.outbox.add(said("1"), offline)), outcome(page.outbox.add(said("2")))];
  await settled();
  page.last().answers.forEach((answer) => answer.reject(uncertain("no answer came")));
  page.network.online = false;
  page.outbox.clear(closed("the client was closed"));
  await settled();
  const waits = settled().then(() => "waits");
  expect(await Promise.all(results.map((result) => Promise.race([result, waits])))).toMatchObject([
    { kind: "closed" },
    { kind: "closed" },
  ]);
  expect([...kept.kept.keys()]).toEqual([1]);
  page.network.online = true;
  page.outbox.connected();
  expect(page.batches).toHaveLength(1);
});

test("an end for good, whatever for, refuses what is kept and under way, and leaves it to the next page", async () => {
  const page = setUp();
  const kept = new FakeStore();
  page.outbox.store = kept.store;
  const result = outcome(page.outbox.add(said("1"), offline));
  await settled();
  const error = revoked();
  page.network.online = false;
  page.outbox.clear(error);
  await page.fail(error);
  expect(await result).toBe(error);
  const next = setUp({ online: false });
  kept.reload(next);
  await settled();
  expect(next.last().frames).toEqual([{ ...said("1"), retry: true }]);
});

test("what was answered when the client is closed counts", async () => {
  const { outbox, network, last } = setUp({ online: false });
  const kept = new FakeStore();
  outbox.store = kept.store;
  const results = ["1", "2"].map((id) => outcome(outbox.add(said(id), offline)));
  await settled();
  network.online = true;
  outbox.connected();
  await settled();
  last().answers[0]!.resolve(accepted("1"));
  last().answers[1]!.reject(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  outbox.clear(revoked());
  expect(await Promise.all(results)).toMatchObject([accepted("1"), { code: 1005 }]);
  expect(kept.kept.size).toBe(0);
});

test("what an earlier page published is no news when the client ends for good, whatever for", async () => {
  const page = setUp({ online: false });
  const kept = new FakeStore();
  for (const id of ["1", "2"]) await kept.keep(said(id));
  kept.reload(page);
  await settled();
  page.outbox.restore({ id: 3, request: said("3"), sentAtMs: undefined });
  const error = revoked();
  page.network.online = false;
  page.outbox.clear(error);
  await page.fail(error);
  expect(page.reported).toEqual([]);
  expect([...kept.kept.keys()]).toEqual([1, 2]);
});

test("the same error counts again when the client has been opened anew", async () => {
  const { outbox, reported, fail } = setUp();
  const error = revoked();
  outbox.clear(error);
  outbox.connected();
  outbox.restore({ id: 1, request: said("1"), sentAtMs: Date.now() });
  await fail(error);
  expect(reported).toEqual([error]);
});

test("one whose connection ends before it is noted as sent has not been: it goes on the next, however late", async () => {
  const { outbox, network, batches, accept } = setUp();
  const kept = new FakeStore();
  outbox.store = kept.store;
  let noted: () => void = () => undefined;
  kept.sent = () => new Promise((resolve) => (noted = () => resolve(true)));
  const results = [outbox.add(said("1"), offline), outbox.add(said("2"))];
  await settled();
  network.online = false;
  noted();
  await settled();
  expect(batches).toEqual([]);
  await vi.advanceTimersByTimeAsync(600_000);
  network.online = true;
  outbox.connected();
  noted();
  await settled();
  expect(batches.map(({ frames }) => frames)).toEqual([[said("1"), said("2")]]);
  await accept();
  expect(await Promise.all(results)).toEqual([accepted("1"), accepted("2")]);
});

test("one that is being noted as sent when the client is closed is refused, and stays for the next page", async () => {
  const { outbox, network, batches } = setUp();
  const kept = new FakeStore();
  outbox.store = kept.store;
  let noted: () => void = () => undefined;
  kept.sent = () => new Promise((resolve) => (noted = () => resolve(true)));
  const result = outcome(outbox.add(said("1"), offline));
  await settled();
  network.online = false;
  outbox.clear(revoked());
  noted();
  expect(await result).toMatchObject({ code: 3501 });
  expect(batches).toEqual([]);
  expect([...kept.kept.keys()]).toEqual([1]);
});
