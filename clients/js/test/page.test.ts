// The client in a page, against a server in memory.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Tidewire, type TidewireOptions } from "../src/tidewire.js";
import { settled, wireError } from "./fakes.js";
import { Server } from "./server.js";
import { FakeBrowser } from "./tabs-fakes.js";

const open: Tidewire[] = [];
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  open.splice(0).forEach((client) => client.close());
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const TOKEN = `h.${btoa(JSON.stringify({ sub: "ann" }))}.s`;

/** This is a page, and the only one of its browser. */
function stubPage(): void {
  const { navigator, BroadcastChannel } = new FakeBrowser().page().browser;
  vi.stubGlobal("document", new EventTarget());
  vi.stubGlobal("navigator", navigator);
  vi.stubGlobal("BroadcastChannel", BroadcastChannel);
}

function setUp(options: Partial<TidewireOptions> = {}) {
  const server = new Server();
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
  open.push(client);
  return { server, client, onError };
}

test("who may not be seen hears on", async () => {
  const { server, client, onError } = setUp();
  const channel = client.channel("room:a");
  const heard: unknown[] = [];
  channel.on("*", ({ offset }) => heard.push(offset));
  await channel.subscribe();
  server.instead.set("subscribe", ({ presence }) => {
    if (!presence) return undefined;
    server.publish("room:a"); // overtakes the answer
    return { error: wireError({ name: "forbidden", code: 1005, retryable: false }) };
  });
  await expect(channel.presence.join()).rejects.toMatchObject({ kind: "forbidden" });
  server.publish("room:a");
  await settled();
  expect(heard).toEqual([1, 2]);
  // What is lost now is found, too.
  server.stream("room:a").log.push({ ...server.publish("room:a"), offset: 4, prev_offset: 3, message_id: "lost" });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(heard).toEqual([1, 2, 3, 4]);
  expect(onError).not.toHaveBeenCalled();
});

test.each([undefined, "websocket"])("a page has the tabs' connection from its first attempt on: %s", async (way) => {
  stubPage();
  const setItem = vi.fn();
  vi.stubGlobal("localStorage", { getItem: () => way && `${way} ${Date.now()}`, setItem });
  const { server, client, onError } = setUp({ getToken: async () => TOKEN });
  const heard: unknown[] = [];
  client.channel("room:a").on("*", ({ offset }) => heard.push(offset));
  const subscribing = client.channel("room:a").subscribe();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(client.transport).toBe("tabs");
  await subscribing;
  server.publish("room:a");
  await settled();
  expect(heard).toEqual([1]);
  expect(server.opened).toHaveLength(1);
  expect(setItem.mock.calls.map(([, kept]) => kept)).toEqual([expect.stringMatching(/^websocket /)]);
  expect(onError).not.toHaveBeenCalled();
});

test("where the worker's script can't be had, the tabs share all the same", async () => {
  const browser = new FakeBrowser();
  browser.onWorker = () => undefined;
  browser.workerFails = true;
  const { navigator, BroadcastChannel, SharedWorker } = browser.page().browser;
  vi.stubGlobal("document", new EventTarget());
  vi.stubGlobal("navigator", navigator);
  vi.stubGlobal("BroadcastChannel", BroadcastChannel);
  vi.stubGlobal("SharedWorker", SharedWorker);
  const { client, onError } = setUp({ getToken: async () => TOKEN, sharedWorker: "/nowhere.js" });
  client.connect();
  await vi.advanceTimersByTimeAsync(10_000);
  expect([client.state, client.transport]).toEqual(["connected", "tabs"]);
  expect(onError).toHaveBeenCalledOnce();
});

test("a large document is read with a fresh token where the last has ended", async () => {
  let token = 1;
  const fetch = vi.fn(async (_url: unknown, init?: RequestInit) =>
    new Headers(init?.headers).get("Authorization") === "Bearer 2"
      ? new Response(JSON.stringify({ big: true }), { headers: { ETag: '"3"' } })
      : Response.json(wireError({ code: 1004, name: "unauthenticated", retryable: false }), { status: 401 }),
  );
  const getToken = async (fresh: boolean): Promise<string> => String((token = fresh ? 2 : token));
  const { server, client, onError } = setUp({ httpUrl: "http://server", getToken, fetch: fetch as never });
  server.instead.set("subscribe", ({ channel }) => ({
    ...{ channel, position: { epoch: "e1", offset: 0 }, recovered: false, publications: [] },
    state: { documents: { board: { version: 3 } } },
  }));
  const ready = client.channel("room:a").document("board").ready();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await ready).toEqual({ big: true });
  expect(onError).not.toHaveBeenCalled();
});
