// The four ways over HTTP, on a server of answers that the test gives by hand.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Connection } from "../src/connection.js";
import { httpTransport, type HttpWay } from "../src/transports/http.js";
import { ENDPOINTS, HELLO, noFetch, settled, type Frame } from "./fakes.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Call {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: string | undefined;
  readonly signal: AbortSignal | undefined;
  answer(body: unknown, status?: number, type?: string): void;
  fail(): void;
}

/** What is asked by HTTP, to be answered by the test. */
function fakeFetch() {
  const calls: Call[] = [];
  const fetch_ = ((input: string, init: RequestInit = {}) =>
    new Promise<Response>((resolve, reject) => {
      const { method = "GET", headers, body, signal } = init;
      signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      calls.push({
        method,
        url: new URL(input),
        headers: new Headers(headers),
        body: body as string | undefined,
        signal: signal ?? undefined,
        answer: (content, status = 200, type) => {
          const own = content instanceof ReadableStream || typeof content === "string";
          const body = own ? (content as string) : JSON.stringify(content);
          const { body: read } = new Response(body);
          const cut = new TransformStream<Uint8Array, Uint8Array>({
            start: (controller) =>
              signal?.addEventListener("abort", () => controller.error(new DOMException("aborted", "AbortError"))),
          });
          const types = { "Content-Type": type ?? new Headers(headers).get("Accept") ?? "application/json" };
          resolve(new Response(read?.pipeThrough(cut), { status, headers: types }));
        },
        fail: () => reject(new TypeError("the network has gone")),
      });
    })) as typeof fetch;
  const last = (): Call => calls.at(-1) as Call;
  return { fetch_, calls, last };
}

/** A body that the test writes. */
function stream() {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
  const write = async (text: string): Promise<void> => {
    controller?.enqueue(new TextEncoder().encode(text));
    await settled();
  };
  const end = async (): Promise<void> => {
    controller?.close();
    await settled();
  };
  return { body, write, end };
}

const GREETING = JSON.stringify({ type: "hello", id: 1, protocol: 1, token: "good" });
const SESSION = { ...HELLO, session_token: "secret" };

function setUp(way: HttpWay) {
  const http = fakeFetch();
  const messages: Frame[] = [];
  const handlers = {
    open: vi.fn(),
    message: vi.fn((text: string) => messages.push(...[JSON.parse(text) as Frame | Frame[]].flat())),
    close: vi.fn(),
  };
  const transport = httpTransport(way, http.fetch_)(ENDPOINTS, handlers);
  return { ...http, transport, handlers, messages };
}

/** Its session stands, and it has begun to read. */
async function greeted(way: HttpWay): Promise<ReturnType<typeof setUp>> {
  const set = setUp(way);
  await settled();
  set.transport.send(GREETING);
  set.last().answer(SESSION);
  await settled();
  if (way !== "long_poll") return set;
  set.last().answer({ frames: [] }); // it can be asked
  await settled();
  return set;
}

test.each(["sse", "stream", "long_poll", "short_poll"] as const)("%s says hello by POST", async (way) => {
  const set = setUp(way);
  await settled();
  expect(set.handlers.open).toHaveBeenCalledOnce();
  set.transport.send(GREETING);
  const { method, url, body } = set.last();
  expect([method, url.href]).toEqual(["POST", "http://server/v1/sessions"]);
  expect(JSON.parse(body as string)).toEqual({ protocol: 1, token: "good" });
});

test.each(["sse", "stream", "long_poll", "short_poll"] as const)("%s: a token is replaced by POST", async (way) => {
  const http = fakeFetch();
  const tokens = vi.fn(async (fresh: boolean) => (fresh ? "fresh" : "good"));
  const onState = vi.fn();
  const connection = new Connection({
    endpoints: async () => ENDPOINTS,
    token: tokens,
    ways: () => ({ [way]: httpTransport(way, http.fetch_) }),
    fetch: noFetch,
    report: vi.fn(),
    onPush: vi.fn(),
    onState,
    onConnected: vi.fn(),
  });
  connection.open();
  await settled();
  http.last().answer(SESSION);
  await settled();
  const expiring = { type: "system", event: "token_expiring", expires_at_ms: HELLO.server_time_ms + 60_000 };
  const body = stream();
  if (way === "sse" || way === "stream") {
    http.last().answer(body.body);
    await body.write("\n"); // it stands
    const read = JSON.stringify({ cursor: "c1", frames: [expiring] });
    await body.write(way === "sse" ? `data: ${JSON.stringify([expiring])}\n\n` : `${read}\n`);
  } else {
    for (const frames of [[], [expiring]]) {
      http.last().answer({ frames });
      await vi.advanceTimersByTimeAsync(500);
    }
  }
  const posted = http.calls.find(({ method, url }) => method === "POST" && url.pathname.endsWith("/frames")) as Call;
  expect(JSON.parse(posted.body as string)).toMatchObject({ type: "refresh", token: "fresh" });
  posted.answer({ code: 1004, name: "unauthenticated", message: "no", retryable: false }, 401);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(onState).toHaveBeenLastCalledWith("connected", undefined);
  connection.close();
});

test.each(["sse", "stream", "long_poll", "short_poll"] as const)("%s keeps no timer when it is closed", async (way) => {
  const reads = await greeted(way);
  expect(reads.last().method).toBe("GET"); // it waits for an answer
  reads.transport.close();
  await settled();
  expect(vi.getTimerCount()).toBe(0);

  const waits = await greeted(way);
  if (way === "sse" || way === "stream") {
    const body = stream();
    waits.last().answer(body.body);
    await body.write("\n");
    await body.end();
  } else {
    waits.last().answer({ frames: [] });
    await settled();
  }
  expect(vi.getTimerCount()).toBe(1); // before it asks again
  waits.transport.close();
  await settled();
  expect(vi.getTimerCount()).toBe(0);
});

test("closed by what it has just told, it waits for nothing more", async () => {
  const set = await greeted("short_poll");
  set.handlers.message.mockImplementation(() => (set.transport.close(), 0));
  set.last().answer({ frames: [{ type: "pong" }] });
  await settled();
  expect(set.handlers.close).toHaveBeenCalledOnce();
  expect(vi.getTimerCount()).toBe(0);
});

test("what comes with the first that is read comes after hello's answer, and is heard", async () => {
  const http = fakeFetch();
  const onPush = vi.fn();
  const connection = new Connection({
    endpoints: async () => ENDPOINTS,
    token: async () => "good",
    ways: () => ({ sse: httpTransport("sse", http.fetch_) }),
    fetch: noFetch,
    report: vi.fn(),
    onPush,
    onState: vi.fn(),
    onConnected: vi.fn(),
  });
  connection.open();
  await settled();
  http.last().answer(SESSION);
  await settled();
  const body = stream();
  http.last().answer(body.body);
  const notice = { type: "system", event: "notice", message: "hear" };
  await body.write(`data: ${JSON.stringify([notice])}\n\n`);
  expect(onPush).toHaveBeenCalledExactlyOnceWith(notice);
  connection.close();
});

describe("a hello that fails", () => {
  test("what the server says is its answer", async () => {
    const set = setUp("sse");
    await settled();
    set.transport.send(GREETING);
    set.last().answer({ code: 1004, name: "unauthenticated", message: "no", retryable: false, status: 401 }, 401);
    await settled();
    expect(set.messages).toEqual([{ type: "reply", id: 1, error: expect.objectContaining({ code: 1004 }) }]);
    expect(set.handlers.close).not.toHaveBeenCalled();
  });

  test.each([
    ["HTML", "<html>Sign in to the hotel's network</html>", 200],
    ["an error page", "<html>502</html>", 502],
    ["somebody else's error", { message: "Internal Server Error" }, 500],
    ["nothing", "", 200],
    ["null", null, 200],
    ["another object", { hello: "world" }, 200],
  ])("%s is no server of ours", async (_name, body, status) => {
    const set = setUp("sse");
    await settled();
    set.transport.send(GREETING);
    set.last().answer(body, status);
    await settled();
    expect(set.messages).toEqual([]);
    expect(set.handlers.close).toHaveBeenCalledOnce();
  });
});

describe.each(["sse", "stream"] as const)("%s", (way) => {
  const first = way === "sse" ? "retry: 1000\n\n" : "\n";
  const batch = (cursor: string, frame: object): string =>
    way === "sse"
      ? `id: ${cursor}\ndata: ${JSON.stringify(frame)}\n\n`
      : `${JSON.stringify({ cursor, frames: [frame] })}\n`;

  test("hello is answered when the stream has said something", async () => {
    const set = await greeted(way);
    const { url, headers } = set.last();
    expect(url.href).toBe("http://streams/v1/stream/sessions/s1?");
    expect(headers.get("Accept")).toBe(way === "sse" ? "text/event-stream" : "application/x-ndjson");
    expect(headers.get("Authorization")).toBe("Bearer secret");
    const body = stream();
    set.last().answer(body.body);
    await settled();
    expect(set.messages).toEqual([]); // a proxy may hold it all back
    await body.write(first);
    expect(set.messages).toEqual([{ type: "reply", id: 1, result: SESSION }]);
    await body.write(batch("c1", { type: "pong", id: 7 }));
    await body.write(batch("c2", { type: "pong", id: 8 }));
    expect(set.messages.slice(1).map(({ id }) => id)).toEqual([7, 8]);
  });

  test("frames come however the text is cut", async () => {
    const set = await greeted(way);
    const body = stream();
    set.last().answer(body.body);
    await settled();
    for (const letter of first + batch("c1", { type: "pong", id: "é" })) await body.write(letter);
    expect(set.messages.at(-1)).toEqual({ type: "pong", id: "é" });
  });

  test("a stream that has come of age is asked for again from its cursor", async () => {
    const set = await greeted(way);
    const body = stream();
    set.last().answer(body.body);
    await body.write(first + batch("c 1", { type: "pong" }));
    await body.end();
    const before = set.calls.length;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(set.calls).toHaveLength(before + 1);
    expect(set.last().url.searchParams.get("cursor")).toBe("c 1");
    expect(set.handlers.close).not.toHaveBeenCalled();
  });

  test("frames without a cursor are taken, and the next stream begins where this one did", async () => {
    const set = await greeted(way);
    const body = stream();
    set.last().answer(body.body);
    await body.write(
      first + (way === "sse" ? 'data: {"type":"pong","id":7}\n\n' : '{"frames":[{"type":"pong","id":7}]}\n'),
    );
    expect(set.messages.at(-1)).toEqual({ type: "pong", id: 7 });
    await body.end();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(set.last().url.search).toBe("");
  });

  test("one that is refused, says nothing, or falls silent is no way", async () => {
    const refused = await greeted(way);
    refused.last().answer({ code: 2001 }, 503);
    await settled();
    expect(refused.handlers.close).toHaveBeenCalledOnce();

    const page = await greeted(way);
    page.last().answer("<html>Sign in first</html>", 200, "text/html");
    await settled();
    expect(page.handlers.close).toHaveBeenCalledOnce();
    expect(page.messages).toEqual([]);

    const mute = await greeted(way);
    const nothing = stream();
    mute.last().answer(nothing.body);
    await nothing.end();
    expect(mute.handlers.close).toHaveBeenCalledOnce();

    const silent = await greeted(way);
    const body = stream();
    silent.last().answer(body.body);
    await body.write(first);
    await vi.advanceTimersByTimeAsync(39_999);
    expect(silent.handlers.close).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(silent.handlers.close).toHaveBeenCalledOnce();
  });

  test("what is no frame ends it, and nothing is thrown", async () => {
    const set = await greeted(way);
    const body = stream();
    set.last().answer(body.body);
    await body.write(way === "sse" ? "data\n:\n\nid\n\n" : "<html>\n");
    if (way === "sse") await body.end();
    else expect(set.handlers.close).toHaveBeenCalledOnce();
    expect(set.messages.slice(1)).toEqual([]);
  });
});

describe("polling", () => {
  test.each([
    ["long_poll", "http://streams/v1/sessions/s1/frames?wait_s=1"],
    ["short_poll", "http://server/v1/sessions/s1/frames?wait_s=0"],
  ] as const)("hello is answered when %s has been: where it is asked may be out of reach", async (way, href) => {
    for (const reached of [true, false]) {
      const set = setUp(way);
      await settled();
      set.transport.send(GREETING);
      set.last().answer(SESSION);
      await settled();
      expect([set.last().url.href, set.messages]).toEqual([href, []]);
      if (reached) set.last().answer({ cursor: "c1", frames: [{ type: "pong" }] });
      else set.last().fail();
      await settled();
      expect(set.messages).toEqual(reached ? [{ type: "reply", id: 1, result: SESSION }, { type: "pong" }] : []);
      expect(set.handlers.close).toHaveBeenCalledTimes(reached ? 0 : 1);
    }
  });

  test("a long poll waits, and goes on from its cursor at once when something has come", async () => {
    const set = await greeted("long_poll");
    expect(set.messages).toEqual([{ type: "reply", id: 1, result: SESSION }]);
    expect(set.last().url.href).toBe("http://streams/v1/sessions/s1/frames?wait_s=25");
    set.last().answer({ cursor: "c1", frames: [{ type: "pong", id: 7 }] });
    await settled();
    expect(set.messages.at(-1)).toEqual({ type: "pong", id: 7 });
    expect(set.last().url.searchParams.get("cursor")).toBe("c1");
  });

  test.each([[undefined], [null], [7], [{}]])("a cursor that is none (%o) leaves the last one", async (cursor) => {
    const set = await greeted("long_poll");
    set.last().answer({ cursor: "c1", frames: [{ type: "pong", id: 7 }] });
    await settled();
    set.last().answer({ cursor, frames: [{ type: "pong", id: 8 }] });
    await settled();
    expect(set.messages.at(-1)).toEqual({ type: "pong", id: 8 });
    expect(set.last().url.searchParams.get("cursor")).toBe("c1");
  });

  test("a long poll that the server can't hold is asked again with growing pauses", async () => {
    const set = await greeted("long_poll");
    const at: number[] = [];
    for (let i = 0; i < 6; i++) {
      set.last().answer({ cursor: "c", frames: [] });
      await settled();
      const [began, before] = [performance.now(), set.calls.length];
      while (set.calls.length === before) await vi.advanceTimersByTimeAsync(100);
      at.push(performance.now() - began);
    }
    expect(at).toEqual([400, 800, 1_600, 2_000, 2_000, 2_000]);
  });

  test("a short poll pauses less when something comes", async () => {
    const set = await greeted("short_poll");
    expect(set.last().url.href).toBe("http://server/v1/sessions/s1/frames?wait_s=0");
    set.last().answer({ cursor: "c1", frames: [{ type: "pong" }] });
    await settled();
    const before = set.calls.length;
    await vi.advanceTimersByTimeAsync(199);
    expect(set.calls).toHaveLength(before);
    await vi.advanceTimersByTimeAsync(1);
    expect(set.calls).toHaveLength(before + 1);
  });

  test.each([
    ["HTML", "<html>"],
    ["no frames", {}],
    ["null", null],
  ])("%s ends it", async (_name, answer) => {
    const set = await greeted("long_poll");
    set.last().answer(answer);
    await settled();
    expect(set.handlers.close).toHaveBeenCalledOnce();
  });

  test("one that is never answered is given up", async () => {
    const set = await greeted("long_poll");
    await vi.advanceTimersByTimeAsync(40_000);
    expect(set.handlers.close).toHaveBeenCalledOnce();
  });
});

describe("posting", () => {
  test("the answer's replies are what has come", async () => {
    const set = await greeted("long_poll");
    set.transport.send('{"type":"ping","id":2}');
    const { method, url, headers, body } = set.last();
    expect([method, url.pathname, body]).toEqual(["POST", "/v1/sessions/s1/frames", '{"type":"ping","id":2}']);
    expect(headers.get("Authorization")).toBe("Bearer secret");
    set.last().answer([{ type: "pong", id: 2 }]);
    await settled();
    expect(set.messages.at(-1)).toEqual({ type: "pong", id: 2 });
  });

  test("each request of a post that failed is answered by what the server says of it", async () => {
    const set = await greeted("long_poll");
    set.transport.send('[{"type":"sync","id":2},{"type":"sync","id":3}]');
    set.last().answer({ code: 2004, name: "rate_limited", message: "slow down", retryable: true }, 429);
    await settled();
    expect(set.messages.slice(1).map(({ id, error }) => [id, (error as Frame)["code"]])).toEqual([
      [2, 2004],
      [3, 2004],
    ]);
  });

  test.each(["fail", "html"] as const)("where nothing of ours came back (%s), it may have been done", async (how) => {
    const set = await greeted("long_poll");
    set.transport.send('{"type":"sync","id":2}');
    if (how === "fail") set.last().fail();
    else set.last().answer("<html>", 502);
    await settled();
    expect(set.messages.at(-1)).toMatchObject({ id: 2, error: { code: 2002, retryable: true } });
  });

  test("after the end nothing is told any more", async () => {
    const set = await greeted("long_poll");
    set.transport.send('{"type":"sync","id":2}');
    set.transport.close();
    set.last().answer([{ type: "reply", id: 2, result: {} }]);
    await settled();
    expect(set.messages).toHaveLength(1);
    expect(set.handlers.close).toHaveBeenCalledOnce();
  });

  test("closed for good, its session is ended; else it is left for whoever comes next", async () => {
    const left = await greeted("long_poll");
    left.transport.close();
    expect(left.calls.map(({ method }) => method)).not.toContain("DELETE");
    const ended = await greeted("long_poll");
    ended.transport.close(true);
    await settled();
    expect([ended.last().method, ended.last().url.pathname]).toEqual(["DELETE", "/v1/sessions/s1"]);
    ended.last().fail();
    await settled();
  });
});

describe("a session", () => {
  test("that is still being opened when it is closed for good is ended all the same", async () => {
    const set = setUp("sse");
    await settled();
    set.transport.send(GREETING);
    const hello = set.last();
    set.transport.close(true);
    hello.answer(SESSION);
    await settled();
    expect([set.last().method, set.last().url.pathname]).toEqual(["DELETE", "/v1/sessions/s1"]);
    expect(set.calls).toHaveLength(2);

    const refused = setUp("sse");
    await settled();
    refused.transport.send(GREETING);
    refused.transport.close(true);
    refused.last().fail();
    await settled();
    expect(refused.calls).toHaveLength(1);
  });

  test.each(["sse", "stream", "long_poll", "short_poll"] as const)("is one part of a path (%s)", async (way) => {
    const set = setUp(way);
    await settled();
    set.transport.send(GREETING);
    set.last().answer({ ...SESSION, session_id: "../s 1?" });
    await settled();
    const escaped = "sessions/..%2Fs%201%3F";
    const of = way === "sse" || way === "stream" ? `/v1/stream/${escaped}` : `/v1/${escaped}/frames`;
    expect(set.last().url.pathname).toBe(of);
    set.transport.send('{"type":"ping","id":2}');
    expect(set.last().url.pathname).toBe(`/v1/${escaped}/frames`);
    set.transport.close(true);
    await settled();
    expect([set.last().method, set.last().url.pathname]).toEqual(["DELETE", `/v1/${escaped}`]);
  });
});

describe("when its session is another's", () => {
  test.each(["sse", "stream", "long_poll", "short_poll"] as const)("%s reads no more, and is answered", async (way) => {
    const set = await greeted(way);
    const body = stream();
    if (way === "sse" || way === "stream") set.last().answer(body.body);
    else set.last().answer({ cursor: "1", frames: [] });
    await settled();
    await body.write(way === "sse" ? ": ping\n\n" : "\n");
    set.transport.send(JSON.stringify({ type: "sync", id: 2, positions: {} }));
    const asked = set.last();
    set.transport.retire?.();
    const { length } = set.calls;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(set.calls).toHaveLength(length);
    expect(set.handlers.close).not.toHaveBeenCalled();
    asked.answer([{ type: "reply", id: 2, result: { behind: {} } }]);
    await settled();
    expect(set.messages.at(-1)).toMatchObject({ id: 2, result: { behind: {} } });
    set.transport.close();
    expect(set.handlers.close).toHaveBeenCalledOnce();
  });
});

describe("between polls", () => {
  test("pauses between polls leave no listeners behind", async () => {
    const added = vi.spyOn(AbortSignal.prototype, "addEventListener");
    const removed = vi.spyOn(AbortSignal.prototype, "removeEventListener");
    const set = await greeted("short_poll");
    // The fetch of the test listens, too.
    const own = (): number => added.mock.calls.length - removed.mock.calls.length - 2 * set.calls.length;
    for (let i = 0; i < 20; i++) {
      set.last().answer({ cursor: "c", frames: [] });
      await vi.advanceTimersByTimeAsync(2_000);
    }
    expect(set.calls.length).toBeGreaterThan(20);
    expect(own()).toBeLessThan(5);
    set.transport.close();
  });
});
