import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Asked } from "../src/connection.js";
import { TidewireError, closed, uncertain } from "../src/errors.js";
import type { PublishResult } from "../src/generated/frames.js";
import { Outbox, type Publish } from "../src/outbox.js";
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
