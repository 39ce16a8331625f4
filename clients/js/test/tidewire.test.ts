// The client with everything, put together: what a channel's parts ask of its subscription, and what outlives a page.

import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Tidewire, type TidewireOptions } from "../src/index.js";
import { FakeLocks } from "./fake-locks.js";
import { HELLO, wireError, type Frame } from "./fakes.js";
import { Server } from "./server.js";

const open: Tidewire[] = [];
beforeEach(() => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  vi.stubGlobal("navigator", { locks: new FakeLocks().page() });
});
afterEach(() => {
  open.splice(0).forEach((client) => client.close());
  vi.unstubAllGlobals();
});

/** A JWT of this user, signed by nobody. */
function tokenOf(user: string): string {
  const part = (value: unknown): string => btoa(JSON.stringify(value)).replaceAll("=", "");
  return `${part({ alg: "none" })}.${part({ sub: user })}.`;
}

function client(server: Server, options: Partial<TidewireOptions> = {}): Tidewire {
  const made = new Tidewire({
    websocketUrl: "ws://server/v1/ws",
    httpUrl: "http://server",
    transports: ["websocket"],
    getToken: async () => tokenOf("ann"),
    WebSocket: server.WebSocket,
    fetch: () => Promise.reject(new Error("nothing is asked by HTTP here")),
    random: () => 0,
    onError: (error) => expect.unreachable(String(error)),
    ...options,
  });
  open.push(made);
  return made;
}

/** Have subscriptions bring documents and members. */
function withParts(server: Server): void {
  const position = { epoch: "e1", offset: 0 };
  server.instead.set("subscribe", ({ channel, state, presence }: Frame) => ({
    ...{ channel, position, recovered: false, publications: [] },
    ...(state ? { state: { documents: { board: { version: 3, value: { title: "Plans" } } } } } : {}),
    ...(presence ? { presence: { members: [], count: 0, version: 1 } } : {}),
  }));
}

function until<T>(probe: () => T | false | undefined): Promise<T> {
  return vi.waitFor(() => {
    const value = probe();
    if (!value) throw new Error("not yet");
    return value;
  });
}

describe("a channel's parts ride on its subscription", () => {
  test("a document subscribes, shows what came, and what is pushed", async () => {
    const server = new Server();
    withParts(server);
    const document = client(server).channel("room:a").document<{ title: string }>("board");
    expect(await document.ready()).toEqual({ title: "Plans" });
    expect(server.asked("subscribe").map(({ state }) => state)).toEqual([true]);
    server.last.say({ type: "state", channel: "room:a", key: "board", version: 4, patch: { title: "New" } });
    await until(() => document.value?.title === "New");
  });

  test("what is written shows at once, and is settled by the server's answer", async () => {
    const server = new Server();
    withParts(server);
    server.instead.set("state.patch", () => ({ version: 4, value: { title: "Ours" }, resolution: "merged" }));
    const document = client(server).channel("room:a").document<{ title: string }>("board");
    await document.ready();
    const written = document.patch({ title: "Mine" });
    expect(document.value).toEqual({ title: "Mine" });
    expect(await written).toEqual({ version: 4, value: { title: "Ours" }, resolution: "merged" });
    expect([document.value, server.asked("state.patch")[0]?.["base_version"]]).toEqual([{ title: "Ours" }, 3]);
  });

  test("who joins is subscribed with presence, beside what was wanted before, and again after a loss", async () => {
    const server = new Server();
    withParts(server);
    const room = client(server).channel("room:a");
    await room.document("board").ready();
    await room.presence.join();
    const wanted = (): unknown[] => server.asked("subscribe").map(({ state, presence }) => [state, presence]);
    expect(wanted()).toEqual([
      [true, undefined],
      [{ board: 3 }, true],
    ]);
    server.cutAll();
    await until(() => wanted().length === 3);
    expect(wanted().at(-1)).toEqual([{ board: 3 }, true]);
  });
});

describe("where documents can't be had, nobody waits for them for ever", () => {
  const DENIED = { code: 1005, name: "forbidden", message: "no", retryable: false };
  const kind = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => "it was answered",
      (error: { kind?: unknown }) => error.kind,
    );

  test("the channel is refused: what waits is, and what is asked later", async () => {
    const server = new Server();
    server.instead.set("subscribe", () => ({ error: DENIED }));
    const onError = vi.fn();
    const document = client(server, { onError }).channel("room:a").document("board");
    const waiting = [document.ready(), document.set(1)].map(kind);
    expect(await Promise.all(waiting)).toEqual(["forbidden", "forbidden"]);
    expect(await Promise.all([document.ready(), document.set(2)].map(kind))).toEqual(["forbidden", "forbidden"]);
    expect([document.value, document.pending]).toEqual([undefined, 0]);
    expect(onError).toHaveBeenCalledOnce();
  });

  test("a channel that was left, until it is subscribed to again", async () => {
    const server = new Server();
    withParts(server);
    server.instead.set("state.set", () => ({ version: 4, value: 2, resolution: "applied" }));
    const room = client(server).channel("room:a");
    const document = room.document("board");
    await document.ready();
    await room.unsubscribe();
    expect(await Promise.all([document.ready(), document.set(1)].map(kind))).toEqual(["closed", "closed"]);
    const joining = room.subscribe();
    const written = document.set(2);
    expect(await written).toMatchObject({ version: 4 });
    await joining;
    await room.unsubscribe();
    expect(await room.document("board").ready()).toBe(2); // whoever asks for one has it subscribed to
  });

  test("a client that was closed, until it is connected again", async () => {
    const server = new Server();
    withParts(server);
    const ann = client(server);
    const document = ann.channel("room:a").document("board");
    await document.ready();
    ann.close();
    expect(await Promise.all([document.ready(), document.set(1)].map(kind))).toEqual(["closed", "closed"]);
    ann.connect();
    await until(() => ann.state === "connected");
    await until(() => server.asked("subscribe").length === 2);
    expect(await document.ready()).toEqual({ title: "Plans" });
  });
});

describe("commands and messages to others", () => {
  test("the server is asked, and a peer's command is answered", async () => {
    const server = new Server();
    server.instead.set("command", ({ name }: Frame) => ({ data: `done: ${String(name)}` }));
    server.instead.set("result", () => ({}));
    server.instead.set("hello", () => ({ ...HELLO, server_time_ms: Date.now() }));
    const ann = client(server);
    ann.onCommand("move", (data) => ({ to: data }));
    ann.connect();
    await until(() => ann.state === "connected");
    expect(await ann.command("dice.roll")).toBe("done: dice.roll");
    const sender = { user_id: "bob", connection_id: "c2" };
    const command = { type: "command", command_id: "x", name: "move", data: "e4", sender };
    server.last.say({ ...command, expires_at_ms: Date.now() + 5_000 });
    const result = await until(() => server.asked("result")[0]);
    expect(result).toMatchObject({ command_id: "x", data: { to: "e4" } });
  });

  test("what is sent to a user is sent again until it is answered", async () => {
    const server = new Server();
    let answers = 0;
    server.instead.set("send", ({ message_id }: Frame) =>
      answers++ ? { message_id, status: "accepted" } : { error: wireError({}) },
    );
    await client(server)
      .send({ user_id: "bob" }, "hi", 1, { messageId: "m" })
      .catch(() => expect.unreachable());
    expect(server.asked("send").map(({ message_id, retry }) => [message_id, retry])).toEqual([
      ["m", undefined],
      ["m", true],
    ]);
  });
});

describe("what outlives the page", () => {
  test("a document is there before the server has been reached", async () => {
    const server = new Server();
    withParts(server);
    const first = client(server);
    await first.channel("room:a").document("board").ready();
    first.close();
    server.down = true;
    const document = client(server).channel("room:a").document("board");
    await until(() => document.value);
    expect([document.value, document.version]).toEqual([{ title: "Plans" }, 3]);
  });

  test("what was published offline is sent by the next page, once, before what is new", async () => {
    const server = new Server();
    const first = client(server, { onError: () => undefined });
    first.connect();
    await until(() => first.state === "connected");
    server.down = true;
    server.cutAll();
    for (const text of ["one", "two"]) {
      first
        .channel("room:a")
        .publish("said", text, { offline: true })
        .catch(() => undefined);
    }
    await new Promise((resolve) => setTimeout(resolve, 50)); // the database says nothing of what it has written
    first.close();
    server.down = false;
    const next = client(server);
    await next.channel("room:a").publish("said", "three");
    expect(server.stream("room:a").log.map(({ data }) => data)).toEqual(["one", "two", "three"]);
  });

  test("what an earlier page published stays for the next one when the server ends the client for good", async () => {
    const server = new Server();
    server.instead.set("publish", () => null);
    const first = client(server, { onError: () => undefined });
    first
      .channel("room:a")
      .publish("said", "one", { offline: true })
      .catch(() => undefined);
    await until(() => server.asked("publish").length === 1);
    first.close();
    const onError = vi.fn();
    const second = client(server, { onError });
    second.connect();
    await until(() => server.asked("publish").length === 2);
    server.last.say({ type: "system", event: "disconnect", code: 3501, name: "revoked", reconnect: false });
    await until(() => second.state === "closed");
    server.instead.clear();
    client(server).connect();
    await until(() => server.stream("room:a").log.length === 1);
    expect(onError).not.toHaveBeenCalled();
  });

  test("another user sees nothing of it; nor does the same one who has logged out", async () => {
    const server = new Server();
    withParts(server);
    const ann = client(server);
    await ann.channel("room:a").document("board").ready();
    await ann.logout();
    server.down = true;
    for (const user of ["ann", "bob"]) {
      const later = client(server, { getToken: async () => tokenOf(user) });
      const document = later.channel("room:a").document("board");
      await until(() => later.state === "reconnecting");
      expect(document.value).toBeUndefined();
    }
  });
});

test("a hole is filled with what the parts want, where history is forbidden", async () => {
  const server = new Server();
  withParts(server);
  server.instead.set("history", () => ({ error: wireError({ code: 1005, name: "forbidden", retryable: false }) }));
  server.instead.set("presence.get", () => ({ members: [], count: 0, version: 1 }));
  server.instead.set("state.get", () => ({ documents: {} }));
  const room = client(server).channel("room:a");
  await room.document("board").ready();
  await room.presence.join();
  await until(() => room.subscribed && room.position);
  server.last.say({ type: "system", event: "lagged", channel: "room:a", position: { epoch: "e1", offset: 2 } });
  const again = await until(() => {
    const types = server.requests.map(({ type }) => type);
    return (
      types.includes("history") &&
      server.requests.slice(types.indexOf("history")).find(({ type }) => type === "subscribe")
    );
  });
  expect(again).toMatchObject({ presence: true, state: { board: 3 } });
});

test("who logs out leaves nothing behind, even where a page that does not run has it open", async () => {
  const server = new Server();
  withParts(server);
  const ann = client(server);
  await ann.channel("room:a").document("board").ready();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const name = (await indexedDB.databases())[0]?.name as string;
  const frozen = await new Promise<IDBDatabase>((resolve) => {
    const opening = indexedDB.open(name);
    opening.onsuccess = () => resolve(opening.result);
  });
  const rows = (): Promise<number> =>
    new Promise((resolve) => {
      const request = frozen.transaction("documents").objectStore("documents").count();
      request.onsuccess = () => resolve(request.result);
    });
  expect(await rows()).toBe(1);
  await ann.logout();
  expect(await rows()).toBe(0);
});
