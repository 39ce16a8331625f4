import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { TidewireError } from "../src/errors.js";
import { RETRY_MS, connected, failure, greet, setUp, type SetUp } from "./connected.js";
import { HELLO, event, settled } from "./fakes.js";

const PING = { type: "ping" } as const;
const SYNC = { type: "sync", positions: {} } as const;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("says hello with the token, and is connected when that is answered", async () => {
  const set = setUp();
  set.connection.open();
  expect(set.connection.state).toBe("connecting");
  await settled();
  set.transports.last().open();
  const hello = set.transports.last().request("hello");
  expect(hello).toMatchObject({ type: "hello", protocol: 1, token: "good" });
  expect(set.states).toEqual(["connecting"]);
  set.transports.last().reply(hello, HELLO);
  await settled();
  expect(set.states).toEqual(["connecting", "connected"]);
  expect(set.onConnected).toHaveBeenCalledExactlyOnceWith(HELLO);
});

test("a refused token is asked for afresh, once; the second refusal is final", async () => {
  const set = setUp();
  set.connection.open();
  for (let attempt = 0; attempt < 2; attempt++) {
    await vi.advanceTimersByTimeAsync(RETRY_MS);
    const transport = set.transports.last();
    transport.open();
    transport.refuse(transport.request("hello"), { code: 1004, name: "unauthenticated", retryable: false });
    await settled();
  }
  expect(set.tokens.mock.calls).toEqual([[false], [true]]);
  expect(set.connection.state).toBe("closed");
  expect(set.errors.at(-1)).toMatchObject({ code: 1004 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.transports.all).toHaveLength(2);
  set.connection.open(); // somebody has logged in again
  expect(set.tokens).toHaveBeenLastCalledWith(false);
});

/** Ask something, and have it refused as from somebody unknown. */
async function expire({ connection, transports }: SetUp): Promise<TidewireError> {
  const error = failure(connection.ask([SYNC])[0]);
  const request = transports.last().request("sync");
  transports.last().refuse(request, { code: 1004, name: "unauthenticated", retryable: false });
  return error;
}

async function answered({ connection, transports }: SetUp): Promise<void> {
  const [answer] = connection.ask([SYNC]);
  transports.last().reply(transports.last().request("sync"), { behind: {} });
  await answer;
}

test("a fresh token with which something is answered makes the next refusal the first again", async () => {
  const set = setUp();
  set.connection.open();
  await settled();
  set.transports.last().open();
  set.transports.last().refuse(set.transports.last().request("hello"), { code: 1004, retryable: false });
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  await greet(set);
  await answered(set);
  set.transports.last().close();
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(set.tokens.mock.calls).toEqual([[false], [true], [false]]);
});

test("a token that ends makes it come back with a fresh one, and what was asked may be asked again", async () => {
  const set = await connected();
  const other = failure(set.connection.ask([PING])[0]);
  expect(await expire(set)).toMatchObject({ retryable: true });
  expect(await other).toMatchObject({ retryable: true });
  expect(set.transports.last().ended).toBe(true);
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  await greet(set);
  expect(set.states).toEqual(["connecting", "connected", "reconnecting", "connected"]);
  expect(set.tokens.mock.calls).toEqual([[false], [true]]);
});

test("tokens may end one after the other, as long as each was of use", async () => {
  const set = await connected();
  for (let turn = 0; turn < 3; turn++) {
    await answered(set);
    await expire(set);
    await vi.advanceTimersByTimeAsync(RETRY_MS);
    await greet(set);
  }
  expect(set.connection.state).toBe("connected");
  expect(set.tokens.mock.calls).toEqual([[false], [true], [true], [true]]);
});

test.each(["hello", "the first request"])("a fresh token that is refused by %s is the end, and told", async (when) => {
  const set = await connected();
  await expire(set);
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  if (when === "hello") {
    set.transports.last().open();
    set.transports.last().refuse(set.transports.last().request("hello"), { code: 1004, retryable: false });
    await settled();
  } else {
    await greet(set);
    expect(await expire(set)).toMatchObject({ code: 1004, retryable: false });
  }
  expect(set.connection.state).toBe("closed");
  expect(set.errors.at(-1)).toMatchObject({ code: 1004 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.transports.all).toHaveLength(2);
});

test("a hello refused for another reason closes, unless it may be tried again", async () => {
  const set = setUp();
  set.connection.open();
  await settled();
  set.transports.last().open();
  set.transports.last().refuse(set.transports.last().request("hello"), { code: 2001, retryable: true });
  await settled();
  expect(set.connection.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  set.transports.last().open();
  set.transports.last().refuse(set.transports.last().request("hello"), { code: 1012, retryable: false });
  await settled();
  expect(set.connection.state).toBe("closed");
});

test("a token that can't be had is asked for again, later", async () => {
  let tries = 0;
  const set = setUp({
    token: async () => (tries++ === 0 ? Promise.reject(new Error("no network")) : Promise.resolve("good")),
  });
  set.connection.open();
  await settled();
  expect(set.connection.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  await greet(set);
  expect(set.connection.state).toBe("connected");
});

test("a connection that does not open within 4 seconds is given up", async () => {
  const set = setUp();
  set.connection.open();
  await settled();
  await vi.advanceTimersByTimeAsync(3_999);
  expect(set.transports.last().ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(set.transports.last().ended).toBe(true);
  expect(set.connection.state).toBe("reconnecting");
});

test("a server that is slow to start gets twice the time at each attempt, up to half a minute", async () => {
  const set = setUp();
  set.connection.open();
  for (const timeoutMs of [4_000, 8_000, 16_000, 30_000, 30_000]) {
    await settled();
    await vi.advanceTimersByTimeAsync(timeoutMs - 1);
    expect(set.transports.last().ended).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(set.transports.last().ended).toBe(true);
    await vi.advanceTimersByTimeAsync(RETRY_MS);
  }
});

test("a hello without an answer is given up after 10 seconds", async () => {
  const set = setUp();
  set.connection.open();
  await settled();
  set.transports.last().open();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(set.transports.last().ended).toBe(true);
  expect(set.connection.state).toBe("reconnecting");
});

test.each([null, {}, { heartbeat_s: "soon" }, "well met"])("a hello answered with %j is none", async (nonsense) => {
  const set = setUp();
  set.connection.open();
  await settled();
  set.transports.last().open();
  set.transports.last().reply(set.transports.last().request("hello"), nonsense);
  await settled();
  expect(set.connection.state).toBe("reconnecting");
});

test("requests are answered by their ids, in whatever order the replies come", async () => {
  const { connection, transports } = await connected();
  const [first] = connection.ask([PING]);
  const [second] = connection.ask([SYNC]);
  const [one, two] = transports.last().requests.slice(-2);
  transports.last().say([
    { type: "reply", id: two!["id"], result: "two" },
    { type: "reply", id: one!["id"], result: "one" },
  ]);
  expect(await Promise.all([first, second])).toEqual(["one", "two"]);
});

test("several requests travel as one batch, one alone as a frame", async () => {
  const { connection, transports } = await connected();
  void connection.ask([PING, SYNC]).map((answer) => answer.catch(() => undefined));
  void connection.ask([PING]).map((answer) => answer.catch(() => undefined));
  const [batch, single] = transports
    .last()
    .sent.slice(-2)
    .map((text) => JSON.parse(text) as unknown);
  expect(batch).toMatchObject([{ type: "ping" }, { type: "sync" }]);
  expect(single).toMatchObject({ type: "ping" });
});

test("an error reply is thrown as what it says", async () => {
  const { connection, transports } = await connected();
  const [answer] = connection.ask([SYNC]);
  transports
    .last()
    .refuse(transports.last().request("sync"), { code: 2004, name: "rate_limited", retry_after_ms: 800 });
  expect(await failure(answer)).toMatchObject({ code: 2004, kind: "rate_limited", retryable: true, retryAfterMs: 800 });
});

test("a request without an answer is uncertain after 10 seconds", async () => {
  const { connection, transports } = await connected();
  const error = failure(connection.ask([SYNC])[0]);
  await vi.advanceTimersByTimeAsync(9_000);
  transports.last().say({ type: "pong" }); // the connection lives
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await error).toMatchObject({ code: 2002, retryable: true });
  expect(connection.state).toBe("connected");
});

test("no answer and no other sound: it pings, and a connection that does not answer that is dead", async () => {
  const set = await connected();
  void failure(set.connection.ask([SYNC])[0]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(set.transports.last().requests.at(-1)).toMatchObject({ type: "ping" });
  expect(set.connection.state).toBe("connected");
  await vi.advanceTimersByTimeAsync(4_000);
  expect(set.connection.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(set.transports.all).toHaveLength(2);
});

test("a server that is too busy to answer, but not to ping, keeps its connections", async () => {
  const set = await connected();
  set.connection.ask([SYNC, SYNC]).map(failure);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(set.transports.last().requests.filter(({ type }) => type === "ping")).toHaveLength(1);
  set.transports.last().say({ type: "pong" });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.connection.state).toBe("connected");
});

test("a gateway error without type makes every outstanding request uncertain", async () => {
  const { connection, transports } = await connected();
  const errors = connection.ask([SYNC, PING]).map(failure);
  transports.last().say({ message: "Internal server error", connectionId: "c1", requestId: "r1" });
  for (const error of await Promise.all(errors)) expect(error).toMatchObject({ code: 2002, retryable: true });
  expect(connection.state).toBe("connected");
});

test("what can't be sent is refused at once, and may be tried again", async () => {
  const set = setUp();
  expect(await failure(set.connection.ask([SYNC])[0])).toMatchObject({ retryable: true });
  set.connection.open();
  await settled();
  expect(await failure(set.connection.ask([SYNC])[0])).toMatchObject({ retryable: true }); // in the handshake
  set.transports.last().open();
  expect(await failure(set.connection.ask([SYNC])[0])).toMatchObject({ retryable: true }); // hello is under way
  expect(set.transports.last().requests.map(({ type }) => type)).toEqual(["hello"]);
});

test("a loss refuses what is under way, and comes back with growing waits", async () => {
  const set = await connected();
  const error = failure(set.connection.ask([SYNC])[0]);
  set.transports.last().close();
  expect(await error).toMatchObject({ code: 2002, retryable: true });
  expect(set.states).toEqual(["connecting", "connected", "reconnecting"]);
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(set.transports.all).toHaveLength(2);
  await greet(set);
  expect(set.states.at(-1)).toBe("connected");
});

test("pushes are handed on once connected, and not before", async () => {
  const set = setUp();
  set.connection.open();
  await settled();
  set.transports.last().open();
  set.transports.last().say(event(1));
  set.transports.last().reply(set.transports.last().request("hello"), HELLO);
  await settled();
  set.transports.last().say([event(2), event(3)]);
  expect(set.pushes).toEqual([event(2), event(3)]);
});

test.each([3000, 3001, 3002, 3003, 3499])("disconnect %i: comes back, after what the server asks", async (code) => {
  const set = await connected();
  set.transports.last().say({ type: "system", event: "disconnect", code, name: "n", reconnect: true, after_ms: 3_000 });
  expect(set.transports.last().ended).toBe(true);
  expect(set.connection.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(2_999);
  expect(set.transports.all).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(set.transports.all).toHaveLength(2);
});

test.each([3501, 3502, 3503, 3999])("disconnect %i: is final, and says why", async (code) => {
  const set = await connected();
  const error = failure(set.connection.ask([SYNC])[0]);
  set.transports.last().say({ type: "system", event: "disconnect", code, name: "revoked", reconnect: false });
  expect(set.connection.state).toBe("closed");
  expect(set.errors.at(-1)).toMatchObject({ code, kind: "revoked", retryable: false });
  expect(await error).toMatchObject({ code });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.transports.all).toHaveLength(1);
});

test("disconnect 3500: the token has ended; it comes back with a fresh one, once", async () => {
  const set = await connected();
  const ended = { type: "system", event: "disconnect", code: 3500, name: "token_expired", reconnect: false };
  set.transports.last().say(ended);
  expect(set.connection.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  await greet(set);
  expect(set.tokens.mock.calls).toEqual([[false], [true]]);
  set.transports.last().say(ended);
  expect(set.connection.state).toBe("closed");
  expect(set.errors.at(-1)).toMatchObject({ code: 3500, kind: "token_expired" });
});

test("what stands behind a final disconnect in the same batch is not heard", async () => {
  const set = await connected();
  const disconnect = { type: "system", event: "disconnect", name: "n", reconnect: true };
  set.transports.last().say([{ ...disconnect, code: 3501 }, { ...disconnect, code: 3000 }, event(1)]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.connection.state).toBe("closed");
  expect(set.pushes).toEqual([]);
});

test("close() ends it: no attempt, no push, no state after it", async () => {
  const set = await connected();
  const error = failure(set.connection.ask([SYNC])[0]);
  set.connection.close();
  expect(await error).toMatchObject({ kind: "closed", retryable: false });
  expect(await failure(set.connection.ask([SYNC])[0])).toMatchObject({ kind: "closed", retryable: false });
  set.transports.last().say(event(1));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.transports.all).toHaveLength(1);
  expect(set.pushes).toEqual([]);
  expect(set.states).toEqual(["connecting", "connected", "closed"]);
});

test("closed while it waits for a token and opened again, it connects once", async () => {
  const given: ((token: string) => void)[] = [];
  const set = setUp({ token: () => new Promise((resolve) => given.push(resolve)) });
  set.connection.open();
  set.connection.close();
  set.connection.open();
  given.forEach((give) => give("good"));
  await settled();
  expect(set.transports.all).toHaveLength(1);
  await greet(set);
  expect(set.connection.state).toBe("connected");
});

test("hurry() does not wait for the next attempt", async () => {
  const set = await connected();
  set.transports.last().close();
  set.connection.wake();
  await settled();
  expect(set.transports.all).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(set.transports.all).toHaveLength(2);
});

test("hurry() leaves an attempt that is under way alone", async () => {
  const set = await connected();
  set.transports.last().close();
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  set.connection.wake(); // the network is back, and the handshake runs
  await settled();
  expect(set.transports.all).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(8_000); // it is still given up in time
  expect(set.transports.last().ended).toBe(true);
});

test.each(["connecting", "connected", "reconnecting"])("a listener may close it when it hears %s", async (when) => {
  const set = setUp();
  set.onState.mockImplementation((state) => {
    if (state === when) set.connection.close();
  });
  set.connection.open();
  await settled();
  if (when !== "connecting") await greet(set);
  if (when === "reconnecting") set.transports.last().close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(set.connection.state).toBe("closed");
  expect(set.transports.all).toHaveLength(when === "connecting" ? 0 : 1);
  if (when === "connected") expect(set.onConnected).not.toHaveBeenCalled();
});

test("a listener may open it again when it hears that it was closed", async () => {
  const set = await connected();
  set.onState.mockImplementationOnce((state) => {
    if (state === "closed") set.connection.open();
  });
  set.connection.close();
  await greet(set);
  expect(set.connection.state).toBe("connected");
});

test("one that lets connect and cuts, or sends away at once, is asked more and more seldom", async () => {
  for (const end of [
    (set: SetUp) => set.transports.last().close(),
    (set: SetUp) => set.transports.last().say({ type: "system", event: "disconnect", code: 3002, after_ms: 0 }),
    (set: SetUp) => set.transports.last().say({ type: "system", event: "disconnect", code: 3002, after_ms: 2 ** 32 }),
  ]) {
    const set = setUp({ random: () => 0.5 });
    set.connection.open();
    for (let second = 0; second < 120; second++) {
      const { last, all } = set.transports;
      if (all.length > 0 && !last().ended) {
        await greet(set);
        end(set);
      }
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(set.transports.all.length).toBeLessThan(20);
    set.connection.close();
  }
});

test("a session that is unknown to the server is not left twice", async () => {
  const set = setUp();
  set.connection.open();
  for (let i = 0; i < 5; i++) {
    await settled();
    const { last } = set.transports;
    if (last().ended) break;
    last().open();
    last().refuse(last().request("hello"), { code: 1011, name: "session_unknown", retryable: false });
    await settled();
  }
  expect(set.transports.all).toHaveLength(1);
  expect(set.connection.state).toBe("closed");
});

test("what waits on a link that another has followed is uncertain when its token has ended", async () => {
  const set = await connected();
  const old = set.transports.last();
  await vi.advanceTimersByTimeAsync(0.8 * 7_200_000);
  const waits = failure(set.connection.ask([SYNC])[0]);
  await greet(set);
  old.refuse(old.request("sync"), { code: 1004, name: "unauthenticated", retryable: false });
  expect(await waits).toMatchObject({ retryable: true });
  expect(set.connection.state).toBe("connected");
});

test("closed soon after another link has followed, it keeps no timer", async () => {
  const set = await connected();
  await vi.advanceTimersByTimeAsync(0.8 * 7_200_000);
  const waits = failure(set.connection.ask([SYNC])[0]);
  await greet(set);
  set.connection.close();
  expect(await waits).toMatchObject({ kind: "closed" });
  expect(vi.getTimerCount()).toBe(0);
});
