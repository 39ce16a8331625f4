// Which way is taken, when another is tried, and how a link follows the last.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Connection, type Ways } from "../src/connection.js";
import type { Push } from "../src/generated/frames.js";
import { ENDPOINTS, HELLO, event, fakeTransports, noFetch, settled, type FakeTransport } from "./fakes.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const SYNC = { type: "sync", positions: {} } as const;

function setUp({ names = ["websocket", "sse", "short_poll"], first = null as string | null } = {}) {
  const transports = Object.fromEntries(names.map((name) => [name, fakeTransports()]));
  const tried: string[] = [];
  const ways: Record<string, Ways[string]> = {};
  for (const name of names) {
    ways[name] = (...opening) => (
      tried.push(name),
      (transports[name] as ReturnType<typeof fakeTransports>).open(...opening)
    );
  }
  const remembered = { get: vi.fn(() => first), set: vi.fn() };
  const pushes: Push[] = [];
  const states: string[] = [];
  const onConnected = vi.fn();
  const token = vi.fn(async () => "good");
  const connection = new Connection({
    endpoints: async () => ENDPOINTS,
    token,
    ways: () => ways,
    fetch: noFetch,
    remembered,
    random: () => 0,
    report: (error) => expect.fail(String(error)),
    onPush: (push) => pushes.push(push),
    onState: (state) => states.push(state),
    onConnected,
  });
  const last = (name: string): FakeTransport => (transports[name] as ReturnType<typeof fakeTransports>).last();
  const all = (name: string): FakeTransport[] => (transports[name] as ReturnType<typeof fakeTransports>).all;
  return { connection, token, tried, last, all, remembered, pushes, states, onConnected };
}

type SetUp = ReturnType<typeof setUp>;

async function stand({ last }: SetUp, name: string, hello: object = HELLO): Promise<void> {
  if (last(name).sent.length === 0) last(name).open();
  last(name).reply(last(name).request("hello"), hello);
  await settled();
}

/** Connected on a lesser way, since WebSocket is refused. */
async function onSse(): Promise<SetUp> {
  const set = setUp();
  set.connection.open();
  await settled();
  set.last("websocket").close();
  await stand(set, "sse");
  return set;
}

describe("the way to the server", () => {
  test("a way that is refused is followed by the next at once", async () => {
    const set = await onSse();
    expect(set.tried).toEqual(["websocket", "sse"]);
    expect(set.connection.way).toBe("sse");
    expect(set.states).toEqual(["connecting", "connected"]);
    expect(set.remembered.set).toHaveBeenCalledExactlyOnceWith("sse");
  });

  test("one that does not open within 4 seconds, too", async () => {
    const set = setUp();
    set.connection.open();
    await vi.advanceTimersByTimeAsync(3_999);
    expect(set.tried).toEqual(["websocket"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(set.tried).toEqual(["websocket", "sse"]);
    expect(set.last("websocket").ended).toBe(true);
  });

  test("when none is left it waits, and tries them all again", async () => {
    const set = setUp();
    set.connection.open();
    await settled();
    for (const name of ["websocket", "sse", "short_poll"]) set.last(name).close();
    expect(set.connection.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(250);
    expect(set.tried.slice(3)).toEqual(["websocket"]);
  });

  test("one that is remembered comes first", async () => {
    const set = setUp({ first: "short_poll" });
    set.connection.open();
    await settled();
    set.last("short_poll").close();
    expect(set.tried).toEqual(["short_poll", "websocket"]);
  });

  test("what is remembered and is no way any more is not tried", async () => {
    const set = setUp({ first: "carrier pigeon" });
    set.connection.open();
    await settled();
    expect(set.tried).toEqual(["websocket"]);
  });

  test("a server that says no is not asked on other ways", async () => {
    const set = setUp();
    set.connection.open();
    await settled();
    set.last("websocket").open();
    set
      .last("websocket")
      .refuse(set.last("websocket").request("hello"), { code: 1005, name: "forbidden", retryable: false });
    await settled();
    expect(set.connection.state).toBe("closed");
    expect(set.tried).toEqual(["websocket"]);
  });

  test("one that lets connect and cuts is left alone in the end, while there is another", async () => {
    const set = setUp();
    set.connection.open();
    for (let i = 0; i < 3; i++) {
      await vi.advanceTimersByTimeAsync(250);
      await stand(set, "websocket");
      set.last("websocket").close();
    }
    await vi.advanceTimersByTimeAsync(250);
    expect(set.tried).toEqual(["websocket", "websocket", "websocket", "sse"]);
  });
});

describe("on a lesser way", () => {
  test("the better ones are tried each minute, without a loss when none stands", async () => {
    const set = await onSse();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(set.tried.slice(2)).toEqual(["websocket"]);
    set.last("websocket").close();
    expect(set.connection.state).toBe("connected");
    const answer = set.connection.ask([SYNC])[0];
    set.last("sse").reply(set.last("sse").request("sync"), { behind: {} });
    expect(await answer).toEqual({ behind: {} });
  });

  test("one that stands takes the session over; what was asked on the last is answered there", async () => {
    const set = await onSse();
    await vi.advanceTimersByTimeAsync(60_000);
    set.last("websocket").open();
    expect(set.last("websocket").request("hello")).toMatchObject({ session_id: "s1" });
    const asked = set.connection.ask([SYNC])[0]; // still the last's
    await stand(set, "websocket");
    expect([set.connection.way, set.states]).toEqual(["websocket", ["connecting", "connected"]]);
    expect(set.onConnected).toHaveBeenCalledTimes(2);
    expect([set.last("sse").retired, set.last("sse").ended, set.last("websocket").retired]).toEqual([
      true,
      false,
      false,
    ]);
    set.last("sse").reply(set.last("sse").request("sync"), { behind: {} });
    expect(await asked).toEqual({ behind: {} });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(set.last("sse").ended).toBe(true);
    expect(set.connection.state).toBe("connected");
  });

  test("the server may tell the last of its successor before it answers that one: that is no loss", async () => {
    const set = await onSse();
    await vi.advanceTimersByTimeAsync(60_000);
    set.last("websocket").open();
    const asked = set.connection.ask([SYNC])[0]?.catch((error: unknown) => error);
    set.last("sse").say({ type: "system", event: "superseded" });
    expect([set.last("sse").ended, set.connection.state]).toEqual([true, "connected"]);
    expect(await asked).toMatchObject({ retryable: true });
    await stand(set, "websocket");
    expect([set.connection.way, set.states]).toEqual(["websocket", ["connecting", "connected"]]);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(set.connection.state).toBe("connected");
  });

  test.each(["ends", "is refused for good", "has a bad token"])("... unless that one %s then", async (what) => {
    const set = await onSse();
    await vi.advanceTimersByTimeAsync(60_000);
    set.last("websocket").open();
    set.last("sse").say({ type: "system", event: "superseded" });
    const hello = set.last("websocket").request("hello");
    if (what === "ends") set.last("websocket").close();
    else {
      const code = what === "has a bad token" ? 1004 : 1005;
      set.last("websocket").refuse(hello, { code, name: "no", retryable: false });
    }
    await settled();
    expect(set.connection.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(250);
    await stand(set, "sse");
    expect(set.connection.state).toBe("connected");
  });

  test("after three failures a better one is asked more and more seldom", async () => {
    const set = await onSse(); // the first
    for (let minute = 0; minute < 10; minute++) {
      await vi.advanceTimersByTimeAsync(60_000);
      set.all("websocket").forEach((transport) => transport.close());
    }
    expect(set.all("websocket").length).toBeLessThan(7);
    expect(set.connection.state).toBe("connected");
  });
});

describe("before the server's age limit", () => {
  async function aged(): Promise<SetUp> {
    const set = setUp({ names: ["websocket"] });
    set.connection.open();
    await settled();
    await stand(set, "websocket", { ...HELLO, connection_max_age_s: 100 });
    return set;
  }

  test("the next link follows with an overlap, in the same session", async () => {
    const set = await aged();
    await vi.advanceTimersByTimeAsync(79_999);
    expect(set.all("websocket")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    const [old, next] = set.all("websocket") as [FakeTransport, FakeTransport];
    next.open();
    expect(next.request("hello")).toMatchObject({ session_id: "s1" });
    old.say(event(1));
    await stand(set, "websocket");
    expect(set.onConnected).toHaveBeenCalledTimes(2);
    next.say(event(2));
    expect(set.pushes.map((push) => "offset" in push && push.offset)).toEqual([1, 2]);
    await settled();
    expect([old.ended, next.ended, set.states]).toEqual([true, false, ["connecting", "connected"]]);
  });

  test("what has no place is taken from the newer of two links alone", async () => {
    const set = await aged();
    await vi.advanceTimersByTimeAsync(80_000);
    // What is not answered yet keeps the old one.
    void set.connection.ask([SYNC])[0]?.catch(() => undefined);
    await stand(set, "websocket");
    const [old, next] = set.all("websocket") as [FakeTransport, FakeTransport];
    const { epoch: _, offset: __, prev_offset: ___, ...cursor } = event(1);
    old.say({ ...cursor, ephemeral: true });
    expect(set.pushes).toEqual([]);
    next.say({ ...cursor, ephemeral: true });
    old.say(event(7));
    expect(set.pushes).toHaveLength(2);
  });

  test.each([1004, 1005])("a successor that is refused (%i) leaves the link as it is", async (code) => {
    const set = await aged();
    await vi.advanceTimersByTimeAsync(80_000);
    set.last("websocket").open();
    set.last("websocket").refuse(set.last("websocket").request("hello"), { code, name: "no", retryable: false });
    await settled();
    expect([set.connection.state, set.all("websocket")[0]?.ended]).toEqual(["connected", false]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(set.all("websocket")).toHaveLength(3);
    expect(set.token).toHaveBeenLastCalledWith(code === 1004);
  });

  test("a successor that does not stand is tried again; the link is used as long as it lasts", async () => {
    const set = await aged();
    await vi.advanceTimersByTimeAsync(80_000);
    set.last("websocket").close();
    expect(set.connection.state).toBe("connected");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(set.all("websocket")).toHaveLength(3);
  });
});

describe("sessions", () => {
  test("the next connection takes the session up; one that the server does not know is left at once", async () => {
    const set = setUp();
    set.connection.open();
    await settled();
    await stand(set, "websocket");
    set.last("websocket").close();
    await vi.advanceTimersByTimeAsync(250);
    set.last("websocket").open();
    const hello = set.last("websocket").request("hello");
    expect(hello).toMatchObject({ session_id: "s1" });
    set.last("websocket").refuse(hello, { code: 1011, name: "session_unknown", retryable: false });
    await settled();
    expect(set.all("websocket")).toHaveLength(3);
    set.last("websocket").open();
    expect(set.last("websocket").request("hello")).not.toHaveProperty("session_id");
  });

  test("one that somebody else reads is left to them", async () => {
    const set = await onSse();
    set.last("sse").say({ type: "system", event: "superseded" });
    expect(set.connection.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(250);
    set.last("sse").open();
    expect(set.last("sse").request("hello")).not.toHaveProperty("session_id");
  });

  test("one that our own next link reads already is not left", async () => {
    const set = await onSse();
    await vi.advanceTimersByTimeAsync(60_000);
    set.last("websocket").open(); // it has said hello
    const asked = set.connection.ask([SYNC])[0]?.catch((error: unknown) => error);
    set.last("sse").say({ type: "system", event: "superseded" });
    expect([set.last("sse").ended, set.last("websocket").ended]).toEqual([true, false]);
    expect(await asked).toMatchObject({ retryable: true });
    await stand(set, "websocket");
    expect([set.connection.way, set.connection.state]).toEqual(["websocket", "connected"]);
    expect(set.all("sse")).toHaveLength(1);
  });

  test("... and if that does not stand, it is taken up again", async () => {
    const set = await onSse();
    await vi.advanceTimersByTimeAsync(60_000);
    set.last("websocket").open();
    set.last("sse").say({ type: "system", event: "superseded" });
    set.last("websocket").close();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(set.connection.state).toBe("reconnecting");
    set.last("sse").open();
    expect(set.last("sse").request("hello")).toMatchObject({ session_id: "s1" });
  });

  test("a successor whose hello took the server too long leaves the link as it is", async () => {
    const set = await onSse();
    await vi.advanceTimersByTimeAsync(60_000);
    set.last("websocket").open();
    set.last("websocket").say({ type: "system", event: "disconnect", code: 3503, name: "not_authenticated_in_time" });
    expect([set.connection.state, set.last("sse").ended]).toEqual(["connected", false]);
  });

  test("a first hello that took the server too long is said again", async () => {
    const set = setUp({ names: ["websocket"] });
    set.connection.open();
    await settled();
    set.last("websocket").open();
    set.last("websocket").say({ type: "system", event: "disconnect", code: 3503, name: "not_authenticated_in_time" });
    await vi.advanceTimersByTimeAsync(250);
    expect(set.all("websocket")).toHaveLength(2);
    await stand(set, "websocket");
    expect(set.connection.state).toBe("connected");
  });

  test("a page that is put aside lets go, and comes back when it wakes", async () => {
    const set = setUp();
    set.connection.open();
    await settled();
    await stand(set, "websocket");
    set.connection.suspend();
    expect([set.last("websocket").ended, set.connection.state]).toEqual([true, "reconnecting"]);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(set.all("websocket")).toHaveLength(1);
    set.connection.wake();
    await settled();
    expect(set.all("websocket")).toHaveLength(2);
  });
});
