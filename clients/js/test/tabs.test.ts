// Tabs of one browser with one connection, whole: transports, leader, worker, hub, and channels on both ends.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Channel } from "../src/channel.js";
import { Connection } from "../src/connection.js";
import type { Push } from "../src/generated/frames.js";
import { Recovery } from "../src/recovery.js";
import { Hub, type MakeConnection } from "../src/tabs/hub.js";
import { shareTabs, type Tabs, type TabsOptions } from "../src/tabs/tabs.js";
import { webSocketTransport } from "../src/transports/websocket.js";
import { ENDPOINTS, noFetch, seeded } from "./fakes.js";
import { Server } from "./server.js";
import { FakeBrowser, FakeChannel, type Page } from "./tabs-fakes.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const PASSED = { open: () => undefined, message: () => undefined, close: () => undefined };

/** A connection as a page would make it, that is over when the page is. */
function connectionTo(server: Server, alive: () => boolean = () => true): MakeConnection {
  return (callbacks) => {
    const connection = new Connection({
      ...callbacks,
      endpoints: () => (alive() ? Promise.resolve(ENDPOINTS) : new Promise(() => undefined)),
      ways: () => ({ websocket: webSocketTransport(server.WebSocket) }),
      fetch: noFetch,
      random: seeded(3),
    });
    return connection;
  };
}

/** What a client is of it all: a connection by way of the hub, and one channel with its recovery. */
class Tab {
  readonly page: Page;
  readonly tabs: Tabs;
  readonly connection: Connection;
  readonly channel: Channel;
  readonly delivered: number[] = [];
  readonly errors: unknown[] = [];
  readonly states: string[] = [];
  readonly token = vi.fn(async () => "token");
  resets = 0;

  constructor(browser: FakeBrowser, server: Server, options: Partial<TabsOptions> = {}) {
    this.page = browser.page();
    const report = (error: unknown): number => this.errors.push(error);
    this.tabs = shareTabs(
      {
        name: "https://x ann",
        config: { httpUrl: "https://x" },
        token: this.token,
        makeConnection: connectionTo(server, () => !this.page.dead),
        report,
        ...options,
      },
      this.page.browser,
    ) as Tabs;
    const channels = (): Channel => this.channel;
    const ask = (request: Parameters<Connection["ask"]>[0][number]): Promise<unknown> =>
      this.connection.ask([request])[0] as Promise<unknown>;
    const connected = (): boolean => this.connection.state === "connected";
    const recovery = new Recovery({
      ask,
      connected,
      deliver: (event) => channels().deliver(event),
      startOver: (_, position) => channels().startOver(position),
      resubscribe: () => channels().resubscribe(),
      report,
    });
    this.connection = new Connection({
      endpoints: async () => ENDPOINTS,
      token: async () => "",
      ways: () => ({
        tabs: (endpoints, handlers) =>
          this.page.dead ? { send: () => undefined, close: () => undefined } : this.tabs.open(endpoints, handlers),
      }),
      fetch: noFetch,
      random: seeded(5),
      report,
      onPush: (push: Push) => {
        if (push.type === "event") recovery.event(push);
        else if (push.type === "system" && push.event === "resubscribe") this.channel.resubscribe();
      },
      onState: (state) => {
        this.states.push(state);
        if (state !== "connected") recovery.disconnected();
      },
      onConnected: () => this.channel.connected(),
    });
    this.channel = new Channel("room:a", {
      ask,
      standing: async () => undefined,
      publish: (frame) => ask(frame) as never,
      recovery,
      connected,
      report,
      random: seeded(6),
    });
    this.channel.on("*", (event) => this.delivered.push(event.offset as number));
    this.channel.onReset(() => this.resets++);
    this.connection.open();
    this.channel.subscribe().catch(report);
  }

  /** Its page dies, and with it the connection, if it has it. */
  die(server: Server, leads = false): void {
    this.page.die();
    if (leads) server.cutAll();
  }
}

const passing = (ms = 1_000): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i);

async function open(
  count: number,
  options: Partial<TabsOptions> = {},
): Promise<{ browser: FakeBrowser; server: Server; tabs: [Tab, Tab, ...Tab[]] }> {
  const browser = new FakeBrowser();
  const server = new Server();
  const tabs: Tab[] = [];
  for (let i = 0; i < count; i++) {
    tabs.push(new Tab(browser, server, options));
    await passing(50);
  }
  await passing();
  return { browser, server, tabs: tabs as [Tab, Tab, ...Tab[]] };
}

function errorsOf(tabs: readonly Tab[]): unknown[] {
  return tabs.flatMap(({ errors }) => errors);
}

describe("one of the pages has the connection", () => {
  test.each([2, 5])("%i tabs, one connection", async (count) => {
    const { server, tabs } = await open(count);
    expect(server.opened).toHaveLength(1);
    expect(server.asked("hello")).toHaveLength(1);
    server.publish("room:a");
    await tabs[1].channel.publish("said", {});
    await passing();
    expect(tabs.map(({ delivered }) => delivered)).toEqual(tabs.map(() => [1, 2]));
    expect(tabs.map(({ connection }) => connection.state)).toEqual(tabs.map(() => "connected"));
    expect(errorsOf(tabs)).toEqual([]);
  });

  test("all at once: still one", async () => {
    const [browser, server] = [new FakeBrowser(), new Server()];
    const tabs = upTo(5).map(() => new Tab(browser, server));
    await passing();
    expect(server.opened).toHaveLength(1);
    expect(new Set(tabs.flatMap(({ states }) => states))).toEqual(new Set(["connecting", "connected"]));
  });

  test("other names share nothing with them", async () => {
    const { browser, server } = await open(2);
    const other = new Tab(browser, server, { name: "https://x bob" });
    await passing();
    expect(other.connection.state).toBe("connected");
    expect(server.opened).toHaveLength(2);
  });

  test("the leader dies: the next takes over, and nothing is lost or doubled", async () => {
    const { server, tabs } = await open(4);
    const [first, ...others] = tabs;
    server.publish("room:a");
    await passing();
    first.die(server, true);
    server.publish("room:a");
    server.publish("room:a");
    await passing(5_000);
    server.publish("room:a");
    await passing();
    expect(others.map(({ delivered }) => delivered)).toEqual(others.map(() => upTo(4)));
    expect(server.sockets.size).toBe(1);
    expect(server.opened).toHaveLength(2);
    expect(errorsOf(tabs)).toEqual([]);
    expect(others.map(({ resets }) => resets)).toEqual([0, 0, 0]);
  });

  test("the leader closes: the next takes over; it comes again as one of the others", async () => {
    const { server, tabs } = await open(3);
    const [first, second] = tabs;
    first.tabs.close();
    await passing(5_000);
    server.publish("room:a");
    await passing();
    expect(tabs.map(({ delivered }) => delivered)).toEqual([[1], [1], [1]]);
    expect(server.sockets.size).toBe(1);
    second.connection.close();
    second.tabs.close();
    await passing(5_000);
    server.publish("room:a");
    await passing();
    expect(tabs.map(({ delivered }) => delivered)).toEqual([upTo(2), [1], upTo(2)]);
  });

  test("closed, it holds no lock and no channel", async () => {
    const { browser, tabs } = await open(2);
    for (const { connection, tabs: shared } of tabs) {
      connection.close();
      shared.close();
    }
    await passing();
    expect([browser.held.size, browser.queue.length, browser.channels.size]).toEqual([0, 0, 0]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("the leader's page is frozen: another takes its place, and when it thaws it is one of the others", async () => {
    const { browser, server, tabs } = await open(2);
    const [first, second] = tabs;
    first.page.freeze();
    const late = new Tab(browser, server);
    await passing(3_000);
    await passing(500);
    expect(late.connection.state).toBe("connected");
    await passing(2_000);
    first.page.thaw();
    await passing(5_000);
    server.publish("room:a");
    await passing();
    expect(server.sockets.size).toBe(1);
    expect([first, second, late].map(({ delivered }) => delivered)).toEqual([[1], [1], [1]]);
    late.die(server, true); // somebody waits for its place
    await passing(5_000);
    server.publish("room:a");
    await passing();
    expect([first, second].map(({ delivered }) => delivered)).toEqual([upTo(2), upTo(2)]);
  });

  test("a follower dies: what it alone wanted is given up", async () => {
    const { server, tabs } = await open(3);
    tabs[1].page.die();
    await passing(20_000);
    expect(server.asked("unsubscribe")).toEqual([]);
    await tabs[0].channel.unsubscribe();
    tabs[2]?.page.die();
    await passing(20_000);
    expect(server.asked("unsubscribe")).toHaveLength(1);
    expect(server.last.subscriptions).toEqual(new Set());
  });

  test("the connection is lost: every tab goes on from where it was", async () => {
    const { server, tabs } = await open(3);
    server.publish("room:a");
    await passing();
    server.cutAll();
    server.publish("room:a");
    await passing(5_000);
    server.publish("room:a");
    await passing();
    expect(tabs.map(({ delivered }) => delivered)).toEqual([upTo(3), upTo(3), upTo(3)]);
    expect(server.opened).toHaveLength(2);
    const sinces = server
      .asked("subscribe")
      .slice(3)
      .map(({ since }) => since);
    expect(sinces).toEqual([1, 1, 1].map((offset) => ({ epoch: "e1", offset })));
  });

  test("the server ends it for good: so it is for all", async () => {
    const { server, tabs } = await open(2);
    server.last.say({ type: "system", event: "disconnect", code: 3501, name: "revoked", reconnect: false });
    await passing(30_000);
    expect(tabs.map(({ connection }) => connection.state)).toEqual(["closed", "closed"]);
    expect(server.opened).toHaveLength(1);
  });

  test("a token is asked of the first that is there", async () => {
    const { server, tabs } = await open(3);
    expect(tabs.map(({ token }) => token.mock.calls)).toEqual([[[false]], [], []]);
    tabs[1].token.mockRejectedValue(new Error("no token"));
    tabs[0].die(server, true);
    await passing(10_000);
    expect(server.asked("hello")).toHaveLength(2);
    expect(tabs.slice(1).map(({ connection }) => connection.state)).toEqual(["connected", "connected"]);
    expect(tabs[1].errors.length + (tabs[2]?.token.mock.calls.length ?? 0)).toBeGreaterThan(0);
  });

  test("a page that has woken wakes it", async () => {
    const { server, tabs } = await open(2);
    server.down = true;
    server.cutAll();
    await passing(20_000);
    server.down = false;
    const attempts = server.opened.length;
    tabs.forEach(({ connection, tabs: shared }) => {
      connection.wake();
      shared.wake();
    });
    await passing(15_000);
    expect(server.opened.length).toBeGreaterThan(attempts);
    expect(tabs.map(({ connection }) => connection.state)).toEqual(["connected", "connected"]);
  });

  // Among these times there are some when it waits for its hub, and some when it waits before it looks for it again.
  test.each(upTo(20).map((n) => n * 1_500))("... at once, whatever it waits for itself: after %i ms", async (ms) => {
    const { server, tabs } = await open(1);
    server.down = true;
    server.cutAll();
    await passing(ms);
    server.down = false;
    tabs[0].connection.wake();
    tabs[0].tabs.wake();
    await passing(100);
    expect(tabs[0].connection.state).toBe("connected");
  });

  test("what other scripts say on its channel throws nothing", async () => {
    const { browser, server, tabs } = await open(2);
    const stranger = new FakeChannel(browser, browser.page(), "tidewire-1-https://x ann");
    for (const message of [null, undefined, 5, "x", [], {}, { tab: 5 }, { hub: {} }, { tab: "tab" }, { tab: "tab" }]) {
      stranger.postMessage(message);
    }
    await passing();
    server.publish("room:a");
    await passing();
    expect(tabs.map(({ delivered }) => delivered)).toEqual([[1], [1]]);
    stranger.postMessage({ hub: "mine" }); // even so they find together again: one hub gives way to another
    await passing(10_000);
    server.publish("room:a");
    await passing();
    expect(tabs.map(({ delivered }) => delivered)).toEqual([upTo(2), upTo(2)]);
    expect(server.opened).toHaveLength(2);
    expect(server.sockets.size).toBe(1);
    tabs[1].die(server, true); // who gave way waits for its turn again
    await passing(10_000);
    server.publish("room:a");
    await passing();
    expect(tabs[0].delivered).toEqual(upTo(3));
    expect(errorsOf(tabs)).toEqual([]);
  });

  test("locks that the browser refuses end the transport, and are reported", async () => {
    const report = vi.fn();
    const options = {
      name: "n",
      config: {},
      token: async () => "",
      makeConnection: connectionTo(new Server()),
      report,
    };
    const page = new FakeBrowser().page();
    const locks = { request: () => Promise.reject(new DOMException("no", "SecurityError")) };
    const tabs = shareTabs(options, { ...page.browser, navigator: { locks } }) as Tabs;
    const close = vi.fn();
    tabs.open("" as never, { ...PASSED, close });
    await passing();
    expect(close).toHaveBeenCalledOnce();
    expect(report).toHaveBeenCalledOnce();
  });

  test("where a browser has no locks or no channels, nothing is shared", () => {
    const options = {
      name: "n",
      config: {},
      token: async () => "",
      makeConnection: connectionTo(new Server()),
      report: vi.fn(),
    };
    const { BroadcastChannel, navigator } = new FakeBrowser().page().browser;
    expect(shareTabs(options, { BroadcastChannel } as never)).toBeUndefined();
    expect(shareTabs(options, { navigator: {}, BroadcastChannel } as never)).toBeUndefined();
    expect(shareTabs(options, { navigator } as never)).toBeUndefined();
  });

  test.each([1, 2, 3, 4, 5, 6])(
    "pages come, die and freeze, the network fails: nothing is lost or doubled (%i)",
    async (seed) => {
      const random = seeded(seed);
      const [browser, server] = [new FakeBrowser(), new Server({ delayMs: () => Math.floor(random() * 20) })];
      const pages: { tab: Tab; from: number; frozen: boolean }[] = [];
      const add = async (): Promise<void> => {
        const tab = new Tab(browser, server);
        await passing(30_000);
        pages.push({ tab, from: server.stream("room:a").log.length + 1, frozen: false });
      };
      await add();
      await add();
      for (let round = 0; round < 40; round++) {
        const what = random();
        const at = Math.floor(random() * pages.length);
        if (what < 0.5) server.publish("room:a");
        else if (what < 0.6) server.cutAll();
        else if (what < 0.7 && pages.length < 6) await add();
        else if (what < 0.8 && pages.length > 2) {
          const [gone] = pages.splice(at, 1);
          gone?.tab.page.die();
          server.cutAll(); // its connection among them, if it had it
        } else if (what < 0.9) {
          const page = pages[at] as (typeof pages)[number];
          if (page.frozen) page.tab.page.thaw();
          else page.tab.page.freeze();
          page.frozen = !page.frozen;
        }
        await passing(random() * 3_000);
      }
      for (const { tab } of pages) tab.page.thaw();
      await passing(60_000);
      server.publish("room:a");
      await passing(30_000);
      const end = server.stream("room:a").log.length;
      for (const { tab, from } of pages) {
        expect(tab.connection.state).toBe("connected");
        expect(errorsOf([tab])).toEqual([]);
        if (tab.resets === 0) expect(tab.delivered).toEqual(upTo(end, from));
        expect(new Set(tab.delivered).size).toBe(tab.delivered.length);
      }
      expect(server.sockets.size).toBe(1);
    },
  );
});

describe("a SharedWorker has the connection", () => {
  function withWorker(server: Server): FakeBrowser {
    const browser = new FakeBrowser();
    let hub: Hub | undefined;
    browser.onWorker = (port) => {
      port.onmessage = ({ data }) => {
        hub ??= new Hub({ locks: browser.page().locks, makeConnection: connectionTo(server), report: vi.fn() });
        hub.add((data as { id: string }).id, port);
      };
    };
    return browser;
  }

  test("and keeps it when pages die", async () => {
    const server = new Server();
    const browser = withWorker(server);
    const tabs = upTo(3).map(() => new Tab(browser, server, { sharedWorker: "/worker.js" }));
    await passing();
    server.publish("room:a");
    await passing();
    tabs[0]?.page.die();
    await passing(20_000);
    server.publish("room:a");
    await passing();
    expect(tabs.slice(1).map(({ delivered }) => delivered)).toEqual([upTo(2), upTo(2)]);
    expect(server.opened).toHaveLength(1);
    expect([...browser.held.keys()].some((name) => name.endsWith("ann"))).toBe(false); // nobody leads
  });

  test("whose script can't be had: a page has it instead, and it is reported once", async () => {
    const server = new Server();
    const browser = withWorker(server);
    browser.workerFails = true;
    const tabs = upTo(2).map(() => new Tab(browser, server, { sharedWorker: "/nowhere.js" }));
    await passing(5_000);
    expect(tabs.map(({ connection }) => connection.state)).toEqual(["connected", "connected"]);
    expect(server.sockets.size).toBe(1);
    expect(tabs.map(({ errors }) => errors.length)).toEqual([1, 1]);
  });
});

test("with the channels that there really are", async () => {
  vi.useRealTimers();
  const [browser, server] = [new FakeBrowser(), new Server()];
  const pages = [browser.page(), browser.page()];
  const tabs = pages.map((page) => {
    const options = {
      name: "real",
      config: {},
      token: async () => "t",
      makeConnection: connectionTo(server),
      report: vi.fn(),
    };
    return shareTabs(options, {
      navigator: { locks: page.locks },
      BroadcastChannel: BroadcastChannel as never,
    }) as Tabs;
  });
  const answers = tabs.map(
    (shared) =>
      new Promise<unknown>((resolve) => {
        const transport = shared.open("" as never, {
          open: () => transport.send(JSON.stringify({ type: "hello", id: 1, protocol: 1, token: "" })),
          message: (text) => resolve(JSON.parse(text)),
          close: () => undefined,
        });
      }),
  );
  expect(await Promise.all(answers)).toEqual([
    expect.objectContaining({ id: 1, result: expect.objectContaining({ user_id: "ann" }) }),
    expect.objectContaining({ id: 1 }),
  ]);
  expect(server.opened).toHaveLength(1);
  tabs.forEach((shared) => shared.close());
});
