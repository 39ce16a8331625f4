// The frames that the server's tests hold their models against, held against this client.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import schema from "../../../docs/schemas/frames.json";
import golden from "../../../tests/golden/frames.json";
import { Tidewire } from "../src/index.js";
import { settled, type Frame } from "./fakes.js";
import { Server } from "./server.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const examples = golden as { name: string; kind: string; frame: Frame }[];

function of(kind: string): [string, Frame][] {
  return examples.filter((example) => example.kind === kind).map(({ name, frame }) => [name, frame]);
}

function setUp() {
  const server = new Server();
  const onError = vi.fn();
  const client = new Tidewire({
    websocketUrl: "ws://server/v1/ws",
    transports: ["websocket"],
    getToken: async () => "good",
    WebSocket: server.WebSocket,
    random: () => 0,
    onError,
  });
  return { server, client, onError };
}

/** Do everything that the client can, on a connection that breaks once; return what it sent. */
async function everything(): Promise<Frame[]> {
  const { server, client } = setUp();
  const channel = client.channel("room:a");
  await channel.subscribe({ history: 2 });
  await channel.publish("said", { text: "x" });
  await channel.publish("said", null, { priority: "high", ephemeral: true, messageId: "m" });
  server.cutAll();
  server.instead.set("publish", () => (server.instead.delete("publish"), server.cutAll(), null));
  const repeated = channel.publish("said", 1);
  await vi.advanceTimersByTimeAsync(10_000);
  await repeated;
  await channel.history({ since: { epoch: "e1", offset: 0 }, limit: 10, reverse: true });
  await channel.unsubscribe();
  client.close();
  return server.requests;
}

describe("what the client sends has the fields that the server reads", async () => {
  vi.useFakeTimers();
  const sent = await everything();
  vi.useRealTimers();

  test.each(["Hello", "Subscribe", "Unsubscribe", "Publish", "History", "Sync"] as const)("%s", (model) => {
    const { required } = schema.$defs[model];
    const known = of("request").flatMap(([, frame]) => (frame["type"] === model.toLowerCase() ? [frame] : []));
    const requests = sent.filter((request) => request["type"] === model.toLowerCase());
    expect(requests).not.toEqual([]);
    for (const request of requests) {
      expect(Object.keys(request)).toEqual(expect.arrayContaining(required));
      for (const [key, value] of Object.entries(request)) {
        if (key === "id" || key === "data") continue; // of any type
        expect(known.map((frame) => typeof frame[key])).toContain(typeof value);
      }
    }
  });
});

describe("what the server sends is understood", () => {
  test.each(of("reply"))("%s", async (_name, frame) => {
    const { server, client, onError } = setUp();
    client.connect();
    await settled();
    server.instead.set("history", () => null);
    const answer = client
      .channel("room:a")
      .history()
      .catch((error: unknown) => error);
    await settled();
    const id = frame["id"] === null ? null : server.asked("history")[0]?.["id"];
    server.last.say({ ...frame, id });
    await vi.advanceTimersByTimeAsync(10_000);
    const { code = 2002, retry_after_ms } = (id === null ? {} : (frame["error"] ?? {})) as Frame;
    expect(await answer).toMatchObject(frame["result"] ?? { code, retryAfterMs: retry_after_ms });
    expect(onError).not.toHaveBeenCalled();
    client.close();
  });

  test.each(of("push"))("%s", async (_name, frame) => {
    const { server, client, onError } = setUp();
    const states = vi.fn();
    const heard: unknown[] = [];
    const channel = client.channel("room:a");
    channel.on("*", (event) => heard.push(event));
    await channel.subscribe();
    client.onState(states);
    Object.assign(server.stream("room:a"), { epoch: frame["epoch"] ?? "e1" });
    server.last.say([frame, frame]);
    await settled();
    const comesBack = frame["event"] === "superseded" || frame["code"] === 3500;
    if (comesBack) expect(states).toHaveBeenCalledWith("reconnecting", undefined);
    else if (frame["event"] === "disconnect") expect(states).toHaveBeenCalledWith("closed", expect.anything());
    else expect(states).not.toHaveBeenCalled();
    if (frame["ephemeral"]) expect(heard).toEqual([frame, frame]);
    expect(onError).not.toHaveBeenCalled();
    client.close();
  });
});
