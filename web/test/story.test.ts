import { expect, test } from "vitest";
import type { NetworkState } from "../src/demo/network/network.js";
import { duration, Story } from "../src/demo/network/story.js";
import { Waiting } from "../src/demo/network/waiting.js";

const CALM: NetworkState = { online: true, choice: "best", kills: 0 };

function setUp() {
  let nowMs = 100_000;
  const waiting = new Waiting();
  const story = new Story(CALM, waiting.getSnapshot(), () => nowMs);
  waiting.subscribe(() => story.waiting(waiting.getSnapshot()));
  const texts = () => story.getSnapshot().lines.map(({ text }) => text);
  return { story, waiting, texts, pass: (ms: number) => (nowMs += ms), now: () => nowMs };
}

test("offline, and back: how long, what was sent, and what was recovered", async () => {
  const { story, waiting, texts, pass, now } = setUp();
  story.connection("connected", "websocket");
  story.network({ ...CALM, online: false });
  story.connection("reconnecting", "websocket");
  expect(story.getSnapshot().lostAtMs).toBe(now());
  let answer = (): void => undefined;
  const queued = waiting.track(new Promise<void>((resolve) => (answer = resolve)));
  pass(12_300);
  story.connection("connected", "sse");
  expect(texts()).toEqual(["The network is gone. What you do now waits.", "Back by SSE after 12 s"]);
  story.event(now() - 5_000);
  story.event(now() - 1);
  story.event(now() + 1); // published since
  answer();
  await queued;
  expect(texts().at(-1)).toBe("Back by SSE after 12 s · 1 sent · 2 recovered");
  expect(story.getSnapshot()).toMatchObject({ reconnects: 1, recovered: 2, lostAtMs: undefined });
});

test("each loss is told for itself", () => {
  const { story, texts, pass, now } = setUp();
  story.connection("connected", "websocket");
  story.event(now() - 1);
  story.connection("reconnecting", "websocket");
  pass(400);
  story.connection("connected", "websocket");
  story.event(now() - 1);
  story.connection("reconnecting", "websocket");
  story.event(now() - 1); // still in its way when the connection went
  pass(1_000);
  story.connection("connected", "long_poll");
  expect(texts()).toEqual(["Back by WebSocket after 0.4 s · 1 recovered", "Back by Long polling after 1.0 s"]);
  expect(story.getSnapshot()).toMatchObject({ reconnects: 2, recovered: 0 });
});

test("what the user does to the network, and a way found without a loss", () => {
  const { story, texts } = setUp();
  story.connection("connecting", undefined);
  story.connection("connected", "sse");
  story.network({ ...CALM, choice: "stream" });
  story.network({ ...CALM, choice: "best", kills: 1 });
  story.connection("connected", "websocket");
  expect(texts()).toEqual([
    "Only HTTP stream gets through now.",
    "Every way is open again.",
    "The connection was killed.",
    "Moved on to WebSocket, without a loss.",
  ]);
});

test("what failed for good waits no longer, and was not sent", async () => {
  const { waiting } = setUp();
  await waiting.track(Promise.reject(new Error("refused"))).catch(() => undefined);
  expect(waiting.getSnapshot()).toEqual({ count: 0, settled: 0 });
});

test.each([
  [380, "0.4 s"],
  [9_960, "10.0 s"],
  [12_300, "12 s"],
  [65_000, "1 min 5 s"],
])("%d ms are %s", (ms, text) => expect(duration(ms)).toBe(text));
