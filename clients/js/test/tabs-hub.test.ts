// One connection for many tabs: what the hub asks of it, and what it tells whom.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Connection } from "../src/connection.js";
import { TidewireError } from "../src/errors.js";
import { Hub } from "../src/tabs/hub.js";
import { ENDPOINTS, HELLO, event, fakeTransports, noFetch, seeded, settled, wireError, type Frame } from "./fakes.js";
import { FakeBrowser, FakeChannel, FakeConnection, type Page } from "./tabs-fakes.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const LATER = new TidewireError({ code: 2001, name: "unavailable", message: "not now", retryable: true });
const FORBIDDEN = new TidewireError({ code: 1005, name: "forbidden", message: "no", retryable: false });

class Tab {
  readonly page: Page;
  readonly port: FakeChannel;
  readonly heard: unknown[] = [];
  token: string | undefined = "token";
  #unlock: () => void = () => undefined;

  constructor(browser: FakeBrowser, hub: Hub, id: string) {
    this.page = browser.page();
    this.port = new FakeChannel(browser, this.page, id);
    this.port.onmessage = ({ data }: { data: unknown }) => {
      this.heard.push(data);
      const { kind } = data as { kind?: string };
      if (kind === "token" && this.token) this.port.postMessage({ kind: "token", token: this.token });
    };
    void this.page.locks.request(id, {}, () => new Promise<void>((resolve) => (this.#unlock = resolve)));
    hub.add(id, new FakeChannel(browser, browser.page(), id));
  }

  async say(...frames: object[]): Promise<void> {
    this.port.postMessage(JSON.stringify(frames.length === 1 ? frames[0] : frames));
    await settled();
  }

  get frames(): Frame[] {
    return this.heard.filter((data) => typeof data === "string").map((text) => JSON.parse(text) as Frame);
  }

  /** The replies' results or errors, by id. */
  get replies(): Record<string, unknown> {
    const replies = this.frames.filter(({ type }) => type === "reply");
    return Object.fromEntries(replies.map(({ id, result, error }) => [id, error ?? result]));
  }

  get pushes(): Frame[] {
    return this.frames.filter(({ type }) => type !== "reply");
  }

  get closed(): boolean {
    return this.heard.some((data) => (data as { kind?: string }).kind === "close");
  }

  /** It ends its transport, and lives on. */
  leave(): void {
    this.port.close();
    this.#unlock();
  }
}

function setUp(): { browser: FakeBrowser; connection: FakeConnection; hub: Hub; errors: unknown[]; tab: () => Tab } {
  const browser = new FakeBrowser();
  const connection = new FakeConnection();
  const errors: unknown[] = [];
  const hub = new Hub({
    locks: browser.page().locks,
    makeConnection: connection.make,
    report: (error) => errors.push(error),
  });
  let count = 0;
  return { browser, connection, hub, errors, tab: () => new Tab(browser, hub, `tab-${++count}`) };
}

/** Tabs that have been greeted. */
async function connected(count: number): Promise<ReturnType<typeof setUp> & { tabs: [Tab, Tab, ...Tab[]] }> {
  const world = setUp();
  const tabs = Array.from({ length: count }, world.tab);
  for (const tab of tabs) await tab.say({ type: "hello", id: 1, protocol: 1, token: "t" });
  world.connection.connect();
  await settled();
  return { ...world, tabs: tabs as [Tab, Tab, ...Tab[]] };
}

async function subscribe(connection: FakeConnection, tab: Tab, fields: object): Promise<void> {
  await tab.say({ type: "subscribe", id: 90, channel: "room:a", ...fields });
  connection.last.answer({});
  await settled();
}

describe("hello", () => {
  test("waits for the one connection, and is answered for each tab", async () => {
    const { connection, tab } = setUp();
    const [a, b] = [tab(), tab()];
    expect(connection.opened).toBe(0);
    await a.say({ type: "hello", id: 7, protocol: 1, token: "a" });
    await b.say({ type: "hello", id: 8, protocol: 1, token: "b" });
    expect(connection.opened).toBe(1);
    expect(a.replies).toEqual({});
    connection.connect();
    await settled();
    expect(a.replies).toMatchObject({ 7: { user_id: "ann", connection_id: "c1", heartbeat_s: 540 } });
    expect(b.replies).toMatchObject({ 8: { user_id: "ann" } });
    const late = tab();
    await late.say({ type: "hello", id: 9 });
    expect(late.replies).toMatchObject({ 9: { user_id: "ann" } });
    expect(connection.batches).toEqual([]);
  });

  test("tells no session, which is the hub's, and no age at which a tab would seek a new connection", async () => {
    const { tabs } = await connected(1);
    expect(tabs[0].replies[1]).toEqual({ ...HELLO, session_id: undefined, connection_max_age_s: 0 });
  });

  test("waits on while the connection can't be had", async () => {
    const { connection, tab } = setUp();
    const a = tab();
    await a.say({ type: "hello", id: 1 });
    connection.enter("reconnecting");
    connection.connect();
    await settled();
    expect(a.closed).toBe(false);
    expect(a.replies).toMatchObject({ 1: { user_id: "ann" } });
  });

  test("a ping is answered by the hub", async () => {
    const { tabs, connection } = await connected(1);
    await tabs[0].say({ type: "ping", id: 5 });
    expect(tabs[0].pushes).toEqual([{ type: "pong", id: 5 }]);
    expect(connection.batches).toEqual([]);
  });
});

describe("requests", () => {
  test("are passed on, and answered by the tab's own ids", async () => {
    const { tabs, connection } = await connected(2);
    const [a, b] = tabs;
    await a.say({ type: "publish", id: 2, channel: "room:a", name: "x", data: 1 });
    await b.say({ type: "publish", id: 2, channel: "room:a", name: "x", data: 2 });
    connection.asked[1]?.answer({ message_id: "two" });
    connection.asked[0]?.answer({ message_id: "one" });
    await settled();
    expect(a.replies[2]).toEqual({ message_id: "one" });
    expect(b.replies[2]).toEqual({ message_id: "two" });
  });

  test("a batch stays one, in its order, and each of it is answered as soon as it is", async () => {
    const { tabs, connection } = await connected(1);
    const [a] = tabs;
    await a.say(...[2, 3, 4].map((id) => ({ type: "publish", id, channel: "room:a", name: "x", data: id })));
    expect(connection.batches.map((batch) => batch.map(({ data }) => data))).toEqual([[2, 3, 4]]);
    connection.asked[1]?.answer({ message_id: "three" });
    connection.asked[0]?.refuse(LATER);
    await settled();
    expect(a.replies).toMatchObject({ 2: wireError({ retryable: true }), 3: { message_id: "three" } });
    expect(a.replies[4]).toBeUndefined();
  });

  test("an error comes whole", async () => {
    const { tabs, connection } = await connected(1);
    await tabs[0].say({ type: "state.set", id: 2, channel: "room:a", key: "k", value: 1 });
    const error = {
      code: 2004,
      name: "rate_limited",
      message: "slow",
      retryable: true,
      retry_after_ms: 80,
      details: { a: 1 },
    };
    connection.last.refuse(new TidewireError(error));
    await settled();
    expect(tabs[0].replies[2]).toEqual(error);
  });

  test("a command has its own time, what has no id no reply", async () => {
    const { tabs, connection } = await connected(1);
    await tabs[0].say({ type: "command", id: 2, name: "x", data: 1, timeout_ms: 25_000 });
    expect(connection.last.timeoutMs).toBe(30_000);
    await tabs[0].say({ type: "typing", channel: "room:a", active: true });
    expect(connection.last.timeoutMs).toBeUndefined();
    connection.last.answer({});
    await settled();
    expect(tabs[0].frames).toHaveLength(1); // hello's
  });

  test("what one tab writes, the others are told", async () => {
    const { tabs, connection } = await connected(3);
    const [a, b, c] = tabs;
    await subscribe(connection, a, { state: true });
    await subscribe(connection, b, { state: true });
    await a.say({ type: "state.patch", id: 2, channel: "room:a", key: "doc", patch: { x: 1 } });
    connection.last.answer({ version: 4, value: { x: 1 }, resolution: "applied" });
    await settled();
    const told = { type: "state", channel: "room:a", key: "doc", version: 4, value: { x: 1 }, updated_by: "ann" };
    expect(b.pushes).toEqual([expect.objectContaining(told)]);
    expect(a.pushes).toEqual([]);
    expect(c?.pushes).toEqual([]);
    await a.say({ type: "state.get", id: 3, channel: "room:a" });
    connection.last.answer({ documents: {} });
    await settled();
    expect(b.pushes).toHaveLength(1);
  });
});

describe("pushes", () => {
  test("of a channel go to its subscribers, also before their answer; the others to all", async () => {
    const { tabs, connection } = await connected(2);
    const [a, b] = tabs;
    await a.say({ type: "subscribe", id: 2, channel: "room:a" });
    connection.push(event(1));
    connection.push(event(2, { channel: "room:b" }));
    const all = [
      { type: "event", channel: "user:ann", n: 1 },
      { type: "event", channel: "broadcast:all" },
      { type: "receipt", channel: "room:b", message_id: "m" },
      { type: "command", command_id: "c" },
      { type: "system", event: "notice" },
    ];
    all.forEach((push) => connection.push(push));
    await settled();
    expect(a.pushes).toEqual([event(1), ...all]);
    expect(b.pushes).toEqual(all);
  });
});

describe("subscriptions", () => {
  test("each tab has its own since, and what is asked is what all want", async () => {
    const { tabs, connection } = await connected(3);
    const [a, b, c] = tabs;
    const since = { epoch: "e1", offset: 3 };
    await subscribe(connection, a, { since, presence: true });
    await subscribe(connection, b, { since: { epoch: "e1", offset: 9 }, state: { doc: 4 }, history: 2 });
    await subscribe(connection, c as Tab, {});
    expect(connection.batches.flat()).toMatchObject([
      { type: "subscribe", channel: "room:a", since, presence: true },
      { type: "subscribe", since: { offset: 9 }, history: 2, presence: true, state: { doc: 4 } },
      { type: "subscribe", presence: true, state: true },
    ]);
    expect(connection.batches[0]?.[0]).not.toHaveProperty("state");
    expect(connection.batches[2]?.[0]).not.toHaveProperty("since");
  });

  test("what another tab wants is not given up; the last one gives it up", async () => {
    const { tabs, connection } = await connected(2);
    const [a, b] = tabs;
    await subscribe(connection, a, {});
    await subscribe(connection, b, {});
    await a.say({ type: "unsubscribe", id: 3, channel: "room:a" });
    expect(a.replies[3]).toEqual({});
    expect(connection.batches).toHaveLength(2);
    connection.push(event(1));
    await b.say({ type: "unsubscribe", id: 3, channel: "room:a" });
    expect(connection.last.request).toMatchObject({ type: "unsubscribe", channel: "room:a" });
    expect(b.replies[3]).toBeUndefined();
    connection.last.answer({});
    await settled();
    expect(b.replies[3]).toEqual({});
    expect([a.pushes.length, b.pushes.length]).toEqual([0, 1]);
  });

  test("an interest that nobody has any more is given up", async () => {
    const { tabs, connection } = await connected(2);
    const [a, b] = tabs;
    await subscribe(connection, a, { presence: true, state: true });
    await subscribe(connection, b, { state: true });
    await a.say({ type: "unsubscribe", id: 3, channel: "room:a" });
    expect(connection.last.request).toEqual({ type: "subscribe", channel: "room:a", state: true });
    connection.last.answer({ channel: "room:a", state: { documents: {} } });
    await settled();
    expect(a.replies[3]).toEqual({});
    expect(b.frames).toHaveLength(2); // hello's and its own
  });

  test("subscribing again without an interest gives it up, unless another tab has it", async () => {
    const { tabs, connection } = await connected(2);
    const [a, b] = tabs;
    await subscribe(connection, a, { presence: true });
    await subscribe(connection, b, { presence: true });
    await subscribe(connection, a, { presence: false });
    expect(connection.last.request).toMatchObject({ presence: true });
    await subscribe(connection, b, {});
    expect(connection.last.request["presence"]).toBeFalsy();
  });

  test("of one channel do not overtake each other", async () => {
    const { tabs, connection } = await connected(2);
    const [a, b] = tabs;
    await a.say({ type: "subscribe", id: 2, channel: "room:a" });
    await a.say({ type: "unsubscribe", id: 3, channel: "room:a" });
    await b.say({ type: "subscribe", id: 2, channel: "room:b" }, { type: "subscribe", id: 3, channel: "room:a" });
    await b.say({ type: "subscribe", id: 4, channel: "room:c" });
    const types = (): string[] =>
      connection.batches.map((batch) => batch.map((f) => `${f["type"] as string} ${f["channel"] as string}`).join());
    expect(types()).toEqual(["subscribe room:a", "subscribe room:c"]);
    connection.asked[0]?.refuse(LATER);
    await settled();
    expect(types().slice(2)).toEqual(["unsubscribe room:a"]);
    connection.last.answer({});
    await settled();
    expect(types().slice(3)).toEqual(["subscribe room:b,subscribe room:a"]);
  });

  test("what is refused for good counts for nothing", async () => {
    const { tabs, connection } = await connected(2);
    const [a, b] = tabs;
    await subscribe(connection, a, {});
    await b.say({ type: "subscribe", id: 2, channel: "room:a", presence: true });
    connection.last.refuse(FORBIDDEN);
    await settled();
    expect(b.replies[2]).toMatchObject({ code: 1005 });
    await subscribe(connection, a, {});
    expect(connection.last.request).not.toHaveProperty("presence");
    connection.push(event(1));
    await settled();
    expect(b.pushes).toEqual([]);
  });

  test("a wider one that is refused leaves the narrower one that was there", async () => {
    const { tabs, connection } = await connected(1);
    await subscribe(connection, tabs[0], {});
    await tabs[0].say({ type: "subscribe", id: 2, channel: "room:a", presence: true });
    connection.last.refuse(FORBIDDEN);
    connection.push(event(1));
    await settled();
    connection.push(event(2));
    await settled();
    expect(tabs[0].pushes).toEqual([event(1), event(2)]);
  });

  test("of which it is not known whether it was done is not relied on", async () => {
    const { tabs, connection } = await connected(2);
    await subscribe(connection, tabs[0], {});
    await tabs[1].say({ type: "subscribe", id: 2, channel: "room:a" });
    connection.last.refuse(LATER);
    await settled();
    await tabs[1].say({ type: "unsubscribe", id: 3, channel: "room:a" });
    expect(connection.batches).toHaveLength(3);
    expect(connection.last.request).toEqual({ type: "subscribe", channel: "room:a" });
  });
});

describe("a tab that goes", () => {
  test("gives up what nobody else wants, after a time in which a page is loaded anew", async () => {
    const { tabs, connection } = await connected(2);
    const [a, b] = tabs;
    await subscribe(connection, a, { presence: true });
    await subscribe(connection, a, { channel: "room:b" });
    await subscribe(connection, b, {});
    await a.say({ type: "subscribe", id: 5, channel: "room:late" }); // goes before it is answered
    const before = connection.batches.length;
    a.page.die();
    await vi.advanceTimersByTimeAsync(9_000);
    await subscribe(connection, b, {});
    expect(connection.last.request).toMatchObject({ presence: true });
    await vi.advanceTimersByTimeAsync(1_000);
    connection.asked.find(({ request }) => request["channel"] === "room:late")?.answer({});
    await settled();
    expect(connection.batches.slice(before + 1).flat()).toEqual([
      { type: "unsubscribe", channel: "room:b" },
      { type: "unsubscribe", channel: "room:late" },
      { type: "subscribe", channel: "room:a" },
    ]);
  });

  test("and is back in time: nothing is given up", async () => {
    const { tabs, connection, tab } = await connected(2);
    await subscribe(connection, tabs[0], { presence: true });
    await subscribe(connection, tabs[1], {});
    tabs[0].page.die();
    await settled();
    const again = tab();
    await again.say({ type: "hello", id: 1 });
    await subscribe(connection, again, { presence: true });
    const before = connection.batches.length;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(connection.batches).toHaveLength(before);
  });

  test("what could not be given up is tried again, unless it is wanted by then", async () => {
    const { tabs, connection, errors } = await connected(2);
    await subscribe(connection, tabs[0], { channel: "room:b" });
    await subscribe(connection, tabs[0], { channel: "room:c" });
    tabs[0].leave();
    await vi.advanceTimersByTimeAsync(10_000);
    connection.asked.slice(-2).forEach(({ refuse }) => refuse(LATER));
    await settled();
    await subscribe(connection, tabs[1], { channel: "room:c" });
    const before = connection.batches.length;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(connection.batches.slice(before)).toEqual([[{ type: "unsubscribe", channel: "room:b" }]]);
    connection.last.refuse(FORBIDDEN);
    await settled();
    expect(errors).toEqual([FORBIDDEN]);
  });

  test("the last one ends the connection; the next begins it anew", async () => {
    const { tabs, connection, tab } = await connected(2);
    tabs[0].page.die();
    tabs[1].leave();
    await vi.advanceTimersByTimeAsync(9_999);
    expect(connection.state).toBe("connected");
    await vi.advanceTimersByTimeAsync(1);
    expect(connection.state).toBe("closed");
    const next = tab();
    await next.say({ type: "hello", id: 1 });
    expect(connection.opened).toBe(2);
  });

  test("is asked nothing more, and its answers go nowhere", async () => {
    const { tabs, connection } = await connected(2);
    const [a] = tabs;
    await a.say({ type: "publish", id: 2, channel: "room:a", name: "x", data: 1 });
    await a.say({ type: "subscribe", id: 3, channel: "room:a" });
    await a.say({ type: "subscribe", id: 4, channel: "room:a" }); // waits for its turn
    a.leave();
    await settled();
    connection.last.answer({});
    await settled();
    expect(connection.batches).toHaveLength(2);
    connection.asked[0]?.answer({ message_id: "one" });
    connection.push({ type: "system", event: "notice" });
    await settled();
    expect(a.frames).toHaveLength(1);
  });
});

describe("the connection", () => {
  test("lost: each tab is told to come again, and keeps what it had for a while", async () => {
    const { tabs, connection, tab } = await connected(2);
    await subscribe(connection, tabs[0], { presence: true });
    connection.enter("reconnecting");
    await settled();
    expect(tabs.map(({ closed }) => closed)).toEqual([true, true]);
    tabs.forEach((one) => one.leave());
    const again = tab();
    await again.say({ type: "hello", id: 1 });
    await vi.advanceTimersByTimeAsync(30_000);
    expect(connection.state).toBe("reconnecting");
    connection.connect();
    await subscribe(connection, again, {});
    await vi.advanceTimersByTimeAsync(10_000);
    expect(
      connection.batches
        .slice(1)
        .flat()
        .map(({ presence }) => presence),
    ).toEqual([undefined]);
  });

  test("moved without a loss: each tab subscribes anew", async () => {
    const { tabs, connection } = await connected(2);
    await subscribe(connection, tabs[0], {});
    connection.connect({ connection_id: "c2" });
    await settled();
    expect(tabs[0].pushes).toEqual([{ type: "system", event: "resubscribe", channel: "room:a", reason: "moved" }]);
    expect(tabs[1].frames).toHaveLength(1);
    expect(tabs.map(({ closed }) => closed)).toEqual([false, false]);
  });

  test("ended for good: so it is for each tab, also for one that waits", async () => {
    const { tabs, connection, tab } = await connected(1);
    connection.close(new TidewireError({ code: 3501, name: "revoked", message: "no", retryable: false }));
    await settled();
    const last = { type: "system", event: "disconnect", code: 3501, name: "revoked", reconnect: false };
    expect(tabs[0].pushes).toEqual([last]);
    expect(tabs[0].closed).toBe(true);
    const waits = tab();
    await waits.say({ type: "hello", id: 1 });
    connection.close(FORBIDDEN);
    await settled();
    expect(waits.pushes).toEqual([{ ...last, code: 1005, name: "forbidden" }]);
  });

  test("is woken by any tab", async () => {
    const { tabs, connection } = await connected(1);
    tabs[0].port.postMessage({ kind: "wake" });
    await settled();
    expect(connection.woken).toBe(1);
  });

  test("the hub ends: each tab has to find another", async () => {
    const { tabs, connection, hub, browser } = await connected(2);
    hub.close();
    hub.close();
    await settled();
    expect(tabs.map(({ closed, pushes }) => [closed, pushes])).toEqual([
      [true, []],
      [true, []],
    ]);
    expect(connection.state).toBe("closed");
    expect(browser.queue).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a token", () => {
  test("comes with the hello, then of a tab, and of the next if that has gone, has none, or is silent", async () => {
    const { connection, tab } = setUp();
    const [silent, gone, without, last] = [tab(), tab(), tab(), tab()];
    silent.token = gone.token = undefined;
    last.token = "last's";
    await silent.say({ type: "hello", id: 1, token: "offered" });
    await expect(connection.callbacks.token(false)).resolves.toBe("offered");
    const token = connection.callbacks.token(true);
    const told = vi.fn();
    void token.then(told);
    await settled();
    expect(silent.heard).toContainEqual({ kind: "token", fresh: true });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(gone.heard).toContainEqual({ kind: "token", fresh: true });
    expect(told).not.toHaveBeenCalled();
    without.port.onmessage = () => without.port.postMessage({ kind: "token" });
    gone.page.die();
    await expect(token).resolves.toBe("last's");
  });

  test("that was offered is not used twice, nor where a fresh one is asked for", async () => {
    const { connection, tab } = setUp();
    const a = tab();
    await a.say({ type: "hello", id: 1, token: "offered" });
    await expect(connection.callbacks.token(true)).resolves.toBe("token");
    await expect(connection.callbacks.token(false)).resolves.toBe("token");
  });

  test("is had by each of two that want one at once", async () => {
    const { connection, tab } = setUp();
    const slow = tab();
    slow.token = undefined;
    await slow.say({ type: "hello", id: 1 });
    const both = Promise.all([connection.callbacks.token(false), connection.callbacks.token(true)]);
    for (const token of ["first", "second"]) {
      await settled();
      slow.port.postMessage({ kind: "token", token });
    }
    await vi.advanceTimersByTimeAsync(0);
    await expect(both).resolves.toEqual(["first", "second"]);
  });

  test("can't be had without a tab", async () => {
    const { connection } = setUp();
    await expect(connection.callbacks.token(false)).rejects.toMatchObject({ retryable: true });
  });
});

test("the hub replaces the token of the one connection; its tabs hear nothing of it", async () => {
  const browser = new FakeBrowser();
  const transports = fakeTransports();
  const hub = new Hub({
    locks: browser.page().locks,
    makeConnection: (callbacks) =>
      new Connection({
        ...callbacks,
        endpoints: async () => ENDPOINTS,
        ways: () => ({ websocket: transports.open }),
        fetch: noFetch,
      }),
    report: (error) => expect.fail(String(error)),
  });
  const tabs = [new Tab(browser, hub, "tab-1"), new Tab(browser, hub, "tab-2")] as const;
  for (const tab of tabs) await tab.say({ type: "hello", id: 1, protocol: 1, token: "t" });
  transports.last().open();
  transports.last().reply(transports.last().request("hello"), HELLO);
  await settled();
  const expiring = { type: "system", event: "token_expiring", expires_at_ms: HELLO.server_time_ms + 60_000 };
  transports.last().say([expiring, expiring]);
  await settled();
  const sent = transports.last().requests.filter(({ type }) => type === "refresh");
  expect(sent).toMatchObject([{ token: "token" }]);
  transports.last().reply(sent[0] as Frame, { expires_at_ms: 3_600_000 });
  await vi.advanceTimersByTimeAsync(60_000);
  const asked = tabs.flatMap(({ heard }) => heard).filter((data) => (data as { kind?: string }).kind === "token");
  expect(asked).toEqual([{ kind: "token", fresh: true }]);
  expect(tabs.flatMap(({ pushes }) => pushes)).toEqual([]);
  expect(transports.all).toHaveLength(1);
  transports.last().say({ type: "system", event: "disconnect", code: 3501, name: "revoked", reconnect: false });
  await settled();
  for (const tab of tabs) expect(tab.pushes).toMatchObject([{ event: "disconnect", code: 3501, name: "revoked" }]);
});

test("whatever comes, the hub throws nothing, and goes on working", async () => {
  const { tabs, connection, errors, hub, browser } = await connected(2);
  const [a, b] = tabs;
  const random = seeded(4);
  const one = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const types = ["hello", "ping", "subscribe", "unsubscribe", "publish", "state.set", "typing", "reply", "", 5, null];
  const anything = (): unknown =>
    one([1, "x", null, true, [], {}, "room:a", "__proto__", [[]], { kind: "token", token: 5 }, { presence: 1 }]);
  const frame = (): unknown =>
    random() < 0.15
      ? anything()
      : {
          type: one(types),
          id: anything(),
          channel: one(["room:a", "room:b", 5, undefined]),
          state: anything(),
          presence: anything(),
        };
  for (let round = 0; round < 2_000; round++) {
    const message = random() < 0.3 ? [frame(), frame(), frame()] : frame();
    const sent = random();
    if (sent < 0.8) one([a, b]).port.postMessage(JSON.stringify(message));
    else if (sent < 0.85) one([a, b]).port.postMessage(one(["{", "", "null", "[]", anything()]));
    else if (sent < 0.95) connection.push((message as object) ?? {});
    else hub.add("tab-1", new FakeChannel(browser, browser.page(), "other"));
    await Promise.resolve();
    while (connection.asked.length > 3) {
      const { answer, refuse } = connection.asked.shift() as (typeof connection.asked)[number];
      if (random() < 0.7) answer(one([anything(), { version: 3 }]));
      else refuse(one([LATER, FORBIDDEN]));
    }
  }
  for (let round = 0; round < 50; round++) {
    connection.asked.splice(0).forEach(({ answer }) => answer({}));
    await settled();
  }
  await subscribe(connection, b, { id: 12345 });
  expect(b.replies[12345]).toEqual({});
  expect(errors).toEqual([]);
});
