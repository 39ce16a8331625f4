import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Channel } from "../src/channel.js";
import { TidewireError, closed, uncertain } from "../src/errors.js";
import type { Event, Publication } from "../src/generated/frames.js";
import { Recovery } from "../src/recovery.js";
import { event, publication, settled, wireError, type Frame } from "./fakes.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Question {
  readonly request: Frame;
  readonly answer: (result: unknown) => Promise<void>;
  readonly refuse: (error: TidewireError) => Promise<void>;
}

/** A channel and its recovery, whose questions the test answers. */
function setUp() {
  const network = { online: true };
  const questions: Question[] = [];
  const report = vi.fn();
  const connected = (): boolean => network.online;
  const ask = (request: object): Promise<unknown> => {
    if (!network.online) return Promise.reject(uncertain("not connected"));
    return new Promise((resolve, reject) => {
      const answer = (result: unknown) => (resolve(result), settled());
      const refuse = (error: TidewireError) => (reject(error), settled());
      questions.push({ request: request as Frame, answer, refuse });
    });
  };
  const recovery: Recovery = new Recovery({
    ask,
    connected,
    report,
    deliver: (event) => channel.deliver(event),
    startOver: (_, position) => channel.startOver(position),
    resubscribe: () => channel.resubscribe(),
  });
  const channel = new Channel("room:a", {
    ask,
    standing: async () => undefined,
    connected,
    report,
    recovery,
    random: () => 0,
    publish: async ({ message_id }) => ({ message_id: message_id as string, status: "accepted" }),
  });
  const heard: Event[] = [];
  channel.on("*", (event) => heard.push(event));
  const asked = (type: string): Question[] => questions.filter(({ request }) => request["type"] === type);
  const last = (type: string): Question => asked(type).at(-1) as Question;

  async function disconnect(): Promise<void> {
    network.online = false;
    recovery.disconnected();
    channel.disconnected();
    for (const { refuse } of questions) await refuse(uncertain("the connection ended"));
  }
  async function reconnect(): Promise<void> {
    network.online = true;
    channel.connected();
    await settled();
  }
  return { network, channel, recovery, questions, report, heard, asked, last, disconnect, reconnect };
}

type SetUp = ReturnType<typeof setUp>;

function position(offset: number, epoch = "e1") {
  return { epoch, offset };
}

function subscribed(offset: number, fields: Frame = {}): Frame {
  return { channel: "room:a", position: position(offset), recovered: false, publications: [], ...fields };
}

function recovered(offset: number, publications: Publication[], fields: Frame = {}): Frame {
  return subscribed(offset, { recovered: true, publications, ...fields });
}

function history(offset: number, publications: Publication[], more = false): Frame {
  return { publications, position: position(offset), more };
}

function run(from: number, to: number): Publication[] {
  return Array.from({ length: to - from + 1 }, (_, index) => publication(from + index));
}

function offsets(events: readonly Event[]): unknown[] {
  return events.map(({ offset }) => offset);
}

/** A channel that stands at an offset. */
async function standing(offset: number): Promise<SetUp> {
  const set = setUp();
  const subscribing = set.channel.subscribe();
  await set.last("subscribe").answer(subscribed(offset));
  await subscribing;
  return set;
}

function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error);
}

// subscribing

test("subscribing returns the history asked for, and hands on events from there", async () => {
  const { channel, recovery, last, heard } = setUp();
  const subscribing = channel.subscribe({ history: 2 });
  expect(last("subscribe").request).toEqual({ type: "subscribe", channel: "room:a", history: 2 });
  await last("subscribe").answer(subscribed(5, { publications: run(4, 5) }));
  expect(await subscribing).toEqual(run(4, 5));
  expect(channel.position).toEqual(position(5));
  recovery.event(event(5));
  recovery.event(event(6));
  expect(offsets(heard)).toEqual([6]);
});

test("events that overtake the answer are kept until it is there", async () => {
  const { channel, recovery, last, heard } = setUp();
  const subscribing = channel.subscribe();
  recovery.event(event(6));
  recovery.event(event(5));
  expect(heard).toEqual([]);
  await last("subscribe").answer(subscribed(5));
  await subscribing;
  expect(offsets(heard)).toEqual([6]);
});

test("a refusal is thrown, and the channel is not subscribed", async () => {
  const { channel, last } = setUp();
  const subscribing = outcome(channel.subscribe());
  await last("subscribe").refuse(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  expect(await subscribing).toMatchObject({ code: 1005 });
  expect(channel.subscribed).toBe(false);
});

test("a temporary refusal is tried again on the same connection, after what the server asks", async () => {
  const { channel, asked, last } = setUp();
  const subscribing = channel.subscribe();
  await last("subscribe").refuse(new TidewireError(wireError({ code: 2004, retry_after_ms: 700 }) as never));
  await vi.advanceTimersByTimeAsync(699);
  expect(asked("subscribe")).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(asked("subscribe")).toHaveLength(2);
  await last("subscribe").answer(subscribed(1));
  expect(await subscribing).toEqual([]);
});

test("subscribing before there is a connection waits for it", async () => {
  const { channel, network, last, asked, reconnect } = setUp();
  network.online = false;
  const subscribing = channel.subscribe({ history: 3 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked("subscribe")).toEqual([]);
  await reconnect();
  expect(last("subscribe").request).toMatchObject({ history: 3 });
  await last("subscribe").answer(subscribed(3, { publications: run(1, 3) }));
  expect(await subscribing).toHaveLength(3);
});

test("a loss while subscribing starts it over on the next connection, once", async () => {
  const { channel, asked, last, disconnect, reconnect } = setUp();
  const subscribing = channel.subscribe();
  await disconnect();
  await reconnect();
  expect(asked("subscribe")).toHaveLength(2);
  await last("subscribe").answer(subscribed(1));
  await subscribing;
});

test("subscribing is refused when the client is closed before there was an answer", async () => {
  const { channel, network } = setUp();
  network.online = false;
  const subscribing = outcome(channel.subscribe());
  await settled();
  channel.closed(closed("the client was closed"));
  expect(await subscribing).toMatchObject({ kind: "closed" });
});

test("subscribing twice at once asks once", async () => {
  const { channel, asked, last } = setUp();
  const both = Promise.all([channel.subscribe({ history: 1 }), channel.subscribe({ history: 2 })]);
  expect(asked("subscribe")).toHaveLength(1);
  await last("subscribe").answer(subscribed(5, { publications: [publication(5)] }));
  expect(last("history").request).toMatchObject({ limit: 2, reverse: true });
  await last("history").answer(history(5, [publication(5), publication(4)]));
  expect(await both).toEqual([[publication(5)], run(4, 5)]);
});

test("subscribing again reads the history, and hands nothing on twice", async () => {
  const { channel, recovery, last, asked, heard } = await standing(3);
  recovery.event(event(4));
  const again = channel.subscribe({ history: 2 });
  await settled();
  await last("history").answer(history(4, [publication(4), publication(3)]));
  expect(await again).toEqual(run(3, 4));
  expect(asked("subscribe")).toHaveLength(1);
  expect(offsets(heard)).toEqual([4]);
});

// coming back

test("after a reconnect it asks for what it missed, since its position", async () => {
  const { channel, recovery, last, heard, disconnect, reconnect } = await standing(3);
  recovery.event(event(4));
  await disconnect();
  await reconnect();
  expect(last("subscribe").request).toEqual({ type: "subscribe", channel: "room:a", since: position(4) });
  recovery.event(event(7)); // overtakes the answer
  await last("subscribe").answer(recovered(6, run(5, 6)));
  expect(offsets(heard)).toEqual([4, 5, 6, 7]);
});

test("a recovery with more is continued by history before pushes are handed on", async () => {
  const { recovery, last, heard, disconnect, reconnect } = await standing(0);
  await disconnect();
  await reconnect();
  await last("subscribe").answer(recovered(6, run(1, 2), { more: true }));
  recovery.event(event(7, { priority: "high", prev_offset: 0 })); // would overtake
  expect(last("history").request).toMatchObject({ since: position(2), limit: 300 });
  await last("history").answer(history(6, run(3, 4), true));
  expect(offsets(heard)).toEqual([1, 2, 3, 4]);
  expect(last("history").request).toMatchObject({ since: position(4) });
  await last("history").answer(history(6, run(5, 6)));
  expect(offsets(heard)).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test("a recovery that fails half-way goes on from where it got to", async () => {
  const { last, asked, heard, disconnect, reconnect } = await standing(0);
  await disconnect();
  await reconnect();
  await last("subscribe").answer(recovered(4, run(1, 2), { more: true }));
  await last("history").refuse(uncertain("no answer came"));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked("history")).toHaveLength(2);
  expect(last("history").request).toMatchObject({ since: position(2) });
  await last("history").answer(history(4, run(3, 4)));
  expect(offsets(heard)).toEqual([1, 2, 3, 4]);
});

test("a recovery that the next loss cuts short is continued on the next connection", async () => {
  const { last, asked, heard, disconnect, reconnect } = await standing(0);
  await disconnect();
  await reconnect();
  await last("subscribe").answer(recovered(4, run(1, 2), { more: true }));
  await disconnect();
  await vi.advanceTimersByTimeAsync(60_000);
  await reconnect();
  expect(asked("history")).toHaveLength(1);
  expect(last("subscribe").request).toMatchObject({ since: position(2) });
  await last("subscribe").answer(recovered(4, run(3, 4)));
  expect(offsets(heard)).toEqual([1, 2, 3, 4]);
});

test("what could not be recovered is a reset: the application starts over, from the new position", async () => {
  const { channel, recovery, last, heard, disconnect, reconnect } = await standing(3);
  const reset = vi.fn();
  channel.onReset(reset);
  await disconnect();
  await reconnect();
  expect(reset).not.toHaveBeenCalled();
  await last("subscribe").answer({ ...subscribed(9), position: position(9, "e2") });
  expect(reset).toHaveBeenCalledExactlyOnceWith(position(9, "e2"));
  expect(channel.position).toEqual(position(9, "e2"));
  recovery.event(event(10, { epoch: "e2" }));
  expect(offsets(heard)).toEqual([10]);
});

test("a first subscription is no reset", async () => {
  const { channel, last } = setUp();
  const reset = vi.fn();
  channel.onReset(reset);
  void channel.subscribe();
  await last("subscribe").answer(subscribed(9));
  expect(reset).not.toHaveBeenCalled();
});

test("a rejoin that fails for now is tried again without a new connection", async () => {
  const { recovery, asked, last, heard, disconnect, reconnect } = await standing(3);
  await disconnect();
  await reconnect();
  await last("subscribe").refuse(uncertain("no answer came"));
  await vi.advanceTimersByTimeAsync(500);
  expect(asked("subscribe")).toHaveLength(3);
  await last("subscribe").answer(recovered(4, run(4, 4)));
  recovery.event(event(5));
  expect(offsets(heard)).toEqual([4, 5]);
});

test("a rejoin that is refused is reported, since nobody else would learn of it", async () => {
  const { report, last, disconnect, reconnect } = await standing(3);
  await disconnect();
  await reconnect();
  await last("subscribe").refuse(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  expect(report).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 1005 }));
});

test("whoever subscribes after a rejoin was refused asks again, and is told what comes of it", async () => {
  const { channel, asked, last, disconnect, reconnect, heard } = await standing(3);
  const forbidden = new TidewireError(wireError({ code: 1005, retryable: false }) as never);
  await disconnect();
  await reconnect();
  await last("subscribe").refuse(forbidden);
  const refused = outcome(channel.subscribe());
  await settled();
  expect(asked("subscribe")).toHaveLength(3);
  await last("subscribe").refuse(forbidden);
  expect(await refused).toBe(forbidden);
  const subscribing = channel.subscribe({ history: 2 });
  await settled();
  expect(last("subscribe").request).toEqual({ type: "subscribe", channel: "room:a", since: position(3) });
  await last("subscribe").answer(recovered(4, run(4, 4)));
  expect(offsets(heard)).toEqual([4]);
  await last("history").answer(history(4, run(3, 4).reverse()));
  expect(await subscribing).toEqual(run(3, 4));
});

test("an event of another stream makes it ask what became of its own", async () => {
  const { channel, recovery, last, heard } = await standing(3);
  const reset = vi.fn();
  channel.onReset(reset);
  recovery.event(event(1, { epoch: "e2", prev_offset: 0 }));
  recovery.event(event(2, { epoch: "e2" }));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(last("history").request).toMatchObject({ since: position(3) });
  await last("history").answer({ ...history(1, []), position: position(1, "e2") });
  expect(reset).toHaveBeenCalledOnce();
  expect(offsets(heard)).toEqual([2]);
});

test("told to subscribe again, it asks where the stream stands, and is told once", async () => {
  const { channel, asked, last } = await standing(3);
  const reset = vi.fn();
  channel.onReset(reset);
  channel.resubscribe();
  expect(last("subscribe").request).toMatchObject({ since: position(3) });
  await last("subscribe").answer({ ...subscribed(0), position: position(0, "e2") });
  expect(asked("subscribe")).toHaveLength(2);
  expect(reset).toHaveBeenCalledOnce();
  expect(channel.position).toEqual(position(0, "e2"));
});

test("told so while an answer is awaited, it does not believe that one", async () => {
  const { channel, asked, last } = setUp();
  const subscribing = channel.subscribe({ history: 2 });
  channel.resubscribe();
  await last("subscribe").answer(subscribed(2, { publications: run(1, 2) }));
  expect(channel.position).toBeUndefined();
  expect(last("subscribe").request).toMatchObject({ history: 2 });
  await last("subscribe").answer({ ...subscribed(0), position: position(0, "e2") });
  expect(await subscribing).toEqual([]);
  expect(asked("subscribe")).toHaveLength(2);
  expect(channel.position).toEqual(position(0, "e2"));
});

test("a listener that wants more while it is told what was missed gets it", async () => {
  const { channel, asked, last, disconnect, reconnect } = await standing(3);
  let wants = true;
  channel.onReset(() => {
    if (wants) channel.resubscribe();
    wants = false;
  });
  await disconnect();
  await reconnect();
  await last("subscribe").answer({ ...subscribed(0), position: position(0, "e2") });
  expect(asked("subscribe")).toHaveLength(3);
  expect(last("subscribe").request).toMatchObject({ since: position(0, "e2") });
  await last("subscribe").answer({ ...recovered(0, []), position: position(0, "e2") });
  expect(asked("subscribe")).toHaveLength(3);
});

test("a channel that nobody wants does not subscribe again", async () => {
  const { channel, asked } = setUp();
  channel.resubscribe();
  await settled();
  expect(asked("subscribe")).toEqual([]);
});

// holes

test("a hole is filled from history after a second", async () => {
  const { channel, recovery, asked, last, heard } = await standing(3);
  recovery.event(event(6));
  await vi.advanceTimersByTimeAsync(999);
  expect(asked("history")).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(last("history").request).toEqual({
    type: "history",
    channel: "room:a",
    since: position(3),
    limit: 300,
  });
  await last("history").answer(history(6, run(4, 6)));
  expect(offsets(heard)).toEqual([4, 5, 6]);
});

test("a hole that closes by itself costs no request", async () => {
  const { recovery, asked, heard } = await standing(3);
  recovery.event(event(5));
  recovery.event(event(4));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked("history")).toEqual([]);
  expect(offsets(heard)).toEqual([4, 5]);
});

test("a fill that fails for now is tried again, after twice the time", async () => {
  const { recovery, asked, last, heard } = await standing(3);
  recovery.event(event(5));
  await vi.advanceTimersByTimeAsync(1_000);
  await last("history").refuse(uncertain("no answer came"));
  await vi.advanceTimersByTimeAsync(1_999);
  expect(asked("history")).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(asked("history")).toHaveLength(2);
  await last("history").answer(history(5, run(4, 5)));
  expect(offsets(heard)).toEqual([4, 5]);
});

test("a fill that is refused for good is reported, and tried again", async () => {
  const { recovery, asked, last, report } = await standing(3);
  recovery.event(event(5));
  await vi.advanceTimersByTimeAsync(1_000);
  await last("history").refuse(new TidewireError(wireError({ code: 1006, retryable: false }) as never));
  expect(report).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 1006 }));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked("history")).toHaveLength(2);
});

test("an answer that makes no sense is reported, and asked for again", async () => {
  const { recovery, asked, last, report } = await standing(3);
  recovery.event(event(5));
  await vi.advanceTimersByTimeAsync(1_000);
  await last("history").answer({});
  expect(report).toHaveBeenCalledExactlyOnceWith(expect.any(TypeError));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked("history")).toHaveLength(2);
});

test("what retention has passed over is a reset, and what is kept is handed on", async () => {
  const { channel, recovery, last, heard } = await standing(3);
  const reset = vi.fn();
  channel.onReset(reset);
  recovery.behind({ "room:a": position(9) });
  await last("history").answer(history(9, run(8, 9)));
  expect(reset).toHaveBeenCalledOnce();
  expect(offsets(heard)).toEqual([8, 9]);
});

test("nothing kept at all is a reset: it stands at the end", async () => {
  const { channel, recovery, last } = await standing(3);
  const reset = vi.fn();
  channel.onReset(reset);
  recovery.behind({ "room:a": position(9) });
  await last("history").answer(history(9, []));
  expect(reset).toHaveBeenCalledOnce();
  expect(channel.position).toEqual(position(9));
});

test("what waits for something that the log does not have is settled by the log", async () => {
  const { channel, recovery, last, heard } = await standing(3);
  recovery.event(event(5, { prev_offset: 77 }));
  await vi.advanceTimersByTimeAsync(1_000);
  await last("history").answer(history(6, run(4, 6)));
  expect(offsets(heard)).toEqual([4, 5, 6]);
  expect(channel.position).toEqual(position(6));
});

test("a log that was replaced is a reset: it stands where the new one does", async () => {
  const { channel, recovery, last } = await standing(3);
  const reset = vi.fn();
  channel.onReset(reset);
  recovery.behind({ "room:a": position(2, "e2") });
  await last("history").answer({ ...history(2, []), position: position(2, "e2") });
  expect(reset).toHaveBeenCalledOnce();
  expect(channel.position).toEqual(position(2, "e2"));
});

test("a token without history fills holes by subscribing again", async () => {
  const { recovery, last, heard, report } = await standing(3);
  recovery.event(event(6));
  await vi.advanceTimersByTimeAsync(1_000);
  await last("history").refuse(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  expect(last("subscribe").request).toMatchObject({ since: position(3) });
  await last("subscribe").answer(recovered(6, run(4, 6)));
  expect(offsets(heard)).toEqual([4, 5, 6]);
  expect(report).not.toHaveBeenCalled();
});

test("without history, what can't be recovered either is a reset", async () => {
  const { channel, recovery, last } = await standing(3);
  const reset = vi.fn();
  channel.onReset(reset);
  recovery.behind({ "room:a": position(9) });
  await last("history").refuse(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  await last("subscribe").answer(subscribed(9));
  expect(reset).toHaveBeenCalledOnce();
  expect(channel.position).toEqual(position(9));
});

test("a token that has lost its rights is reported", async () => {
  const { recovery, last, report } = await standing(3);
  recovery.behind({ "room:a": position(9) });
  await last("history").refuse(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  await last("subscribe").refuse(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  expect(report).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 1005 }));
});

test("a page that leads nowhere is asked for again, but not at once", async () => {
  const { recovery, asked, last } = await standing(3);
  recovery.behind({ "room:a": position(9) });
  await last("history").answer(history(9, [], true));
  await vi.advanceTimersByTimeAsync(1_999);
  expect(asked("history")).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(asked("history")).toHaveLength(2);
});

test.each([
  ["is known", 0],
  ["is being filled", 1_000],
])("while a hole %s, the end of the connection ends its clock", async (_what, afterMs) => {
  const { recovery, disconnect } = await standing(3);
  recovery.event(event(5));
  await vi.advanceTimersByTimeAsync(afterMs);
  await disconnect();
  expect(vi.getTimerCount()).toBe(0);
});

// leaving

test("after unsubscribing nothing is handed on, not even ephemeral events", async () => {
  const { channel, recovery, last, heard } = await standing(3);
  const leaving = channel.unsubscribe();
  recovery.event(event(4));
  recovery.event({ ...event(0), ephemeral: true });
  await last("unsubscribe").answer({});
  await leaving;
  expect(heard).toEqual([]);
  expect(channel.position).toBeUndefined();
});

test("an answer that comes after unsubscribing does not subscribe again", async () => {
  const { channel, recovery, last, heard } = setUp();
  const subscribing = outcome(channel.subscribe());
  void channel.unsubscribe();
  await last("subscribe").answer(subscribed(3));
  expect(await subscribing).toMatchObject({ kind: "closed" });
  recovery.event(event(4));
  expect(heard).toEqual([]);
});

test("a fill that comes after unsubscribing is not handed on", async () => {
  const { channel, recovery, last, heard, report } = await standing(3);
  recovery.behind({ "room:a": position(5) });
  void channel.unsubscribe();
  await last("history").answer(history(5, run(4, 5)));
  expect(heard).toEqual([]);
  expect(report).not.toHaveBeenCalled();
});

test("a fill that is forbidden after unsubscribing does not subscribe again", async () => {
  const { channel, recovery, asked, last } = await standing(3);
  recovery.behind({ "room:a": position(5) });
  void channel.unsubscribe();
  await last("history").refuse(new TidewireError(wireError({ code: 1005, retryable: false }) as never));
  expect(asked("subscribe")).toHaveLength(1);
});

test("leaving and coming back at once, while there is no connection, subscribes once", async () => {
  const { channel, network, asked, last, reconnect } = setUp();
  network.online = false;
  const first = outcome(channel.subscribe());
  await settled();
  void channel.unsubscribe();
  const second = channel.subscribe();
  expect(await first).toMatchObject({ kind: "closed" });
  await reconnect();
  expect(asked("subscribe")).toHaveLength(1);
  await last("subscribe").answer(subscribed(3));
  expect(await second).toEqual([]);
});

test("a listener may unsubscribe in the middle of a recovery", async () => {
  const { channel, last, heard, disconnect, reconnect } = await standing(0);
  channel.on("said", () => void channel.unsubscribe());
  await disconnect();
  await reconnect();
  await last("subscribe").answer(recovered(3, run(1, 3)));
  expect(offsets(heard)).toEqual([1]);
  expect(channel.subscribed).toBe(false);
});

test("a listener of resets may unsubscribe as well", async () => {
  const { channel, recovery, last, heard } = await standing(3);
  const others = vi.fn(() => void channel.unsubscribe());
  channel.onReset(others);
  recovery.behind({ "room:a": position(9) });
  await last("history").answer({ ...history(9, run(6, 7)), publications: [publication(6), publication(9)] });
  expect(others).toHaveBeenCalledOnce();
  expect(heard).toEqual([]);
});

test("a listener may leave and come back in the middle of a recovery: the rest is of the old subscription", async () => {
  const { channel, asked, last, heard, report, disconnect, reconnect } = await standing(0);
  const reset = vi.fn();
  channel.onReset(reset);
  const stop = channel.on("said", () => {
    stop();
    void channel.unsubscribe();
    void channel.subscribe();
  });
  await disconnect();
  await reconnect();
  await last("subscribe").answer(recovered(9, [...run(1, 2), publication(5)], { more: true }));
  await last("unsubscribe").answer({});
  expect([offsets(heard), asked("history"), reset.mock.calls]).toEqual([[1], [], []]);
  await last("subscribe").answer(subscribed(6));
  expect(channel.position).toEqual(position(6));
  expect(report).not.toHaveBeenCalled();
});

test("coming back while there is no connection, it is as well", async () => {
  const { channel, network, recovery, last, heard } = await standing(0);
  const stop = channel.on("said", () => {
    stop();
    network.online = false; // as a listener of the state would notice a little later
    void channel.unsubscribe();
    void channel.subscribe();
  });
  recovery.behind({ "room:a": position(3) });
  await last("history").answer(history(3, run(1, 3)));
  expect(offsets(heard)).toEqual([1]);
});

test.each(["answered", "refused"])("a fill of the old subscription, %s, is no fill of the new one", async (how) => {
  const { channel, recovery, asked, last, heard } = await standing(3);
  const reset = vi.fn();
  channel.onReset(reset);
  recovery.behind({ "room:a": position(5) });
  const [old] = asked("history");
  void channel.unsubscribe();
  const subscribing = channel.subscribe();
  await last("unsubscribe").answer({});
  await last("subscribe").answer({ ...subscribed(1), position: position(1, "e2") }); // it was purged in between
  await subscribing;
  recovery.behind({ "room:a": position(2, "e2") });
  if (how === "answered") await old!.answer(history(5, run(4, 5)));
  else await old!.refuse(uncertain("no answer came"));
  expect(channel.position).toEqual(position(1, "e2"));
  await last("history").answer({ ...history(2, [publication(2, { epoch: "e2" })]), position: position(2, "e2") });
  expect(offsets(heard)).toEqual([2]);
  expect(reset).not.toHaveBeenCalled();
  expect(asked("history")).toHaveLength(2);
});

// listening

test("listeners hear their name, or all; and not after they are taken out", async () => {
  const { channel, recovery } = await standing(0);
  const [said, other, all] = [vi.fn(), vi.fn(), vi.fn()];
  const stop = channel.on("said", said);
  channel.on("other", other);
  channel.on("*", all);
  recovery.event(event(1));
  stop();
  recovery.event(event(2));
  expect([said, other, all].map(({ mock }) => mock.calls.length)).toEqual([1, 0, 2]);
});

test("an event named * is heard once", async () => {
  const { recovery, heard } = await standing(0);
  recovery.event(event(1, { name: "*" }));
  expect(offsets(heard)).toEqual([1]);
});

test("a listener that throws breaks nothing but itself, and is reported", async () => {
  const { channel, recovery, heard, report } = await standing(0);
  const error = new Error("oh");
  channel.on("said", () => {
    throw error;
  });
  const after = vi.fn();
  channel.on("said", after);
  recovery.event(event(1));
  recovery.event(event(2));
  expect(after).toHaveBeenCalledTimes(2);
  expect(offsets(heard)).toEqual([1, 2]);
  expect(report).toHaveBeenCalledWith(error);
});

test("ephemeral events are handed on as they come, and take no place", async () => {
  const { channel, recovery, heard } = await standing(3);
  const { epoch: _e, offset: _o, prev_offset: _p, ...fields } = event(0);
  recovery.event({ ...fields, ephemeral: true });
  expect(heard).toHaveLength(1);
  expect(channel.position).toEqual(position(3));
});

test("the iterator gives events in order, and ends with its loop", async () => {
  const { channel, recovery } = await standing(0);
  const got: unknown[] = [];
  const loop = (async () => {
    for await (const { offset } of channel) {
      got.push(offset);
      if (got.length === 3) break;
    }
  })();
  recovery.event(event(1));
  await settled();
  recovery.event(event(2));
  recovery.event(event(3));
  await loop;
  recovery.event(event(4));
  expect(got).toEqual([1, 2, 3]);
});

test("the iterator has what comes between its making and its first turn", async () => {
  const { channel, recovery } = await standing(0);
  const events = channel[Symbol.asyncIterator]();
  recovery.event(event(1));
  recovery.event(event(2));
  const [first, second] = await Promise.all([events.next(), events.next()]);
  expect([first, second]).toMatchObject([{ value: { offset: 1 } }, { value: { offset: 2 } }]);
  await events.return();
  recovery.event(event(3));
  expect(await events.next()).toEqual({ done: true, value: undefined });
});

/** What a loop over the channel takes, and how it ends. */
function loop(channel: Channel): { got: unknown[]; end: Promise<unknown> } {
  const got: unknown[] = [];
  const take = async (): Promise<string> => {
    for await (const { offset } of channel) got.push(offset);
    return "ended";
  };
  return { got, end: outcome(take()) };
}

test("the iterator ends when the channel is left, after what had come", async () => {
  const { channel, recovery, last } = await standing(0);
  const waiting = loop(channel);
  await settled();
  const behind = loop(channel);
  recovery.event(event(1));
  void channel.unsubscribe();
  await last("unsubscribe").answer({ channel: "room:a" });
  expect(await Promise.all([waiting.end, behind.end])).toEqual(["ended", "ended"]);
  expect([waiting.got, behind.got]).toEqual([[1], [1]]);
  void channel.subscribe();
  await last("subscribe").answer(subscribed(5));
  const again = loop(channel);
  recovery.event(event(6));
  await settled();
  expect([waiting.got, behind.got, again.got]).toEqual([[1], [1], [6]]);
});

test("the iterator ends when the client is closed, and fails when the server has ended it", async () => {
  const { channel } = await standing(0);
  const closing = loop(channel);
  channel.closed(closed("the client was closed"));
  expect(await closing.end).toBe("ended");
  const failing = loop(channel);
  const error = new TidewireError(wireError({ code: 3501, name: "revoked", retryable: false }) as never);
  channel.closed(error);
  expect(await failing.end).toBe(error);
});

test("publishing gives each publication an id, or takes the one that it is given", async () => {
  const { channel } = setUp();
  const [one, two] = await Promise.all([channel.publish("said", 1), channel.publish("said", 1)]);
  expect(one.message_id).not.toBe(two.message_id);
  expect((await channel.publish("said", 1, { messageId: "mine" })).message_id).toBe("mine");
});

test("an iterator fails with the error where the channel is refused the next time it is subscribed to", async () => {
  const set = setUp();
  const joined = set.channel.subscribe();
  await set.last("subscribe").answer(subscribed(0));
  await joined;
  const next = set.channel[Symbol.asyncIterator]().next();
  const failed = next.then(
    () => undefined,
    (error: TidewireError) => error.kind,
  );
  await set.disconnect();
  await set.reconnect();
  await set.last("subscribe").refuse(refused("forbidden"));
  expect(await Promise.race([failed, settled().then(() => "it waits")])).toBe("forbidden");
  expect(set.report).toHaveBeenCalledOnce();
});

function refused(name: string): TidewireError {
  return new TidewireError({ code: 1005, name, message: "no", retryable: false });
}
