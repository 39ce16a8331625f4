import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { TidewireError, closed, uncertain } from "../src/errors.js";
import type { Member, Push, SubscribeResult } from "../src/generated/frames.js";
import { Presence } from "../src/presence.js";
import { seeded, settled, wireError, type Frame } from "./fakes.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const CHANNEL = "room:a";

function member(user_id: string, fields: Partial<Member> = {}): Member {
  return { user_id, status: "online", active: true, data: null, connections: 1, ...fields };
}

function list(members: (string | Member)[], version = 0, fields: Frame = {}): Frame {
  const all = members.map((one) => (typeof one === "string" ? member(one) : one));
  return { members: all, count: all.length, version, ...fields };
}

function push(event: string, user: string | Member, count: number, version: number): Push {
  const about = typeof user === "string" ? member(user) : user;
  return { type: "presence", channel: CHANNEL, event, member: about, count, version } as Push;
}

function typing(user_id: string, active = true): Push {
  return { type: "typing", channel: CHANNEL, user_id, active };
}

interface Sent {
  readonly request: Frame;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: TidewireError) => void;
}

/** Presence of `ann` on a channel whose subscribing is answered by hand. */
function setUp() {
  const sent: Sent[] = [];
  const network = { online: true };
  const report = vi.fn();
  const resubscribe = vi.fn(async (): Promise<void> => undefined);
  const presence = new Presence(CHANNEL, {
    ask: (request) =>
      new Promise((resolve, reject) => void sent.push({ request: request as unknown as Frame, resolve, reject })),
    connected: () => network.online,
    report,
    resubscribe,
    userId: () => "ann",
    random: () => 0,
  });
  const answer = (result: unknown, fields: Frame = {}): void => {
    const position = { epoch: "e1", offset: 0 };
    const told = { channel: CHANNEL, position, recovered: false, publications: [], presence: result, ...fields };
    presence.subscribed(told as unknown as SubscribeResult);
  };
  /** As the channel does on every new connection. */
  const subscribe = (result: unknown = list(["ann"]), fields: Frame = {}): void => {
    network.online = true;
    presence.subscribing();
    answer(result, fields);
  };
  const cut = (): void => {
    network.online = false;
    presence.disconnected();
    for (const { reject } of sent) reject(uncertain("the connection ended"));
  };
  const joined = async (result?: unknown): Promise<void> => {
    await presence.join();
    subscribe(result);
    sent.splice(0);
  };
  const asked = (type: string): Frame[] => sent.flatMap(({ request }) => (request["type"] === type ? [request] : []));
  const last = (): Sent => sent.at(-1) as Sent;
  const users = (): string[] => presence.members.map(({ user_id }) => user_id);
  return { presence, network, report, resubscribe, sent, answer, subscribe, cut, joined, asked, last, users };
}

function refused(error: Frame): TidewireError {
  return new TidewireError(wireError(error) as never);
}

const FORBIDDEN = { code: 1005, retryable: false };

function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error);
}

describe("joining", () => {
  test("has the channel subscribe with presence, once, and on every connection until it leaves", async () => {
    const { presence, resubscribe } = setUp();
    expect(presence.subscribing()).toEqual({});
    const wanted: unknown[] = [];
    resubscribe.mockImplementation(async () => void wanted.push(presence.subscribing()));
    await Promise.all([presence.join(), presence.join()]);
    await presence.join();
    expect(wanted).toEqual([{ presence: true }]);
    presence.disconnected();
    expect(presence.subscribing()).toEqual({ presence: true });
    await presence.leave();
    await presence.leave();
    expect(wanted).toEqual([{ presence: true }, {}]);
  });

  test("that is refused is as if it had not been asked for", async () => {
    const { presence, resubscribe } = setUp();
    resubscribe.mockRejectedValueOnce(refused(FORBIDDEN));
    expect(await outcome(presence.join())).toMatchObject(FORBIDDEN);
    expect(presence.subscribing()).toEqual({});
    await presence.join();
    expect(presence.subscribing()).toEqual({ presence: true });
  });

  test("lasts when the channel is left; whoever then leaves does not subscribe to it", async () => {
    const { presence, resubscribe, joined, users } = setUp();
    await joined(list(["ann", "bob"]));
    presence.closed(closed("unsubscribed"));
    expect([users(), presence.count]).toEqual([[], 0]);
    expect(presence.subscribing()).toEqual({ presence: true });
    presence.closed(closed("unsubscribed"));
    resubscribe.mockClear();
    await presence.leave();
    expect(resubscribe).not.toHaveBeenCalled();
    expect(presence.subscribing()).toEqual({});
  });

  test("who has left knows of nobody, and hears nothing", async () => {
    const { presence, joined, users } = setUp();
    await joined(list(["ann", "bob"]));
    await presence.leave();
    presence.push(push("join", "cyd", 3, 1));
    expect([users(), presence.count, vi.getTimerCount()]).toEqual([[], 0, 0]);
  });
});

describe("who is there", () => {
  test("is told by id; always the same array until it changes, and listeners are called when it does", async () => {
    const { presence, joined, users, report } = setUp();
    const listener = vi.fn();
    presence.onChange(() => {
      throw new Error("listener");
    });
    const stop = presence.onChange(listener);
    await joined(list(["bob", "ann"]));
    expect([users(), presence.count, listener.mock.calls]).toEqual([["ann", "bob"], 2, [[presence]]]);
    expect(report).toHaveBeenCalledTimes(1);
    const before = presence.members;
    presence.push(push("join", "ann", 2, 1));
    presence.push(push("join", "ann", 2, 1));
    expect(presence.members).toBe(before);
    expect(listener).toHaveBeenCalledTimes(1);
    presence.push(push("join", "cyd", 3, 2));
    expect(users()).toEqual(["ann", "bob", "cyd"]);
    expect(listener).toHaveBeenCalledTimes(2);
    stop();
    presence.push(push("leave", "cyd", 2, 3));
    expect(listener).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("what is missed is asked for a second later, and what is pushed meanwhile counts", async () => {
    const { presence, joined, asked, last, users } = setUp();
    await joined();
    presence.push(push("join", "cyd", 3, 2));
    await vi.advanceTimersByTimeAsync(999);
    expect(asked("presence.get")).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked("presence.get")).toEqual([{ type: "presence.get", channel: CHANNEL }]);
    presence.push(push("leave", "cyd", 2, 3));
    await vi.advanceTimersByTimeAsync(60_000);
    last().resolve(list(["ann", "bob", "cyd"], 2));
    await settled();
    expect([users(), presence.count]).toEqual([["ann", "bob"], 2]);
    expect([asked("presence.get").length, vi.getTimerCount()]).toEqual([1, 0]);
  });

  test("is asked for at once, page by page, when the answer has not all", async () => {
    const { presence, joined, subscribe, asked, last, users } = setUp();
    await joined();
    subscribe(list(["ann"], 1, { count: 3, more: true }));
    presence.check(); // it is being asked
    for (const user of ["ann", "bob"]) {
      last().resolve(list([user], 1, { count: 3, more: true }));
      await settled();
      expect(last().request).toEqual({ type: "presence.get", channel: CHANNEL, after: user });
    }
    last().resolve(list(["cyd"], 1, { count: 3 }));
    await settled();
    expect([users(), presence.count, asked("presence.get").length]).toEqual([["ann", "bob", "cyd"], 3, 3]);
  });

  test("is asked on waking and on `lagged`, once at a time, and only when this connection is there", async () => {
    const { presence, joined, asked, last, users, cut } = setUp();
    presence.check();
    await joined();
    presence.check();
    presence.push({ type: "system", event: "lagged", channel: CHANNEL } as Push);
    expect(asked("presence.get").length).toBe(1);
    last().resolve(list(["ann", "bob"], 1));
    await settled();
    expect(users()).toEqual(["ann", "bob"]);
    presence.push({ type: "system", event: "lagged", channel: CHANNEL } as Push);
    expect(asked("presence.get").length).toBe(2);
    cut();
    presence.check();
    expect(asked("presence.get").length).toBe(2);
  });

  test("an answer to what was asked on another connection does not count", async () => {
    const { presence, joined, last, subscribe, users } = setUp();
    await joined();
    presence.check();
    const before = last();
    presence.disconnected();
    subscribe(list(["ann", "bob"], 5));
    before.resolve(list(["eve"], 9));
    await settled();
    expect(users()).toEqual(["ann", "bob"]);
  });

  test("asking that fails in passing is tried again later, for good with the next check", async () => {
    const { presence, joined, asked, last, report } = setUp();
    await joined();
    presence.check();
    last().reject(refused({ retry_after_ms: 3_000 }));
    await vi.advanceTimersByTimeAsync(2_999);
    expect(asked("presence.get").length).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked("presence.get").length).toBe(2);
    last().resolve({ members: "?" });
    await vi.advanceTimersByTimeAsync(250);
    expect(asked("presence.get").length).toBe(3);
    expect(report).not.toHaveBeenCalled();
    last().reject(refused(FORBIDDEN));
    await vi.advanceTimersByTimeAsync(60_000);
    expect([asked("presence.get").length, report.mock.calls.length]).toEqual([3, 1]);
    presence.check();
    expect(asked("presence.get").length).toBe(4);
  });

  test("a list that goes on and on makes no sense, and is asked for again after a pause", async () => {
    const { presence, joined, asked, sent, report } = setUp();
    await joined();
    presence.check();
    let answered = 0;
    for (; answered < sent.length && answered < 300; answered++) {
      sent[answered]!.resolve(list(["bob"], 1, { more: true }));
      await settled();
    }
    expect(answered).toBeLessThan(150);
    await vi.advanceTimersByTimeAsync(250);
    expect(asked("presence.get")).toHaveLength(answered + 1);
    expect(sent.at(-1)!.request).not.toHaveProperty("after");
    expect(report).not.toHaveBeenCalled();
  });

  test("in a large channel it is a number, even if all are listed", async () => {
    const { presence, joined, asked, last, users } = setUp();
    await joined({ members: [], count: 120, version: 7 });
    expect([users(), presence.count]).toEqual([[], 120]);
    const some = Array.from({ length: 90 }, (_, i) => `u${i}`);
    for (const count of [500, 90]) {
      presence.check();
      last().resolve(list(some, 8, { count, ...(count > 90 ? { more: true } : {}) }));
      await settled();
      expect([users(), presence.count]).toEqual([[], count]);
    }
    presence.check();
    last().resolve(list(some.slice(0, 80), 9));
    await settled();
    expect([users().length, presence.count]).toEqual([80, 80]);
    presence.check();
    last().resolve(list(some, 9));
    await settled();
    expect([users().length, vi.getTimerCount()]).toEqual([90, 0]);
    presence.check();
    last().resolve(list(some, 9, { count: 100, more: true }));
    await settled();
    last().resolve(list(["v0"], 10, { count: 101, more: true }));
    await settled();
    expect([users(), presence.count]).toEqual([[], 101]);
    expect([asked("presence.get").length, vi.getTimerCount()]).toEqual([6, 0]);
  });

  test("who types does so until it says otherwise or 8 s have gone, also without a connection; oneself is not told", async () => {
    const { presence, joined, cut } = setUp();
    await joined(list(["ann", "bob", "cyd"]));
    const listener = vi.fn();
    presence.onChange(listener);
    for (const user of ["bob", "cyd", "ann"]) presence.push(typing(user));
    expect(presence.typing).toEqual(["bob", "cyd"]);
    presence.push(typing("cyd", false));
    expect(presence.typing).toEqual(["bob"]);
    cut();
    await vi.advanceTimersByTimeAsync(7_999);
    expect(presence.typing).toEqual(["bob"]);
    await vi.advanceTimersByTimeAsync(1);
    expect([presence.typing, listener.mock.calls.length, vi.getTimerCount()]).toEqual([[], 4, 0]);
  });
});

describe("what the user says", () => {
  test("is sent one request at a time, the latest words of those that wait", async () => {
    const { presence, joined, sent, last } = setUp();
    await joined();
    const first = presence.update({ status: "away" });
    const rest = Promise.all([presence.update({ status: "busy", data: 1 }), presence.update({ data: { mood: "x" } })]);
    expect(sent.map(({ request }) => request)).toEqual([{ type: "presence.update", channel: CHANNEL, status: "away" }]);
    last().resolve({});
    await first;
    expect(last().request).toEqual({
      type: "presence.update",
      channel: CHANNEL,
      status: "busy",
      data: { mood: "x" },
    });
    last().resolve({});
    await rest;
    expect(sent.length).toBe(2);
  });

  test("is refused to who has not joined, when it is too much, when the server refuses, and by leaving", async () => {
    const { presence, joined, sent, last } = setUp();
    expect(await outcome(presence.update({ status: "away" }))).toMatchObject({ code: 1006 });
    await joined();
    expect(await outcome(presence.update({ data: "x".repeat(8_000) }))).toMatchObject({ code: 1003 });
    expect(sent).toEqual([]);
    const refusing = outcome(presence.update({ status: "away" }));
    const leaving = outcome(presence.update({ status: "busy" }));
    last().reject(refused(FORBIDDEN));
    expect(await refusing).toMatchObject(FORBIDDEN);
    last().reject(uncertain("no answer"));
    await settled();
    await presence.leave();
    expect(await leaving).toMatchObject({ kind: "closed" });
    expect([sent.length, vi.getTimerCount()]).toEqual([2, 0]);
  });

  test("is refused with the joining that it waits for", async () => {
    const { presence, resubscribe, sent, report } = setUp();
    resubscribe.mockRejectedValueOnce(refused(FORBIDDEN));
    const joining = outcome(presence.join());
    presence.active();
    const saying = outcome(presence.update({ status: "away" }));
    expect(await joining).toMatchObject(FORBIDDEN);
    expect(await saying).toMatchObject(FORBIDDEN);
    presence.active();
    expect([sent.length, vi.getTimerCount()]).toEqual([0, 0]);
    expect(report).not.toHaveBeenCalled();
  });

  test("is sent again when it failed in passing, and waits for a connection", async () => {
    const { presence, joined, last, sent, cut, subscribe } = setUp();
    await joined();
    const done = vi.fn();
    void presence.update({ status: "away" }).then(done);
    last().reject(refused({ retry_after_ms: 700 }));
    await settled();
    void presence.update({ data: 1 }).then(done);
    await vi.advanceTimersByTimeAsync(699);
    expect(sent.length).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(last().request).toMatchObject({ status: "away", data: 1 });
    cut();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([sent.length, vi.getTimerCount()]).toEqual([2, 0]);
    subscribe({ members: [], count: 200, version: 3 });
    expect(sent.length).toBe(3);
    last().resolve({});
    await settled();
    expect(done).toHaveBeenCalledTimes(2);
  });

  test("is a copy of what it was", async () => {
    const { presence, joined, last, subscribe, sent } = setUp();
    await joined();
    const data = { mood: "x" };
    void presence.update({ data });
    last().resolve({});
    data.mood = "y";
    await settled();
    subscribe(list(["ann"]));
    expect(sent.length).toBe(2);
    expect(last().request).toMatchObject({ data: { mood: "x" } });
  });

  test("is said again where it got lost with the session, and only then", async () => {
    const { presence, joined, last, subscribe, cut, sent } = setUp();
    await joined();
    void presence.update({ status: "busy", data: { a: [1], b: 2 } });
    last().resolve({});
    await settled();
    const own = member("ann", { status: "busy", data: { b: 2, a: [1] } });
    cut();
    subscribe(list([own]));
    expect(sent.length).toBe(1);
    cut();
    subscribe({ members: [], count: 200, version: 3 }); // how it is, is not told
    expect(sent.length).toBe(1);
    cut();
    subscribe(list([{ ...own, status: "online" }]));
    expect(last().request).toEqual({ type: "presence.update", channel: CHANNEL, status: "busy" });
    last().resolve({});
    await settled();
    cut();
    subscribe(list(["ann"]));
    expect(last().request).toMatchObject({ status: "busy", data: { a: [1], b: 2 } });
    expect(sent.length).toBe(3);
  });

  test("what is under way is newer than what was said before", async () => {
    const { presence, joined, last, subscribe, sent } = setUp();
    await joined();
    void presence.update({ status: "busy" });
    last().resolve({});
    await settled();
    void presence.update({ status: "away" });
    subscribe(list([member("ann", { status: "away" })]));
    last().resolve({});
    await settled();
    expect(sent.length).toBe(2);
  });

  test("what another connection of the user has said since, stands", async () => {
    const { presence, joined, last, subscribe, cut, sent } = setUp();
    await joined();
    void presence.update({ status: "busy", data: 1 });
    presence.push(push("update", member("ann"), 1, 1)); // of before
    last().resolve({});
    await settled();
    presence.push(push("update", member("ann", { status: "busy", data: 1 }), 1, 2));
    presence.push(push("update", member("ann", { status: "away", data: 1 }), 1, 3));
    cut();
    subscribe(list([member("ann")], 4));
    expect(sent.length).toBe(2);
    expect(last().request).toEqual({ type: "presence.update", channel: CHANNEL, data: 1 });
  });

  test("nobody is contradicted while the session lasts", async () => {
    const { presence, joined, last, asked } = setUp();
    await joined();
    void presence.update({ status: "busy" });
    last().resolve({});
    await settled();
    presence.check();
    last().resolve(list([member("ann", { status: "away" })], 1));
    await settled();
    expect(asked("presence.update").length).toBe(1);
  });

  test("new words are not given up for old ones that are shown", async () => {
    const { presence, joined, last, subscribe, cut, sent } = setUp();
    await joined();
    for (const status of ["busy", "away"] as const) {
      void presence.update({ status });
      last().resolve({});
      await settled();
      if (status === "busy") presence.push(push("update", member("ann", { status }), 1, 1));
    }
    presence.push(push("join", "bob", 2, 2));
    cut();
    subscribe(list(["ann"], 4));
    expect(sent.length).toBe(3);
    expect(last().request).toMatchObject({ status: "away" });
  });

  test("leaving ends it", async () => {
    const { presence, joined, last, sent, subscribe } = setUp();
    await joined();
    void presence.update({ status: "busy" });
    last().resolve({});
    await settled();
    await presence.leave();
    await presence.join();
    subscribe(list(["ann"]));
    expect(sent.length).toBe(1);
  });

  test("an answer from before leaving does not send what was said since", async () => {
    const { presence, joined, last, sent } = setUp();
    await joined();
    void presence.update({ status: "busy" });
    const before = last();
    await presence.leave();
    await joined();
    void presence.update({ status: "away" });
    void presence.update({ data: 1 });
    before.resolve({});
    await settled();
    expect(sent.length).toBe(1);
  });

  test("active is said once in 30 s, and its end after a minute", async () => {
    const { presence, joined, asked, last } = setUp();
    presence.active();
    await joined();
    await vi.advanceTimersByTimeAsync(200_000);
    expect(asked("presence.update")).toEqual([]); // nobody says anything who never calls it
    const said = (): unknown[] => asked("presence.update").map(({ active }) => active);
    for (let second = 0; second < 40; second++) {
      presence.active();
      if (said().length > 0) last().resolve({});
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(said()).toEqual([true, true]);
    await vi.advanceTimersByTimeAsync(58_999);
    expect(said().length).toBe(2);
    await vi.advanceTimersByTimeAsync(1);
    last().resolve({});
    await settled();
    expect(said()).toEqual([true, true, false]);
    presence.active();
    expect(said()).toEqual([true, true, false, true]);
    last().reject(refused(FORBIDDEN));
    await presence.leave();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("typing is said every 3 s while it goes on, and its end 5 s later or at once", async () => {
    const { presence, joined, asked, last } = setUp();
    presence.type();
    await joined();
    const said = (): unknown[] => asked("typing").map(({ active }) => active);
    presence.type(false);
    expect(said()).toEqual([]);
    for (let second = 0; second < 7; second++) {
      presence.type();
      last().resolve({});
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(said()).toEqual([true, true, true]);
    await vi.advanceTimersByTimeAsync(3_999);
    expect(said().length).toBe(3);
    await vi.advanceTimersByTimeAsync(1);
    expect([said(), vi.getTimerCount()]).toEqual([[true, true, true, false], 0]);
    last().resolve({});
    await settled();
    presence.type();
    presence.type(false); // not before the first is answered: the server might handle it first
    expect(said().slice(4)).toEqual([true]);
    last().resolve({});
    await settled();
    expect([said().slice(4), vi.getTimerCount()]).toEqual([[true, false], 0]);
  });

  test("typing that fails is not said again; for good, it is reported", async () => {
    const { presence, joined, asked, last, cut, subscribe, report } = setUp();
    await joined();
    presence.type();
    last().reject(uncertain("no answer"));
    await vi.advanceTimersByTimeAsync(4_000);
    expect(asked("typing").length).toBe(1);
    cut();
    presence.type();
    subscribe();
    await vi.advanceTimersByTimeAsync(10_000);
    expect([asked("typing").length, report.mock.calls.length, vi.getTimerCount()]).toEqual([1, 0, 0]);
    presence.type();
    expect(asked("typing").length).toBe(2);
    last().reject(refused(FORBIDDEN));
    await settled();
    expect(report).toHaveBeenCalledTimes(1);
  });
});

describe("how far was read", () => {
  test("only goes forward, one request at a time, the greatest, without joining", async () => {
    const { presence, asked, last } = setUp();
    for (const offset of [3, 5, 4, 9, NaN]) presence.markRead(offset);
    expect(asked("ack")).toEqual([{ type: "ack", channel: CHANNEL, offset: 3 }]);
    last().resolve({});
    await settled();
    last().resolve({});
    presence.markRead(9);
    await settled();
    expect(asked("ack").map(({ offset }) => offset)).toEqual([3, 9]);
  });

  test("is tried again, and waits for a connection", async () => {
    const { presence, asked, last, cut, subscribe, report } = setUp();
    presence.markRead(3);
    last().reject(refused({ retry_after_ms: 100 }));
    await vi.advanceTimersByTimeAsync(100);
    expect(asked("ack").length).toBe(2);
    cut();
    presence.markRead(7);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([asked("ack").length, vi.getTimerCount()]).toEqual([2, 0]);
    subscribe(undefined);
    expect(last().request["offset"]).toBe(7);
    last().reject(refused(FORBIDDEN));
    await settled();
    expect(report).toHaveBeenCalledTimes(1);
  });

  test("begins anew with a new stream; what was read of the old one is not said of it", async () => {
    const { presence, asked, subscribe, network } = setUp();
    subscribe(undefined);
    network.online = false;
    presence.markRead(50);
    subscribe(undefined, { position: { epoch: "e2", offset: 1 } });
    expect(asked("ack")).toEqual([]);
    presence.markRead(1);
    expect(asked("ack")).toMatchObject([{ offset: 1 }]);
  });

  test("is not ended by leaving, but with the channel", async () => {
    const { presence, asked, network, joined } = setUp();
    await joined();
    network.online = false;
    presence.markRead(5);
    await presence.leave();
    presence.subscribing();
    network.online = true;
    presence.subscribed({ position: { epoch: "e1", offset: 0 } } as SubscribeResult);
    expect(asked("ack").length).toBe(1);
    presence.closed(closed("unsubscribed"));
    presence.markRead(5);
    expect(asked("ack").length).toBe(2);
  });
});

const WORDS = ["presence", "typing", "system", "lagged", "count", "leave", "join", "ann", "__proto__", "", CHANNEL];
const KEYS = ["type", "event", "member", "members", "user_id", "count", "version", "more", "presence", "position"];

function anything(random: () => number, depth = 0): unknown {
  const one = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const kind = Math.floor(random() * (depth > 3 ? 3 : 5));
  if (kind === 0) return one(WORDS);
  if (kind === 1) return one([0, 1, 2, 3, -1, 0.5, 150, 1e21]);
  if (kind === 2) return one([null, true, false]);
  const items = Array.from({ length: Math.floor(random() * 4) }, () => anything(random, depth + 1));
  return kind === 3 ? items : Object.fromEntries(items.map((item) => [one(KEYS), item]));
}

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
  "whatever is said, nothing is thrown (seed %i)",
  async (seed) => {
    const random = seeded(seed);
    const { presence, joined, sent, subscribe, cut, users } = setUp();
    await joined();
    for (let step = 0; step < 80; step++) {
      const good = push("join", `u${step % 5}`, step % 7, Math.floor(random() * 20)) as unknown as Frame;
      const frame = random() < 0.3 ? good : random() < 0.6 ? { ...good, ...Object(anything(random)) } : { type: "?" };
      presence.push(frame as Push);
      if (random() < 0.1) cut();
      if (random() < 0.2) subscribe(anything(random), { position: anything(random) });
      if (random() < 0.2) outcome(presence.update({ data: step }));
      if (random() < 0.2) [presence.active(), presence.type(), presence.markRead(step), presence.check()];
      for (const { resolve, reject } of sent.splice(0)) {
        if (random() < 0.7) resolve(random() < 0.3 ? list(["ann"], step) : anything(random));
        else reject(refused({ retryable: random() < 0.5, retry_after_ms: anything(random) }));
      }
      await vi.advanceTimersByTimeAsync(random() * 3_000);
    }
    cut();
    sent.splice(0);
    subscribe(list(["ann", "bob"], 1e6));
    expect(users()).toEqual(["ann", "bob"]);
  },
);
