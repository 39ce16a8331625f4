// @vitest-environment happy-dom

import { act, cleanup, render, renderHook } from "@testing-library/react";
import { StrictMode, type ReactNode } from "react";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Tidewire } from "../src/index.js";
import { TidewireProvider, useChannel, useConnection, useDocument, usePresence, useTidewire } from "../src/react.js";
import { settled, wireError, type Frame } from "./fakes.js";
import { Server } from "./server.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(async () => {
  cleanup();
  await settled();
  open.splice(0).forEach((client) => client.close());
  vi.useRealTimers();
});

const open: Tidewire[] = [];

function setUp() {
  const server = new Server();
  const onError = vi.fn();
  const client = new Tidewire({
    websocketUrl: "ws://server/v1/ws",
    transports: ["websocket"],
    shareTabs: false,
    persist: false,
    getToken: async () => "good",
    WebSocket: server.WebSocket,
    random: () => 0,
    onError,
  });
  open.push(client);
  const wrapper = ({ children }: { children: ReactNode }) => (
    <StrictMode>
      <TidewireProvider client={client}>{children}</TidewireProvider>
    </StrictMode>
  );
  return { server, client, wrapper, onError };
}

/** Let everything happen that needs no time, and React show it. */
function passed(): Promise<void> {
  return act(settled);
}

const types = (server: Server): unknown[] => server.requests.map(({ type }) => type);
const offsets = (events: readonly { offset?: unknown }[]): unknown[] => events.map(({ offset }) => offset);

/** Have the server answer `subscribe` with these, too. */
function subscribedWith(server: Server, more: (request: Frame) => Frame): void {
  server.instead.set("subscribe", (request) => {
    const { channel } = request;
    server.last.subscriptions.add(channel as string);
    return { channel, position: { epoch: "e1", offset: 0 }, recovered: false, publications: [], ...more(request) };
  });
}

test("without a provider it is said so", () => {
  expect(() => renderHook(() => useTidewire())).toThrow("TidewireProvider");
});

test("gives the client, and the state of its connection", async () => {
  const { server, client, wrapper } = setUp();
  const { result } = renderHook(() => ({ client: useTidewire(), ...useConnection() }), { wrapper });
  expect(result.current).toEqual({ client, state: "idle", transport: undefined });
  act(() => client.connect());
  expect(result.current.state).toBe("connecting");
  await passed();
  expect(result.current).toEqual({ client, state: "connected", transport: "websocket" });
  act(() => server.cutAll());
  await passed();
  expect(result.current.state).toBe("reconnecting");
});

test("an event goes once to the listener that was given last", async () => {
  const { server, wrapper } = setUp();
  const heard: string[] = [];
  const { rerender } = renderHook(
    ({ who }) => useChannel("room:a", ({ offset }) => void heard.push(`${who} ${offset}`)),
    { wrapper, initialProps: { who: "ann" } },
  );
  await passed();
  await act(async () => void server.publish("room:a"));
  rerender({ who: "bob" });
  await act(async () => void server.publish("room:a"));
  expect(heard).toEqual(["ann 1", "bob 2"]);
  expect(types(server)).toEqual(["hello", "subscribe"]);
});

test("a component that hears of events without keeping any is not rendered for them", async () => {
  const { server, wrapper } = setUp();
  let renders = 0;
  renderHook(() => (renders++, useChannel("room:a", () => undefined)), { wrapper });
  await passed();
  const before = renders;
  await act(async () => void server.publish("room:a"));
  expect(renders).toBe(before);
});

test("keeps the latest events, with those from before", async () => {
  const { server, wrapper } = setUp();
  for (let n = 0; n < 3; n++) server.publish("room:a");
  const { result, rerender } = renderHook(() => useChannel("room:a", { history: 3 }), { wrapper });
  expect(result.current.messages).toEqual([]);
  await passed();
  expect(offsets(result.current.messages)).toEqual([1, 2, 3]);
  await act(async () => void server.publish("room:a"));
  expect(offsets(result.current.messages)).toEqual([2, 3, 4]);
  const { messages } = result.current;
  rerender();
  expect(result.current.messages).toBe(messages);
  expect(types(server)).toEqual(["hello", "subscribe"]);
});

test("what is not kept takes nobody's place among the kept", async () => {
  const { server, wrapper } = setUp();
  const heard: unknown[] = [];
  const { result } = renderHook(
    () => useChannel("room:a", { history: 2, onEvent: ({ data }) => void heard.push(data) }),
    { wrapper },
  );
  await passed();
  await act(async () => void server.publish("room:a", { data: "said" }));
  const { epoch: _, offset: __, prev_offset: ___, ...cursor } = server.stream("room:a").log[0] as Publication;
  for (const data of [1, 2]) {
    await act(async () => server.push("room:a", { type: "event", ...cursor, data, ephemeral: true }));
  }
  expect(heard).toEqual(["said", 1, 2]);
  expect(result.current.messages.map(({ data }) => data)).toEqual(["said"]);
});

test("what comes while the history is read is there once", async () => {
  const { server, client, wrapper } = setUp();
  server.publish("room:a");
  await client.channel("room:a").subscribe();
  let answer: unknown = null;
  server.instead.set("history", () => answer);
  const { result } = renderHook(() => useChannel("room:a", { history: 5 }), { wrapper });
  await act(async () => void server.publish("room:a"));
  await act(async () => void server.publish("room:a"));
  expect(offsets(result.current.messages)).toEqual([2, 3]);
  const { log } = server.stream("room:a");
  answer = { publications: log.slice(0, 2).reverse(), position: { epoch: "e1", offset: 2 }, more: false };
  const { id } = server.asked("history")[0] as Frame;
  await act(async () => server.last.say({ type: "reply", id, result: answer }));
  await passed();
  expect(offsets(result.current.messages)).toEqual([1, 2, 3]);
});

test("starts over from the history when what was missed can't be had", async () => {
  const { server, wrapper } = setUp();
  server.publish("room:a");
  const { result } = renderHook(() => useChannel("room:a", { history: 5 }), { wrapper });
  await passed();
  act(() => server.cutAll());
  Object.assign(server.stream("room:a"), { epoch: "e2", log: [] });
  for (let n = 0; n < 2; n++) server.publish("room:a", { name: "anew" });
  await act(() => vi.advanceTimersByTimeAsync(2_000));
  expect(result.current.messages.map(({ name }) => name)).toEqual(["anew", "anew"]);
});

test("the channel is left with the last component", async () => {
  const { server, wrapper } = setUp();
  const Show = () => <>{useChannel("room:a", { history: 2 }).messages.length}</>;
  const { rerender, container } = render(<Show key="one" />, { wrapper });
  await passed();
  await act(async () => void server.publish("room:a"));
  rerender([<Show key="one" />, <Show key="two" />]);
  expect(container.textContent).toBe("11"); // the second one has at once what the first one has
  rerender([<Show key="two" />]);
  await passed();
  rerender([<Show key="three" />]); // another in the same breath
  await passed();
  expect(container.textContent).toBe("1");
  expect(types(server)).toEqual(["hello", "subscribe"]);
  rerender([]);
  await passed();
  expect(types(server)).toEqual(["hello", "subscribe", "unsubscribe"]);
  rerender([<Show key="one" />]);
  await passed();
  expect(server.asked("subscribe").map(({ since, history }) => [since, history])).toEqual([
    [undefined, 2],
    [undefined, 2],
  ]);
});

test("a channel that the application has subscribed to itself stays subscribed to", async () => {
  const { server, client, wrapper } = setUp();
  await client.channel("room:a").subscribe();
  const { unmount } = renderHook(() => useChannel("room:a"), { wrapper });
  await passed();
  unmount();
  await passed();
  expect(server.asked("unsubscribe")).toEqual([]);
});

test("another name is another channel", async () => {
  const { server, wrapper } = setUp();
  server.publish("room:a");
  const heard: unknown[] = [];
  const { result, rerender } = renderHook(
    ({ name }) => useChannel(name, { history: 5, onEvent: ({ channel }) => void heard.push(channel) }),
    { wrapper, initialProps: { name: "room:a" } },
  );
  await passed();
  expect(offsets(result.current.messages)).toEqual([1]);
  rerender({ name: "room:b" });
  expect(result.current.messages).toEqual([]);
  await passed();
  await act(async () => void (server.publish("room:a"), server.publish("room:b")));
  expect(heard).toEqual(["room:b"]);
  expect(server.asked("unsubscribe")).toMatchObject([{ channel: "room:a" }]);
});

test("publishes, always with the same function", async () => {
  const { server, wrapper } = setUp();
  const { result, rerender } = renderHook(() => useChannel<{ said: string }>("room:a", { history: 5 }), { wrapper });
  const { publish } = result.current;
  await act(async () => void (await publish("said", "Hello", { messageId: "m1" })));
  rerender();
  expect(result.current.publish).toBe(publish);
  expect(result.current.messages).toMatchObject([{ name: "said", data: "Hello" }]);
  expect(server.asked("publish")).toMatchObject([{ channel: "room:a", name: "said", data: "Hello", message_id: "m1" }]);
});

test("tells why a channel is not subscribed to", async () => {
  const { server, wrapper } = setUp();
  server.instead.set("subscribe", () => ({ error: wireError({ code: 1005, name: "forbidden", retryable: false }) }));
  const { result } = renderHook(
    () => [useChannel("room:a"), usePresence("room:b"), useDocument("room:c", "board")].map(({ error }) => error),
    { wrapper },
  );
  await passed();
  const forbidden = expect.objectContaining({ kind: "forbidden" });
  expect(result.current).toEqual([forbidden, forbidden, forbidden]);
});

const ANN = { user_id: "ann", status: "online", active: true, data: null, connections: 1 };
const BOB = { ...ANN, user_id: "bob" };

/** Who asks for `presence` is told of both. */
function withPresence(server: Server): void {
  const presence = { members: [ANN, BOB], count: 2, version: 1 };
  subscribedWith(server, (request) => (request["presence"] ? { presence } : {}));
}

test("shows who is there, and who types", async () => {
  const { server, wrapper } = setUp();
  withPresence(server);
  const { result, rerender, unmount } = renderHook(() => usePresence("room:a"), { wrapper });
  expect(result.current).toMatchObject({ members: [], count: 0, typing: [], error: undefined });
  await passed();
  expect(result.current).toMatchObject({ members: [ANN, BOB], count: 2, typing: [] });
  const { members, update, type } = result.current;
  await act(async () => server.last.say({ type: "typing", channel: "room:a", user_id: "bob", active: true }));
  rerender();
  expect(result.current.typing).toEqual(["bob"]);
  const leave = { type: "presence", channel: "room:a", event: "leave", member: BOB, count: 1, version: 2 };
  await act(async () => server.last.say(leave));
  expect(result.current).toMatchObject({ members: [ANN], count: 1, typing: [], update, type });
  expect(members).toEqual([ANN, BOB]);
  server.instead.set("presence.update", () => ({}));
  await act(() => update({ status: "busy" }));
  act(() => type());
  await passed();
  expect(types(server)).toEqual(["hello", "subscribe", "presence.update", "typing"]);
  unmount();
  await passed();
  expect(types(server).slice(4)).toEqual(["unsubscribe"]);
});

test("the list of members stays the same array until it changes", async () => {
  const { server, wrapper } = setUp();
  withPresence(server);
  const { result, rerender } = renderHook(() => usePresence("room:a").members, { wrapper });
  await passed();
  const members = result.current;
  rerender();
  expect(result.current).toBe(members);
});

test("who still shows the channel, but not who is there, stays subscribed to it and is no member", async () => {
  const { server, client, wrapper } = setUp();
  withPresence(server);
  const { rerender } = renderHook(({ name }) => (useChannel("room:a"), usePresence(name)), {
    wrapper,
    initialProps: { name: "room:a" },
  });
  await passed();
  server.requests.splice(0);
  rerender({ name: "room:b" });
  await passed();
  expect(server.requests.map(({ type, channel, presence }) => [type, channel, presence])).toEqual([
    ["subscribe", "room:a", undefined],
    ["subscribe", "room:b", true],
  ]);
  expect(client.channel("room:a").subscribed).toBe(true);
});

interface Board {
  readonly title: string;
  readonly open?: boolean;
}

function withBoard(server: Server): void {
  let value: object | undefined = { title: "Plans" };
  let version = 1;
  subscribedWith(server, ({ state }) => (state ? { state: { documents: { board: { version, value } } } } : {}));
  server.instead.set("state.get", () => ({ documents: { board: { version, value } } }));
  server.instead.set("state.set", (request) => {
    value = request["value"] as object;
    return { version: ++version, value, resolution: "applied" };
  });
  server.instead.set("state.patch", (request) => {
    value = { ...value, ...(request["patch"] as object) };
    return { version: ++version, value, resolution: "applied" };
  });
  server.instead.set("state.delete", () => {
    value = undefined;
    return { version: ++version, deleted: true, resolution: "applied" };
  });
}

test("shows a document, and what is written to it", async () => {
  const { server, wrapper } = setUp();
  withBoard(server);
  const { result, rerender } = renderHook(() => useDocument<Board>("room:a", "board"), { wrapper });
  expect(result.current).toMatchObject({ value: undefined, version: 0, pending: 0 });
  await passed();
  expect(result.current).toMatchObject({ value: { title: "Plans" }, version: 1, pending: 0, error: undefined });
  const { value, set, patch, delete: remove } = result.current;
  rerender();
  expect(result.current.value).toBe(value);

  act(() => void set({ title: "More plans" }));
  expect(result.current).toMatchObject({ value: { title: "More plans" }, version: 1, pending: 1 });
  await passed();
  expect(result.current).toMatchObject({ value: { title: "More plans" }, version: 2, pending: 0 });

  await act(() => patch({ open: true }));
  expect(result.current).toMatchObject({ value: { title: "More plans", open: true }, version: 3 });
  await act(async () => {
    const value = { title: "Bob's" };
    server.last.say({ type: "state", channel: "room:a", key: "board", version: 4, value });
  });
  expect(result.current).toMatchObject({ value: { title: "Bob's" }, version: 4, set, patch, delete: remove });
  await act(() => remove());
  expect(result.current.value).toBeUndefined();
});

test("all that show a document show the same of it", async () => {
  const { server, wrapper } = setUp();
  withBoard(server);
  const seen = new Map<string, unknown>();
  const Show = ({ name }: { name: string }) => {
    const { value, version, pending } = useDocument<Board>("room:a", "board");
    seen.set(name, value);
    return <>{`${name}: ${value?.title}, ${version}, ${pending}; `}</>;
  };
  const one = <Show key="one" name="one" />;
  const { rerender, container } = render(one, { wrapper });
  await passed();
  rerender([one, <Show key="two" name="two" />]);
  expect(container.textContent).toBe("one: Plans, 1, 0; two: Plans, 1, 0; ");
  expect(seen.get("one")).toBe(seen.get("two"));
  expect(server.asked("subscribe")).toHaveLength(1);
});

test("what was written before a component went is written all the same", async () => {
  const { server, wrapper } = setUp();
  withBoard(server);
  const { result, unmount } = renderHook(() => useDocument<Board>("room:a", "board"), { wrapper });
  await passed();
  const answer = server.instead.get("state.set");
  server.instead.set("state.set", () => null);
  const written = result.current.set({ title: "Last words" });
  unmount();
  await settled();
  expect(server.asked("unsubscribe")).toEqual([]);
  server.instead.set("state.set", answer as () => unknown);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(await written).toMatchObject({ value: { title: "Last words" } });
  await settled();
  expect(server.asked("unsubscribe")).toHaveLength(1);
});

test("a document that is shown again is subscribed to again", async () => {
  const { server, wrapper } = setUp();
  withBoard(server);
  renderHook(() => useDocument<Board>("room:a", "board"), { wrapper }).unmount();
  await passed();
  const { result } = renderHook(() => useDocument<Board>("room:a", "board").value, { wrapper });
  await passed();
  expect(result.current).toEqual({ title: "Plans" });
  expect(server.asked("subscribe").at(-1)).toMatchObject({ channel: "room:a" });
});

test("a server renders it as empty, and connects to nothing", async () => {
  const { server, client, wrapper: Wrapper } = setUp();
  const Page = () => (
    <>
      {useConnection().state}, {useChannel("room:a", { history: 5 }).messages.length},{" "}
      {usePresence("room:a").members.length}, {String(useDocument("room:a", "board").value)}
    </>
  );
  const html = renderToString(
    <Wrapper>
      <Page />
    </Wrapper>,
  );
  await settled();
  expect(html.replaceAll("<!-- -->", "")).toBe("idle, 0, 0, undefined");
  expect(client.state).toBe("idle");
  expect(server.opened).toEqual([]);
});
