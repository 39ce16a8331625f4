// Whatever a server says, the client throws nothing, and goes on working. Vitest fails a run with unhandled rejections.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Tidewire } from "../src/index.js";
import { event, seeded, settled } from "./fakes.js";
import { Server } from "./server.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const WORDS = [
  ...["type", "id", "event", "reply", "system", "pong", "result", "error", "channel", "room:a", "e1", "said", "*"],
  ...["disconnect", "code", "after_ms", "offset", "prev_offset", "epoch", "publications", "position", "recovered"],
  ...["more", "behind", "sender", "data", "name", "retryable", "retry_after_ms", "__proto__", "constructor", ""],
];
const ASKED = [
  ...["hello", "subscribe", "publish", "history", "sync", "command", "result"],
  ...["state.get", "state.patch", "presence.get", "presence.update", "typing"],
];
const NUMBERS = [0, 1, 2, 3, 5, -1, 0.5, 1005, 2001, 3000, 1e21, Number.MAX_SAFE_INTEGER];

const MEMBER = { user_id: "bob", status: "online", active: true, data: null, connections: 1 };

type Random = () => number;

function one<T>(items: readonly T[], random: Random): T {
  return items[Math.floor(random() * items.length)] as T;
}

function anything(random: Random, depth = 0): unknown {
  const kind = Math.floor(random() * (depth > 3 ? 4 : 6));
  if (kind === 0) return one(WORDS, random);
  if (kind === 1) return one(NUMBERS, random);
  if (kind === 2) return one([null, true, false], random);
  if (kind === 3) return random() < 0.5 ? {} : [];
  const size = Math.floor(random() * 4);
  if (kind === 4) return Array.from({ length: size }, () => anything(random, depth + 1));
  return Object.fromEntries(Array.from({ length: size }, () => [one(WORDS, random), anything(random, depth + 1)]));
}

/** A frame of ours with something of it replaced, left out or added. */
function spoilt(frame: object, random: Random): unknown {
  const copy = structuredClone(frame) as Record<string, unknown>;
  const key = one(Object.keys(copy), random);
  const how = random();
  if (how < 0.3) delete copy[key];
  else if (how < 0.5) copy[one(WORDS, random)] = anything(random);
  else if (how < 0.7 && typeof copy[key] === "object" && copy[key] && Object.keys(copy[key]).length > 0) {
    copy[key] = spoilt(copy[key], random);
  } else copy[key] = anything(random);
  return copy;
}

function message(random: Random, id: number): unknown {
  const position = { epoch: "e1", offset: one(NUMBERS, random) };
  const publications = [event(1), event(2), event(3)];
  const results = [
    { channel: "room:a", position, recovered: random() < 0.5, publications, more: true },
    { publications, position, more: true },
    { behind: { "room:a": position } },
    { documents: { k: { version: 2, value: { a: 1 } } }, more: true },
    { version: one(NUMBERS, random), value: { a: 1 }, resolution: "applied" },
    { members: [MEMBER], count: 1, version: one(NUMBERS, random) },
    { message_id: "m1", status: "accepted" },
  ];
  const frames = [
    event(one(NUMBERS, random)),
    { type: "reply", id, result: one(results, random) },
    { type: "reply", id, result: spoilt(one(results, random), random) },
    { type: "reply", id, error: { code: 1000, name: "bad_frame", message: "no", retryable: random() < 0.5 } },
    { type: "system", event: "disconnect", code: 3000, name: "max_age", reconnect: true, after_ms: 0 },
    { type: "pong", id },
    { type: "receipt", channel: "room:a", message_id: "m1", status: "stored", position },
    { type: "command", command_id: "c", name: "said", data: 1, sender: { user_id: "b" }, expires_at_ms: 9e15 },
    { type: "state", channel: "room:a", key: "k", version: one(NUMBERS, random), patch: { a: 1 }, updated_by: "b" },
    { type: "presence", channel: "room:a", event: "join", member: MEMBER, count: 1, version: one(NUMBERS, random) },
    { type: "typing", channel: "room:a", user_id: "bob", active: random() < 0.5 },
    { type: "system", event: "superseded" },
    { message: "Internal server error", connectionId: "c1", requestId: "r1" },
  ];
  const how = random();
  if (how < 0.2) return anything(random);
  if (how < 0.25) return one(["", "{", "nonsense", '"', "[", "[1,", "\u0000"], random);
  if (how < 0.4) return one(frames, random);
  if (how < 0.5) return [spoilt(one(frames, random), random), one(frames, random), anything(random)];
  return spoilt(one(frames, random), random);
}

test.each(Array.from({ length: 60 }, (_, seed) => seed))("(seed %i)", async (seed) => {
  const random = seeded(seed + 1_000);
  const server = new Server();
  const client = new Tidewire({
    websocketUrl: "ws://server/v1/ws",
    transports: ["websocket"],
    getToken: async () => "good",
    WebSocket: server.WebSocket,
    random,
    onError: () => undefined,
  });
  const channel = client.channel("room:a");
  channel.subscribe({ history: 2 }).catch(() => undefined);
  channel.onReceipt(() => undefined);
  channel.presence.join().catch(() => undefined);
  client.onCommand("said", (data) => data);
  await settled();
  for (let step = 0; step < 60; step++) {
    if (random() < 0.3) channel.publish("said", step).catch(() => undefined);
    if (random() < 0.2) channel.history().catch(() => undefined);
    if (random() < 0.2) {
      channel
        .document("k")
        .patch({ step })
        .catch(() => undefined);
    }
    if (random() < 0.1) channel.presence.update({ status: "busy" }).catch(() => undefined);
    if (random() < 0.1) channel.presence.type();
    if (random() < 0.1) client.command("said").catch(() => undefined);
    // What the server answers itself is spoilt as well.
    server.instead.set(one(ASKED, random), () => anything(random));
    if (random() < 0.5) server.instead.clear();
    const said = message(random, Number(server.requests.at(-1)?.["id"] ?? 0) + (random() < 0.3 ? 1 : 0));
    const text = typeof said === "string" ? said : JSON.stringify(said);
    expect(() => server.last.onmessage?.({ data: text })).not.toThrow();
    if (client.state === "closed") client.connect();
    await vi.advanceTimersByTimeAsync(random() * 2_000);
  }

  server.instead.clear();
  if (client.state === "closed") client.connect();
  server.cutAll();
  await vi.advanceTimersByTimeAsync(400_000); // what is uncertain is given up by then
  expect(client.state).toBe("connected");
  await client.channel("room:b").subscribe();
  await client.channel("room:b").publish("said", "still here");
  client.close();
});
