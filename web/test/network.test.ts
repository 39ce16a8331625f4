import { expect, test } from "vitest";
import { Network } from "../src/demo/network/network.js";

class FakeSocket extends EventTarget {
  closed = false;
  constructor(readonly url: string) {
    super();
  }
  close(): void {
    this.closed = true;
  }
}

/** A network over another one on which every request hangs until it is aborted. */
function setUp() {
  const asked: string[] = [];
  let announced = 0;
  const network = new Network({
    fetch: (url, init) => {
      asked.push(String(url));
      return new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));
    },
    WebSocket: FakeSocket as unknown as typeof WebSocket,
    announce: () => void announced++,
  });
  const open = () => new network.WebSocket("ws://there") as unknown as FakeSocket;
  /** What is lost while nobody looks is no fault. */
  const quiet = (request: Promise<Response>) => (request.catch(() => undefined), request);
  const read = (accept: string, path = "/v1/stream") =>
    quiet(network.fetch(`http://there${path}`, { headers: { Accept: accept } }));
  return {
    network,
    asked,
    announced: () => announced,
    open,
    sse: () => read("text/event-stream"),
    stream: () => read("application/x-ndjson"),
    longPoll: () => read("application/json", "/frames?wait_s=25&cursor=c"),
    shortPoll: () => read("application/json", "/frames?wait_s=0"),
    post: () => quiet(network.fetch("http://there/v1/sessions", { method: "POST" })),
  };
}

const nextTask = () => new Promise((resolve) => setTimeout(resolve));

/** Whether it still hangs, after everything has happened that needs no time. */
async function hangs(request: Promise<unknown>): Promise<boolean> {
  return (await Promise.race([request.then(undefined, () => "failed"), nextTask()])) !== "failed";
}

test("without a network what is open is lost, and nothing gets through, until it is back", async () => {
  const { network, open, sse, post, announced, asked } = setUp();
  const socket = open();
  let closes = 0;
  socket.addEventListener("close", () => closes++);
  const [reading, posting] = [sse(), post()];
  network.setOnline(false);
  expect([socket.closed, closes, network.getSnapshot().online]).toEqual([true, 1, false]);
  expect([await hangs(reading), await hangs(posting), await hangs(post())]).toEqual([false, false, false]);
  expect(open).toThrow("Failed to fetch");
  expect([asked.length, announced()]).toEqual([2, 0]);
  network.setOnline(true);
  expect(announced()).toBe(1);
  expect(await hangs(post())).toBe(true);
  expect(open().closed).toBe(false);
});

test("one way alone: the others are lost and refused, what reads nothing goes on", async () => {
  const { network, open, sse, stream, longPoll, shortPoll, post, announced } = setUp();
  const socket = open();
  const [before, posting, polling] = [sse(), post(), longPoll()];
  network.force("sse");
  expect(socket.closed).toBe(true);
  expect([await hangs(before), await hangs(posting), await hangs(polling)]).toEqual([true, true, false]);
  expect([await hangs(sse()), await hangs(stream()), await hangs(longPoll()), await hangs(shortPoll())]).toEqual([
    true,
    false,
    false,
    false,
  ]);
  expect(open).toThrow();
  expect(announced()).toBeGreaterThan(0);
});

test("between two polls the change is noticed with the next one, and announced then", async () => {
  const { network, shortPoll, announced } = setUp();
  void shortPoll();
  network.force("sse");
  await nextTask();
  const before = announced();
  expect(await hangs(shortPoll())).toBe(false);
  await nextTask();
  expect(announced()).toBe(before + 1);
});

test("of the polls the client is told that it may not try them", () => {
  const { network } = setUp();
  expect(network.transports).toEqual(["websocket", "sse", "stream", "long_poll", "short_poll"]);
  network.force("long_poll");
  expect(network.transports).toEqual(["websocket", "sse", "stream", "long_poll"]);
});

test("all ways again: the one in use is given up for a better one, and may be taken again after that", async () => {
  const { network, open, sse } = setUp();
  network.force("sse");
  const reading = sse();
  network.force("best");
  expect(await hangs(reading)).toBe(false);
  expect(await hangs(sse())).toBe(false);
  open();
  expect(await hangs(sse())).toBe(true);
});

test("all ways again: what is the best stays", () => {
  const { network, open } = setUp();
  const socket = open();
  network.force("best");
  expect(socket.closed).toBe(false);
});

test("a connection is killed once", async () => {
  const { network, open, sse } = setUp();
  const socket = open();
  network.kill();
  expect(socket.closed).toBe(true);
  expect(network.getSnapshot().kills).toBe(1);
  expect(await hangs(sse())).toBe(true);
});

test("between two polls there is nothing to kill: the next one fails, once", async () => {
  const { network, shortPoll } = setUp();
  void shortPoll();
  network.kill();
  expect([await hangs(shortPoll()), await hangs(shortPoll())]).toEqual([false, true]);
});

test("the caller's own signal counts, too", async () => {
  const { network } = setUp();
  const own = new AbortController();
  const request = network.fetch("http://there/", { signal: own.signal });
  own.abort();
  await expect(request).rejects.toThrow("aborted");
});

test("listeners are told of each change until they stop", () => {
  const { network } = setUp();
  let told = 0;
  const stop = network.subscribe(() => told++);
  network.setOnline(false);
  network.setOnline(false);
  network.force("stream");
  stop();
  network.kill();
  expect(told).toBe(2);
});
