import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Client as Tidewire, type ClientOptions as TidewireOptions } from "../src/client.js";
import { HELLO, event, publication, seeded, settled, wireError, type Frame } from "./fakes.js";
import { Server, type Network } from "./server.js";

const open: Tidewire[] = [];
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  open.splice(0).forEach((client) => client.close());
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function setUp(options: Partial<TidewireOptions> = {}, network: Network = {}) {
  const server = new Server(network);
  const states: string[] = [];
  const onError = vi.fn();
  const client = new Tidewire({
    websocketUrl: "ws://server/v1/ws",
    transports: ["websocket"],
    getToken: async () => "good",
    WebSocket: server.WebSocket,
    random: () => 0,
    onError,
    ...options,
  });
  client.onState((state) => states.push(state));
  open.push(client);
  return { server, client, states, onError };
}

function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error);
}

/** Subscribe to a room; return the offsets that its listeners hear. */
async function listen(client: Tidewire, name = "room:a"): Promise<unknown[]> {
  const heard: unknown[] = [];
  client.channel(name).on("*", ({ offset }) => heard.push(offset));
  await client.channel(name).subscribe();
  return heard;
}

test("connects with the first channel, and tells each state once", async () => {
  const { client, server, states } = setUp();
  expect(client.state).toBe("idle");
  client.channel("room:a");
  await settled();
  expect(client.userId).toBe("ann");
  server.cutAll();
  await settled();
  await vi.advanceTimersByTimeAsync(1_000);
  client.close();
  expect(states).toEqual(["connecting", "connected", "reconnecting", "connected", "closed"]);
});

test("a token that can't be had is told, and asked for again", async () => {
  let asked = 0;
  const failure = new Error("not signed in");
  const getToken = async (): Promise<string> => {
    if (asked++) return "good";
    throw failure;
  };
  const { client } = setUp({ getToken });
  const states = vi.fn();
  client.onState(states);
  client.connect();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(client.state).toBe("connected");
  const told = expect.objectContaining({ message: "Error: not signed in", retryable: true });
  expect(states).toHaveBeenCalledWith("reconnecting", told);
});

test("another way without a loss is told, too", async () => {
  const session = { ...HELLO, session_token: "secret" };
  const news = { cursor: "c", frames: [] };
  const fetch = (async (url: string, { method }: RequestInit) => {
    if (method === "POST") return Response.json(session);
    if (url.endsWith("wait_s=25")) await new Promise((resolve) => setTimeout(resolve, 25_000)); // it is held
    return Response.json(news);
  }) as unknown as typeof globalThis.fetch;
  const { client, server } = setUp({ transports: ["websocket", "long_poll"], httpUrl: "http://server", fetch });
  const told: unknown[] = [];
  client.onState((state) => told.push([state, client.transport]));
  server.down = true;
  client.connect();
  await settled();
  server.down = false;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told.slice(1)).toEqual([
    ["connected", "long_poll"],
    ["connected", "websocket"],
  ]);
});

test("where polls that wait are out of reach it goes on by short ones, and never seems to be connected by them", async () => {
  const session = { ...HELLO, session_token: "secret" };
  const config = { websocket_url: "ws://server", http_url: "http://server", stream_url: "http://streams" };
  const fetch = (async (url: string, { method }: RequestInit) => {
    if (url.startsWith("http://streams")) throw new TypeError("a proxy does not let it through");
    if (method === "POST") return Response.json(session);
    return Response.json(url.endsWith("/v1/config") ? config : { cursor: "c", frames: [] });
  }) as unknown as typeof globalThis.fetch;
  const client = new Tidewire({
    httpUrl: "http://server",
    transports: ["long_poll", "short_poll"],
    getToken: async () => "t",
    fetch,
  });
  open.push(client);
  const told: unknown[] = [];
  client.onState((state) => told.push([state, client.transport]));
  client.connect();
  await vi.advanceTimersByTimeAsync(300_000); // and each time that the better way is tried again
  expect(told.slice(1)).toEqual([["connected", "short_poll"]]);
});

test("a channel of one name is always the same object", () => {
  const { client } = setUp();
  expect(client.channel("room:a")).toBe(client.channel("room:a"));
  expect(client.channel("room:a")).not.toBe(client.channel("room:b"));
});

test("asks the server where its WebSocket is, once", async () => {
  const fetch = vi.fn(async () => Response.json({ websocket_url: "ws://elsewhere/v1/ws" }));
  const server = new Server();
  const client = new Tidewire({
    httpUrl: "http://api",
    transports: ["websocket"],
    getToken: async () => "t",
    WebSocket: server.WebSocket,
    fetch,
  });
  open.push(client);
  client.connect();
  await settled();
  server.cutAll();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(server.opened.map(({ url }) => url)).toEqual(["ws://elsewhere/v1/ws", "ws://elsewhere/v1/ws"]);
  expect(fetch.mock.calls).toEqual([["http://api/v1/config", { signal: expect.any(AbortSignal) }]]);
});

test.each([
  ["answers with an error", async () => new Response("", { status: 503 })],
  ["is not reached", async () => Promise.reject(new TypeError("fetch failed"))],
])("tries again when the server %s", async (_what, first) => {
  const fetch = vi.fn(async () => Response.json({ websocket_url: "ws://server/v1/ws" })).mockImplementationOnce(first);
  const server = new Server();
  const client = new Tidewire({
    httpUrl: "http://api",
    transports: ["websocket"],
    getToken: async () => "t",
    WebSocket: server.WebSocket,
    fetch,
  });
  open.push(client);
  client.connect();
  await settled();
  expect(client.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(client.state).toBe("connected");
});

test("a WebSocket that can't be made is a connection that failed", async () => {
  const { client, server } = setUp({
    WebSocket: class {
      constructor() {
        throw new SyntaxError("no URL");
      }
    } as unknown as typeof WebSocket,
  });
  client.connect();
  await settled();
  expect(client.state).toBe("reconnecting");
  expect(server.opened).toEqual([]);
});

test("events reach the listeners of their channel", async () => {
  const { client, server } = setUp();
  const [a, b] = [await listen(client, "room:a"), await listen(client, "room:b")];
  server.publish("room:a");
  server.publish("room:b");
  server.publish("room:b");
  await settled();
  expect([a, b]).toEqual([[1], [1, 2]]);
});

test("what was published meanwhile is there after a reconnect, once", async () => {
  const { client, server } = setUp();
  const heard = await listen(client);
  server.publish("room:a");
  await settled();
  server.cutAll();
  server.publish("room:a");
  server.publish("room:a");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(heard).toEqual([1, 2, 3]);
});

test("what was published while it was away is sent when it is back", async () => {
  const { client, server } = setUp();
  const heard = await listen(client);
  server.cutAll();
  await settled();
  const sent = client.channel("room:a").publish("said", "hello");
  await vi.advanceTimersByTimeAsync(1_000);
  await sent;
  expect(heard).toEqual([1]);
});

test("a publication whose answer was lost is stored once", async () => {
  const { client, server } = setUp();
  const heard = await listen(client);
  const lost = vi.fn((request: Frame) => {
    server.instead.delete("publish");
    server.publish("room:a", { message_id: request["message_id"] as string });
    server.cutAll();
    return null;
  });
  server.instead.set("publish", lost);
  const sent = client.channel("room:a").publish("said", "hello");
  await vi.advanceTimersByTimeAsync(1_000);
  await sent;
  expect(lost).toHaveBeenCalledOnce();
  expect(server.asked("publish")[1]).toMatchObject({ retry: true });
  expect(server.stream("room:a").log).toHaveLength(1);
  expect(heard).toEqual([1]);
});

test("a lost last push shows 5 seconds after traffic has stopped, once nothing was missed 10 seconds after it", async () => {
  let copies = 1;
  const { client, server } = setUp({}, { copies: () => copies });
  const heard = await listen(client);
  copies = 0;
  server.publish("room:a");
  await vi.advanceTimersByTimeAsync(5_000);
  expect(heard).toEqual([1]);
  copies = 1;
  await vi.advanceTimersByTimeAsync(6_000);
  server.publish("room:a");
  await settled();
  copies = 0;
  server.publish("room:a");
  await vi.advanceTimersByTimeAsync(9_999);
  expect(heard).toEqual([1, 2]);
  await vi.advanceTimersByTimeAsync(1);
  expect(heard).toEqual([1, 2, 3]);
});

test("traffic that comes while a sync is under way is followed by another", async () => {
  let copies = 1;
  const { client, server } = setUp({}, { copies: () => copies });
  const heard = await listen(client);
  server.instead.set("sync", () => {
    server.instead.delete("sync");
    server.publish("room:a");
    copies = 0;
    server.publish("room:a"); // lost
    return { behind: {} };
  });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(heard).toEqual([1]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(heard).toEqual([1, 2]);
});

test("a sync that failed is asked again, not at the next heartbeat", async () => {
  let copies = 1;
  const { client, server, onError } = setUp({}, { copies: () => copies });
  const heard = await listen(client);
  copies = 0;
  server.publish("room:a");
  server.instead.set("sync", () => {
    server.instead.delete("sync");
    return { error: wireError({}) };
  });
  await vi.advanceTimersByTimeAsync(15_000);
  expect(heard).toEqual([1]);
  expect(onError).not.toHaveBeenCalled();
});

test.each([[[]], [["room:a", "room:b"]]])(
  "without traffic it asks sync at the heartbeat, with channels %j",
  async (names) => {
    const { client, server } = setUp();
    client.connect();
    await Promise.all(names.map((name) => client.channel(name).subscribe()));
    await vi.advanceTimersByTimeAsync(30_000);
    const before = server.asked("sync").length; // of the quiet after subscribing
    await vi.advanceTimersByTimeAsync(509_999);
    expect(server.asked("sync")).toHaveLength(before);
    await vi.advanceTimersByTimeAsync(1);
    const positions = Object.fromEntries(names.map((name) => [name, { epoch: "e1", offset: 0 }]));
    expect(server.asked("sync").slice(before)).toMatchObject([{ positions }]);
    await vi.advanceTimersByTimeAsync(540_000);
    expect(server.asked("sync")).toHaveLength(before + 2);
  },
);

test("a sync that is refused for good is reported, and asked again by the next heartbeat", async () => {
  const { client, server, onError } = setUp();
  await listen(client);
  server.instead.set("sync", () => ({ error: wireError({ code: 1002, retryable: false }) }));
  await vi.advanceTimersByTimeAsync(500_000);
  expect(onError).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 1002 }));
  server.instead.clear();
  await vi.advanceTimersByTimeAsync(40_000);
  expect(server.asked("sync")).toHaveLength(2);
});

test("many channels are synced in requests that the server takes", async () => {
  const { client, server } = setUp();
  const names = Array.from({ length: 130 }, (_, index) => `room:${"x".repeat(190)}${index}`);
  await Promise.all(names.map((name) => client.channel(name).subscribe()));
  await vi.advanceTimersByTimeAsync(5_000);
  const positions = server.asked("sync").map((request) => Object.keys(request["positions"] as object));
  expect(positions.flat().sort()).toEqual(names.sort());
  for (const some of positions) expect(some.length).toBeLessThanOrEqual(100);
  for (const text of server.last.sent) expect(text.length).toBeLessThan(32_000);
});

test("when the page or the network wakes it hurries, and asks what it missed", async () => {
  const listeners = new Map<string, () => void>();
  vi.stubGlobal("addEventListener", (type: string, listener: () => void) => listeners.set(type, listener));
  vi.stubGlobal("removeEventListener", (type: string) => listeners.delete(type));
  const { client, server } = setUp({ random: () => 0.99 });
  await listen(client);
  await vi.advanceTimersByTimeAsync(6_000);
  const before = server.asked("sync").length;
  listeners.get("online")?.();
  await settled();
  expect(server.asked("sync")).toHaveLength(before + 1);
  server.cutAll();
  await settled();
  expect(client.state).toBe("reconnecting");
  listeners.get("online")?.();
  await settled();
  expect(client.state).toBe("connected");
  client.close();
  expect(listeners.size).toBe(0);
});

test("a page that goes to sleep is left alone", async () => {
  const page = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  vi.stubGlobal("document", page);
  const { client, server } = setUp();
  await listen(client);
  page.dispatchEvent(new Event("visibilitychange"));
  await settled();
  expect(server.asked("sync")).toEqual([]);
  page.visibilityState = "visible";
  page.dispatchEvent(new Event("visibilitychange"));
  await settled();
  expect(server.asked("sync")).toHaveLength(1);
});

test("subscribing in the middle of the handshake works", async () => {
  const { client } = setUp({}, { delayMs: () => 100 });
  client.connect();
  await vi.advanceTimersByTimeAsync(50);
  const early = client.channel("room:a").subscribe();
  await vi.advanceTimersByTimeAsync(100); // open, hello under way
  const late = client.channel("room:b").subscribe();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await Promise.all([early, late])).toEqual([[], []]);
});

test("listeners that throw, of states and of events, break nothing", async () => {
  const { client, server, onError, states } = setUp();
  client.onState(() => {
    throw new Error("state");
  });
  const heard = await listen(client);
  client.channel("room:a").on("said", () => {
    throw new Error("event");
  });
  server.publish("room:a");
  server.publish("room:a");
  await settled();
  expect(heard).toEqual([1, 2]);
  expect(states).toEqual(["connecting", "connected"]);
  expect(onError.mock.calls.map(([error]) => (error as Error).message)).toEqual(["state", "state", "event", "event"]);
});

test("a listener that was taken out hears no more", async () => {
  const { client } = setUp();
  const heard = vi.fn();
  const stop = client.onState(heard);
  stop();
  client.connect();
  expect(heard).not.toHaveBeenCalled();
});

test("close() refuses what waits, is silent otherwise, and leaves no timer", async () => {
  const { client, server, onError } = setUp();
  await listen(client);
  server.instead.set("history", () => null);
  server.instead.set("sync", () => null);
  await vi.advanceTimersByTimeAsync(5_000); // a sync is under way
  server.last.say(event(9)); // a hole
  await settled();
  const asking = outcome(client.channel("room:a").history());
  server.down = true;
  server.cutAll();
  await settled();
  const publishing = outcome(client.channel("room:a").publish("said", "x"));
  const subscribing = outcome(client.channel("room:b").subscribe());
  await settled();
  client.close();
  expect(await asking).toMatchObject({ retryable: true });
  expect(await Promise.all([publishing, subscribing])).toMatchObject([{ kind: "closed" }, { kind: "closed" }]);
  await settled();
  expect(vi.getTimerCount()).toBe(0);
  expect(onError).not.toHaveBeenCalled();
});

test("closed by a listener that hears of the loss, it refuses what was under way", async () => {
  const { client, server } = setUp();
  await listen(client);
  server.instead.set("publish", () => null);
  server.instead.set("subscribe", () => null);
  const publishing = outcome(client.channel("room:a").publish("said", "x"));
  const subscribing = outcome(client.channel("room:b").subscribe());
  await settled();
  client.onState((state) => void (state === "reconnecting" && client.close()));
  server.cutAll();
  await settled();
  expect(await Promise.all([publishing, subscribing])).toMatchObject([{ kind: "closed" }, { kind: "closed" }]);
});

test("a closed client stays closed when its channels are used, and says so", async () => {
  const { client, server } = setUp();
  await listen(client);
  client.close();
  expect(await outcome(client.channel("room:a").publish("said", "x"))).toMatchObject({ kind: "closed" });
  expect(await outcome(client.channel("room:b").subscribe())).toMatchObject({ kind: "closed" });
  expect(await outcome(client.channel("room:b").history())).toMatchObject({ kind: "closed" });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(server.opened).toHaveLength(1);
});

test("connect() after close() takes the subscriptions up again", async () => {
  const { client, server } = setUp();
  const heard = await listen(client);
  client.close();
  server.publish("room:a");
  client.connect();
  await settled();
  expect(heard).toEqual([1]);
});

test("an end for good is told with its reason", async () => {
  const { client, server } = setUp();
  await listen(client);
  const told = vi.fn();
  client.onState(told);
  const publishing =
    (server.instead.set("publish", () => null), outcome(client.channel("room:a").publish("said", "x")));
  await settled();
  server.last.say({ type: "system", event: "disconnect", code: 3501, name: "revoked", reconnect: false });
  await settled();
  expect(told).toHaveBeenCalledWith("closed", expect.objectContaining({ code: 3501, kind: "revoked" }));
  expect(await publishing).toMatchObject({ code: 3501 });
});

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
  "over a network that loses, repeats, swaps and breaks, each event comes once and in order (seed %i)",
  async (seed) => {
    const random = seeded(seed + 1);
    let spoiled = true;
    const network = {
      copies: () => (spoiled ? Math.floor(random() * 3) : 1),
      delayMs: () => (spoiled ? Math.floor(random() * 300) : 0),
    };
    const { client, server, onError } = setUp({ random }, network);
    const handed: { offset: number; priority: string }[] = [];
    let resets = 0;
    const channel = client.channel("room:a");
    channel.on("*", (event) => handed.push({ offset: event.offset as number, priority: event.priority }));
    channel.onReset(() => resets++);
    const subscribing = channel.subscribe();
    await vi.advanceTimersByTimeAsync(20_000);
    await subscribing;

    const own: Promise<unknown>[] = [];
    for (let step = 0; step < 30; step++) {
      const priority = random() < 0.3 ? "high" : "normal";
      if (random() < 0.3) own.push(channel.publish("said", step, { priority }));
      else if (random() < 0.8) server.publish("room:a", { priority, message_id: `server-${step}` });
      if (random() < 0.1) server.cutAll();
      await vi.advanceTimersByTimeAsync(random() * 700);
    }
    spoiled = false;
    await vi.advanceTimersByTimeAsync(60_000);
    await Promise.all(own);

    const offsets = handed.map(({ offset }) => offset);
    expect(new Set(offsets).size).toBe(offsets.length);
    for (const priority of ["high", "normal"]) {
      const some = handed.filter((event) => event.priority === priority).map(({ offset }) => offset);
      expect(some).toEqual([...some].sort((a, b) => a - b));
    }
    const { log } = server.stream("room:a");
    expect(new Set(log.map(({ message_id }) => message_id)).size).toBe(log.length);
    expect(channel.position).toEqual({ epoch: "e1", offset: log.length });
    // A recovery that the server refuses is the only way to miss something, and the application is told.
    if (resets === 0) expect(offsets.sort((a, b) => a - b)).toEqual(log.map(({ offset }) => offset));
    expect(onError).not.toHaveBeenCalled();
  },
);

test("a client that could not keep up reads what it was not sent", async () => {
  const { client, server } = setUp();
  const heard = await listen(client);
  const { epoch, log } = server.stream("room:a");
  log.push(publication(1, { channel: "room:a" }), publication(2, { channel: "room:a", prev_offset: 1 }));
  server.last.say({ type: "system", event: "lagged", channel: "room:a", position: { epoch, offset: 2 } });
  await vi.advanceTimersByTimeAsync(10);
  expect(heard).toEqual([1, 2]);
});

test("a stream that was purged is begun anew", async () => {
  const { client, server } = setUp();
  const heard = await listen(client);
  const begun = vi.fn();
  client.channel("room:a").onReset(begun);
  server.publish("room:a");
  await settled();
  server.streams.set("room:a", { epoch: "e2", log: [], kept: Infinity });
  server.last.say({ type: "system", event: "resubscribe", channel: "room:a", reason: "purged" });
  await settled();
  expect(begun).toHaveBeenCalledExactlyOnceWith({ epoch: "e2", offset: 0 });
  server.publish("room:a");
  await settled();
  expect(heard).toEqual([1, 1]);
});

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
  "over a network that swaps and breaks, and with a server that is busy, publications keep their order (seed %i)",
  async (seed) => {
    const random = seeded(seed + 2_000);
    // Some take longer than the client waits for an answer: they arrive when they have been repeated.
    const { client, server } = setUp({ random }, { delayMs: () => random() * (random() < 0.1 ? 25_000 : 300) });
    server.instead.set("publish", () => (random() < 0.1 ? { error: wireError({ retry_after_ms: 100 }) } : undefined));
    const own: Promise<unknown>[] = [];
    const order = new Map<string, string[]>(["room:a", "room:b"].map((name) => [name, []]));
    for (let step = 0; step < 60; step++) {
      const name = random() < 0.5 ? "room:a" : "room:b";
      order.get(name)?.push(`${step}`);
      own.push(client.channel(name).publish("said", step, { messageId: `${step}` }));
      if (random() < 0.05) server.cutAll();
      if (random() < 0.5) await vi.advanceTimersByTimeAsync(random() * 1_000);
    }
    await vi.advanceTimersByTimeAsync(300_000);
    await Promise.all(own);
    for (const [name, ids] of order) expect(server.stream(name).log.map(({ message_id }) => message_id)).toEqual(ids);
  },
);

// coming and going

/** A client that stands in a room, over a network on which the messages to come take as long as `delays` says. */
async function listening() {
  const delays: number[] = [];
  const set = setUp({}, { delayMs: () => delays.shift() ?? 0 });
  const heard = await listen(set.client);
  return { ...set, delays, heard, channel: set.client.channel("room:a") };
}

test.each([
  ["the first", [10, 200]],
  ["the second", [200, 10]],
])("left and come back to at once, a channel is subscribed to, if the server gets %s frame first", async (_, some) => {
  const { server, channel, delays, heard } = await listening();
  delays.push(...some);
  const both = Promise.all([channel.unsubscribe(), channel.subscribe()]);
  await vi.advanceTimersByTimeAsync(1_000);
  await both;
  server.publish("room:a");
  await settled();
  expect(heard).toEqual([1]);
});

test.each([
  ["the first", [10, 200]],
  ["the second", [200, 10]],
])("come to and left at once, a channel is left, if the server gets %s frame first", async (_what, some) => {
  const { client, server, delays } = await listening();
  delays.push(...some);
  const coming = outcome(client.channel("room:b").subscribe());
  const leaving = client.channel("room:b").unsubscribe();
  await vi.advanceTimersByTimeAsync(1_000);
  await leaving;
  expect(await coming).toMatchObject({ kind: "closed" });
  expect([...server.last.subscriptions]).toEqual(["room:a"]);
});

test("left and come back to while the connection goes, a channel is subscribed to on the next one", async () => {
  const { server, channel, heard } = await listening();
  server.instead.set("unsubscribe", () => null);
  const both = Promise.all([channel.unsubscribe(), channel.subscribe()]);
  await settled();
  expect(server.asked("subscribe")).toHaveLength(1);
  server.cutAll();
  await vi.advanceTimersByTimeAsync(1_000);
  await both;
  server.publish("room:a");
  await settled();
  expect(heard).toEqual([1]);
  expect(server.asked("subscribe")).toHaveLength(2);
});

test("back and forth at once: what was thought better of is not subscribed to", async () => {
  const { server, channel, delays } = await listening();
  delays.push(100);
  const leaving = [channel.unsubscribe()];
  const whims = [1, 2, 3].map(() => {
    const coming = outcome(channel.subscribe());
    leaving.push(channel.unsubscribe());
    return coming;
  });
  const coming = channel.subscribe();
  await vi.advanceTimersByTimeAsync(1_000);
  await Promise.all([...leaving, coming]);
  for (const whim of await Promise.all(whims)) expect(whim).toMatchObject({ kind: "closed" });
  expect(server.asked("subscribe")).toHaveLength(2);
  expect([...server.last.subscriptions]).toEqual(["room:a"]);
});

test("a refusal to let go is thrown", async () => {
  const { server, channel } = await listening();
  server.instead.set("unsubscribe", () => ({ error: wireError({ code: 2004 }) }));
  expect(await outcome(channel.unsubscribe())).toMatchObject({ code: 2004 });
});

// the end of a token

/** From the next request on, the server takes the token for ended; a fresh one is good. */
function expire(server: Server): void {
  const types = ["publish", "subscribe", "sync", "history", "unsubscribe"];
  const refuse = () => ({ error: wireError({ code: 1004, name: "unauthenticated", retryable: false }) });
  for (const type of types) server.instead.set(type, refuse);
  server.instead.set("hello", () => {
    for (const type of types) server.instead.delete(type);
    return undefined;
  });
}

test("after the end of its token it is back with a fresh one, and nothing is lost, published or heard", async () => {
  const getToken = vi.fn(async (_fresh: boolean) => "good");
  const { client, server, onError } = setUp({ getToken });
  const heard = await listen(client);
  expire(server);
  server.last.subscriptions.clear();
  server.publish("room:a", { message_id: "theirs" });
  const own = ["1", "2", "3"].map((messageId) => client.channel("room:a").publish("said", "x", { messageId }));
  await vi.advanceTimersByTimeAsync(1_000);
  await Promise.all(own);
  expect(server.stream("room:a").log.map(({ message_id }) => message_id)).toEqual(["theirs", "1", "2", "3"]);
  expect(heard).toEqual([1, 2, 3, 4]);
  expect(getToken.mock.calls).toEqual([[false], [true]]);
  expect(onError).not.toHaveBeenCalled();
});

test("a client that only listens notices the end of its token when it syncs", async () => {
  const { client, server } = setUp();
  const heard = await listen(client);
  expire(server);
  server.last.subscriptions.clear();
  server.publish("room:a");
  await vi.advanceTimersByTimeAsync(6_000);
  expect(heard).toEqual([1]);
});

test("when the fresh token is of no use either, what waits is refused, and the application is told", async () => {
  const { client, server } = setUp();
  const told = vi.fn();
  client.onState(told);
  await listen(client);
  expire(server);
  server.instead.delete("hello");
  const publishing = outcome(client.channel("room:a").publish("said", "x"));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await publishing).toMatchObject({ code: 1004, kind: "unauthenticated" });
  expect(told).toHaveBeenLastCalledWith("closed", expect.objectContaining({ code: 1004, kind: "unauthenticated" }));
  expect(server.opened).toHaveLength(2);
});

test("a channel that was left without a connection is left on the next one: a session keeps its subscriptions", async () => {
  const { client, server } = setUp();
  await listen(client);
  server.down = true;
  server.cutAll();
  await settled();
  await client.channel("room:a").unsubscribe();
  server.down = false;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(client.state).toBe("connected");
  expect(server.asked("unsubscribe").map(({ channel }) => channel)).toEqual(["room:a"]);
  server.cutAll();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(server.asked("unsubscribe")).toHaveLength(1);
});

test("a client is one user's: with another's token it closes", async () => {
  const { client, server, states } = setUp();
  await listen(client);
  server.instead.set("publish", () => null);
  const publishing = outcome(client.channel("room:a").publish("said", "ann's"));
  await settled();
  server.instead.delete("publish");
  server.instead.set("hello", () => ({ ...HELLO, user_id: "bob" }));
  server.cutAll();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(states.at(-1)).toBe("closed");
  expect(server.asked("publish")).toHaveLength(1);
  expect(await publishing).toMatchObject({ retryable: false });
});

test("a token is replaced while messages flow: none is lost, and the connection stays", async () => {
  const { client, server, states } = setUp({ getToken: async (fresh) => (fresh ? "fresh" : "good") });
  const heard = await listen(client);
  server.publish("room:a");
  server.last.say({ type: "system", event: "token_expiring", expires_at_ms: HELLO.server_time_ms + 60_000 });
  const own = client.channel("room:a").publish("said", "x");
  server.publish("room:a");
  await own;
  await settled();
  expect(server.asked("refresh")).toMatchObject([{ token: "fresh" }]);
  expect(heard).toEqual([1, 2, 3]);
  expect(states).toEqual(["connecting", "connected"]);
  expect(server.asked("subscribe")).toHaveLength(1);
});

test("what getToken throws while the connection stands is reported, and it goes on", async () => {
  const onError = vi.fn();
  const failure = new Error("no network");
  let failed = false;
  const getToken = async (fresh: boolean): Promise<string> => {
    if (!fresh || failed) return "good";
    failed = true;
    throw failure;
  };
  const { client, server } = setUp({ getToken, onError });
  await listen(client);
  server.last.say({ type: "system", event: "token_expiring", expires_at_ms: HELLO.server_time_ms + 60_000 });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(onError.mock.calls).toEqual([[failure]]);
  expect(server.asked("refresh")).toHaveLength(1);
});

test("another user's token replaces none: at the end of the one that stands it closes", async () => {
  const { client, server } = setUp();
  const told = vi.fn();
  client.onState(told);
  await listen(client);
  server.instead.set("refresh", () => ({ error: wireError({ code: 1005, name: "forbidden", retryable: false }) }));
  server.instead.set("hello", () => ({ ...HELLO, user_id: "bob" }));
  server.last.say({ type: "system", event: "token_expiring", expires_at_ms: HELLO.server_time_ms + 60_000 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(client.state).toBe("connected");
  expect(server.asked("refresh")).toHaveLength(1);
  server.last.say({ type: "system", event: "disconnect", code: 3500, name: "token_expired", reconnect: false });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(told).toHaveBeenLastCalledWith("closed", expect.objectContaining({ message: "another user's token" }));
});

test("revoked, it is closed for good: what waits is refused with that, and iterators fail with it", async () => {
  const { client, server } = setUp();
  const told = vi.fn();
  client.onState(told);
  await listen(client);
  const next = outcome(client.channel("room:a")[Symbol.asyncIterator]().next());
  server.instead.set("publish", () => null);
  const publishing = outcome(client.channel("room:a").publish("said", "x"));
  await settled();
  server.last.say({ type: "system", event: "disconnect", code: 3501, name: "revoked", reconnect: false });
  await vi.advanceTimersByTimeAsync(60_000);
  const revoked = expect.objectContaining({ code: 3501, kind: "revoked", retryable: false });
  expect(told).toHaveBeenLastCalledWith("closed", revoked);
  expect(await publishing).toEqual(revoked);
  expect(await next).toEqual(revoked);
  expect(server.opened).toHaveLength(1);
});

test("a token that never comes is given up after 30 seconds, and asked for again", async () => {
  const getToken = vi.fn((_fresh: boolean) => Promise.resolve("good"));
  getToken.mockImplementationOnce(() => new Promise(() => undefined));
  const { client, states } = setUp({ getToken });
  client.connect();
  await vi.advanceTimersByTimeAsync(29_999);
  expect(states).toEqual(["connecting"]);
  await vi.advanceTimersByTimeAsync(1 + 250);
  expect(getToken).toHaveBeenCalledTimes(2);
  expect(states).toEqual(["connecting", "reconnecting", "connected"]);
});

test("a heartbeat that no timer can wait for is not a heartbeat without end", async () => {
  const { client, server } = setUp();
  server.instead.set("hello", () => ({ ...HELLO, heartbeat_s: 3_000_000 }));
  client.connect();
  await settled();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(server.asked("sync")).toHaveLength(0);
});
