import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TidewireError } from "../src/errors.js";
import type { ErrorObject } from "../src/generated/frames.js";
import { RETRY_MS, connected, failure, greet, setUp, type SetUp } from "./connected.js";
import { HELLO, event, settled, wireError, type Frame } from "./fakes.js";

const SYNC = { type: "sync", positions: {} } as const;
const EXPIRING = { type: "system", event: "token_expiring", expires_at_ms: 60_000 }; // a minute after hello
const EXPIRED = { type: "system", event: "disconnect", code: 3500, name: "token_expired", reconnect: false };
const REFUSED = { code: 1004, name: "unauthenticated", retryable: false };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Returns what gives the next token each time: `t1`, `t2` … */
function counting(): () => Promise<string> {
  let count = 0;
  return async () => `t${++count}`;
}

function refreshes({ transports }: SetUp): Frame[] {
  return transports.all.flatMap(({ requests }) => requests).filter(({ type }) => type === "refresh");
}

async function expiring(set: SetUp): Promise<void> {
  set.transports.last().say(EXPIRING);
  await settled();
}

test("a token that ends soon is replaced on the live connection, and nothing else happens to it", async () => {
  const set = await connected({ token: counting() });
  const [answer] = set.connection.ask([SYNC]);
  await expiring(set);
  expect(set.tokens.mock.calls).toEqual([[false], [true]]);
  expect(refreshes(set)).toEqual([{ type: "refresh", id: expect.any(Number), token: "t2" }]);
  const { last } = set.transports;
  last().reply(last().request("refresh"), { expires_at_ms: 3_600_000 });
  last().reply(last().request("sync"), { behind: {} });
  expect(await answer).toEqual({ behind: {} });
  last().say(event(1));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.pushes).toEqual([event(1)]); // what the connection itself was told is nobody's else
  expect(refreshes(set)).toHaveLength(1);
  expect(set.states).toEqual(["connecting", "connected"]);
  expect(set.transports.all).toHaveLength(1);
});

test("it is told of the next end as well", async () => {
  const set = await connected({ token: counting() });
  for (const token of ["t2", "t3"]) {
    await expiring(set);
    set.transports.last().reply(set.transports.last().request("refresh"), {});
    await settled();
    expect(refreshes(set).at(-1)).toMatchObject({ token });
  }
});

test("told several times, it asks for one token and sends it once", async () => {
  const set = await connected({ token: counting() });
  set.transports.last().say([EXPIRING, EXPIRING]);
  await settled();
  await expiring(set);
  expect(set.tokens).toHaveBeenCalledTimes(2);
  expect(refreshes(set)).toHaveLength(1);
});

test("told in the same read as hello's answer, it is heard", async () => {
  const set = setUp({ token: counting() });
  set.connection.open();
  await settled();
  const { last } = set.transports;
  last().open();
  last().say([{ type: "reply", id: last().request("hello")["id"], result: HELLO }, EXPIRING, event(1)]);
  await settled();
  expect(refreshes(set)).toMatchObject([{ token: "t2" }]);
  expect(set.pushes).toEqual([event(1)]);
  expect(set.onConnected).toHaveBeenCalledOnce();
});

test.each([
  [new Error("no network"), 2],
  [new TidewireError(wireError({ code: 1004, name: "closed", retryable: false }) as unknown as ErrorObject), 0],
])("a token that can't be had (%s) is asked for again, with growing waits", async (thrown, told) => {
  let calls = 0;
  const token = async (fresh: boolean): Promise<string> => {
    if (fresh && ++calls < 3) throw thrown;
    return `fresh ${calls}`;
  };
  const set = await connected({ token, random: () => 0.5 });
  await expiring(set);
  expect(calls).toBe(1);
  await vi.advanceTimersByTimeAsync(375);
  expect(calls).toBe(2);
  await vi.advanceTimersByTimeAsync(624);
  expect(calls).toBe(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(refreshes(set)).toMatchObject([{ token: "fresh 3" }]);
  expect(set.report.mock.calls).toEqual(Array(told).fill([thrown])); // who gives tokens hears of his own failures
  expect(set.states).toEqual(["connecting", "connected"]);
});

test("a refresh that is not answered, or fails in passing, is sent again, with the same token if need be", async () => {
  const set = await connected();
  await expiring(set);
  const { last } = set.transports;
  last().refuse(last().request("refresh"), { code: 2001, retryable: true });
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(refreshes(set)).toMatchObject([{ token: "good" }, { token: "good" }]);
  await vi.advanceTimersByTimeAsync(9_000);
  last().say({ type: "pong" });
  await vi.advanceTimersByTimeAsync(1_000 + RETRY_MS);
  expect(refreshes(set)).toHaveLength(3);
});

test("refused when nobody waits for it any more, it is still no affair of the connection", async () => {
  const set = await connected();
  await expiring(set);
  const { last } = set.transports;
  const late = last().request("refresh");
  await vi.advanceTimersByTimeAsync(9_000);
  last().say({ type: "pong" });
  await vi.advanceTimersByTimeAsync(1_000 + RETRY_MS);
  expect(refreshes(set)).toHaveLength(2);
  last().refuse(late, REFUSED);
  last().reply(last().request("refresh"), {});
  await vi.advanceTimersByTimeAsync(10_000);
  expect(set.states).toEqual(["connecting", "connected"]);
  expect(refreshes(set)).toHaveLength(2);
});

test.each([
  REFUSED,
  { code: 1005, name: "forbidden", retryable: false }, // another user's, or older than the one that is there
])("a token that was refused ($name) is not sent again, another one is", async (refusal) => {
  let fresh = "stale";
  const set = await connected({ token: async (asked) => (asked ? fresh : "good") });
  const waits = failure(set.connection.ask([SYNC])[0]);
  await expiring(set);
  const { last } = set.transports;
  last().refuse(last().request("refresh"), refusal);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(set.tokens.mock.calls.length).toBeGreaterThan(3);
  expect(refreshes(set)).toHaveLength(1);
  fresh = "new";
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(refreshes(set)).toMatchObject([{ token: "stale" }, { token: "new" }]);
  expect(set.connection.state).toBe("connected");
  last().close();
  expect(await waits).toMatchObject({ code: 2002 }); // nothing had become of it before
});

test("when the time is up nothing is asked any more; the server's end brings one more round", async () => {
  const set = await connected({ token: async () => "stale" });
  await expiring(set);
  const { last } = set.transports;
  last().refuse(last().request("refresh"), REFUSED);
  await vi.advanceTimersByTimeAsync(60_000);
  const asked = set.tokens.mock.calls.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.tokens).toHaveBeenCalledTimes(asked);
  last().say(EXPIRED);
  expect(set.connection.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(set.tokens).toHaveBeenLastCalledWith(true);
  last().open();
  last().refuse(last().request("hello"), REFUSED);
  await settled();
  expect(set.connection.state).toBe("closed");
  expect(set.errors.at(-1)).toMatchObject({ code: 1004 });
});

test("it is tried once, however late it was told, or if it was not told until when", async () => {
  for (const expires_at_ms of [-1, undefined, "soon"]) {
    const set = await connected();
    set.transports.last().say({ ...EXPIRING, expires_at_ms });
    await settled();
    expect(refreshes(set)).toHaveLength(1);
    set.transports.last().refuse(set.transports.last().request("refresh"), { retryable: true });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(refreshes(set)).toHaveLength(1);
    set.connection.close();
  }
});

test("once it is closed no token is asked for", async () => {
  const set = await connected({
    token: (fresh) => (fresh ? Promise.reject(new Error("no")) : Promise.resolve("good")),
  });
  await expiring(set);
  set.connection.close();
  await settled();
  expect(vi.getTimerCount()).toBe(0); // or else Node would not exit
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.tokens).toHaveBeenCalledTimes(2);
});

test("closed while a token is awaited, it waits for nothing more", async () => {
  let fail = (_error: Error): void => undefined;
  const token = (fresh: boolean): Promise<string> =>
    fresh ? new Promise((_, reject) => (fail = reject)) : Promise.resolve("good");
  const set = await connected({ token });
  await expiring(set);
  set.connection.close();
  fail(new Error("no network"));
  await settled();
  expect(vi.getTimerCount()).toBe(0);
});

test("a connection that was lost while a token was awaited is not told it; the next one is of its own end", async () => {
  let give = (_token: string): void => undefined;
  const token = (fresh: boolean): Promise<string> =>
    fresh ? new Promise((resolve) => (give = resolve)) : Promise.resolve("good");
  const set = await connected({ token });
  await expiring(set);
  set.transports.last().close();
  give("fresh");
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  await greet(set);
  expect(refreshes(set)).toEqual([]);
  await expiring(set);
  give("fresh");
  await settled();
  expect(refreshes(set)).toHaveLength(1);
});
