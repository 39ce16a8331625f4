import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { CommandError, Commands } from "../src/commands.js";
import { TidewireError, closed, uncertain } from "../src/errors.js";
import type { CommandPush } from "../src/generated/frames.js";
import { seeded, settled, wireError, type Frame } from "./fakes.js";

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

interface Sent {
  readonly request: Frame;
  readonly timeoutMs: number | undefined;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: TidewireError) => void;
}

function setUp() {
  const sent: Sent[] = [];
  const report = vi.fn();
  const commands = new Commands({
    ask: (request, timeoutMs) =>
      new Promise((resolve, reject) => {
        sent.push({ request: request as unknown as Frame, timeoutMs, resolve, reject });
      }),
    now: () => Date.now(),
    report,
    random: () => 0,
  });
  const results = (): Frame[] => sent.map(({ request }) => request);
  return { commands, sent, report, results, last: () => sent.at(-1) as Sent };
}

const SENDER = { user_id: "bob", connection_id: "c2" };

function command(fields: Partial<CommandPush> = {}): CommandPush {
  const base = { command_id: "k1", name: "move", data: { to: "e4" }, sender: SENDER, expires_at_ms: 1_010_000 };
  return { type: "command", ...base, ...fields };
}

function refused(error: Frame): TidewireError {
  return new TidewireError(wireError(error) as never);
}

function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error);
}

test("asks the server or a peer, and waits longer for the answer than the peer has", async () => {
  const { commands, sent, last } = setUp();
  const answer = commands.ask("dice.roll", { dice: 2 });
  expect(last().request).toEqual({ type: "command", name: "dice.roll", data: { dice: 2 }, timeout_ms: 10_000 });
  expect(last().timeoutMs).toBe(15_000);
  last().resolve({ data: { total: 7 } });
  expect(await answer).toEqual({ total: 7 });
  const refusing = outcome(commands.ask("move", undefined, { to: { user_id: "bob" }, timeoutMs: 25_000 }));
  const request = { type: "command", name: "move", data: null, timeout_ms: 25_000, to: { user_id: "bob" } };
  expect(last()).toMatchObject({ request, timeoutMs: 30_000 });
  last().reject(uncertain("no answer came"));
  expect(await refusing).toMatchObject({ code: 2002 });
  expect(sent.length).toBe(2); // it may have been done
});

test("what no frame can hold is not asked", async () => {
  const { commands, sent } = setUp();
  expect(await outcome(commands.ask("x", "ä".repeat(12_000)))).toMatchObject({ code: 1003 });
  expect(await outcome(commands.ask("x", () => 1))).toBeInstanceOf(TypeError);
  expect(sent).toEqual([]);
});

test.each([
  ["what it returns", () => ({ ok: true }), { ok: true }],
  ["what it resolves with", async () => "later", "later"],
  ["nothing", () => undefined, null],
])("answers with %s", async (_name, handler: () => unknown, data) => {
  const { commands, results, report, last } = setUp();
  const heard = vi.fn(handler);
  commands.on("move", heard);
  commands.push(command());
  expect(heard).toHaveBeenCalledWith({ to: "e4" }, { sender: SENDER, expiresAtMs: 1_010_000 });
  await settled();
  expect(results()).toEqual([{ type: "result", command_id: "k1", data }]);
  last().resolve({});
  await settled();
  expect([report.mock.calls.length, vi.getTimerCount()]).toEqual([0, 0]);
});

const circular: Frame = {};
circular["self"] = circular;

test.each([
  ["an error", new TypeError("no move"), { message: "no move" }, 1],
  ["no error at all", "secret", { message: "failed" }, 1],
  ["an error without words", new Error(), { message: "failed" }, 1],
  ["an error of many words", new Error("\u{1f600}".repeat(1_001)), { message: "\u{1f600}".repeat(1_000) }, 1],
  ["a command's error", new CommandError("not yet", { turn: 3 }), { message: "not yet", details: { turn: 3 } }, 0],
  ["one without details", new CommandError("not yet"), { message: "not yet" }, 0],
  ["details that are too much", new CommandError("not yet", { x: "x".repeat(8_000) }), { message: "not yet" }, 0],
  ["details that are no JSON", new CommandError("not yet", circular), { message: "not yet" }, 0],
])("tells of %s no more than its words", async (_name, thrown, error, reports) => {
  for (const handler of [
    () => {
      throw thrown;
    },
    () => Promise.reject(thrown),
  ]) {
    const { commands, results, report } = setUp();
    commands.on("move", handler);
    commands.push(command());
    await settled();
    expect(results()).toEqual([{ type: "result", command_id: "k1", error }]);
    expect(report).toHaveBeenCalledTimes(reports);
  }
});

test.each([
  ["is no JSON", () => () => 1, "the data is no JSON"],
  ["is too large", () => "ä".repeat(12_000), "24002 bytes is too much"],
  ["is a circle", () => circular, expect.stringContaining("circular")],
])("an answer that %s is an error", async (_name, handler: () => unknown, message) => {
  const { commands, results, report } = setUp();
  commands.on("move", handler);
  commands.push(command());
  await settled();
  expect(results()).toEqual([{ type: "result", command_id: "k1", error: { message } }]);
  expect(report).toHaveBeenCalledTimes(1);
});

test("a command without a handler, an expired one and a repeat are not run", async () => {
  const { commands, results } = setUp();
  const handler = vi.fn();
  const other = vi.fn();
  const stop = commands.on("move", handler);
  commands.push(command({ name: "other" }));
  commands.push(command({ expires_at_ms: 1_000_000 }));
  commands.push(command());
  commands.push(command());
  await settled();
  commands.push(command());
  expect(handler).toHaveBeenCalledTimes(1);
  expect(results().length).toBe(1);
  commands.on("move", other);
  stop(); // it has been replaced
  commands.push(command({ command_id: "k2" }));
  expect([handler.mock.calls.length, other.mock.calls.length]).toEqual([1, 1]);
  vi.setSystemTime(1_010_000); // what has expired is forgotten
  commands.push(command({ expires_at_ms: 1_020_000 }));
  expect(other).toHaveBeenCalledTimes(2);
  commands.on("move", handler)();
  commands.push(command({ command_id: "k3", expires_at_ms: 1_020_000 }));
  expect([handler.mock.calls.length, other.mock.calls.length]).toEqual([1, 2]);
});

test("a result is sent again until the command expires", async () => {
  const { commands, sent, last, report } = setUp();
  commands.on("move", () => 1);
  commands.push(command());
  await settled();
  last().reject(refused({ retry_after_ms: 4_000 }));
  await vi.advanceTimersByTimeAsync(3_999);
  expect(sent.length).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent.length).toBe(2);
  last().reject(uncertain("the connection ended"));
  await vi.advanceTimersByTimeAsync(250);
  expect(sent.length).toBe(3);
  last().reject(refused({ retry_after_ms: 6_000 }));
  await vi.advanceTimersByTimeAsync(60_000);
  expect([sent.length, vi.getTimerCount(), report.mock.calls.length]).toEqual([3, 0, 0]);
});

test("an answer that comes after the command has expired is not sent", async () => {
  const { commands, sent } = setUp();
  commands.on("move", () => new Promise((resolve) => setTimeout(resolve, 10_000)));
  commands.push(command());
  await vi.advanceTimersByTimeAsync(10_000);
  expect(sent).toEqual([]);
});

test.each([
  ["the first answer was another's", refused({ code: 1008, retryable: false }), 0],
  ["this connection is another than was asked", refused({ code: 1005, retryable: false }), 0],
  ["the client was closed", closed("the client is closed"), 0],
  ["the server can't read it", refused({ code: 1002, retryable: false }), 1],
])("a result that is refused since %s is not sent again", async (_name, error, reports) => {
  const { commands, sent, last, report } = setUp();
  commands.on("move", () => 1);
  commands.push(command());
  await settled();
  last().reject(error);
  await vi.advanceTimersByTimeAsync(10_000);
  expect([sent.length, report.mock.calls.length]).toEqual([1, reports]);
});

test.each(Array.from({ length: 20 }, (_, seed) => seed))(
  "whatever is said, nothing is thrown (seed %i)",
  async (seed) => {
    const random = seeded(seed);
    const { commands, sent } = setUp();
    commands.on("move", (data) => (random() < 0.5 ? data : Promise.reject(data)));
    const any = [null, undefined, 1, "move", "k1", {}, [], 1e21, -1, "__proto__", 1_005_000];
    for (let step = 0; step < 100; step++) {
      const key = ["command_id", "name", "data", "sender", "expires_at_ms"][Math.floor(random() * 5)] as string;
      commands.push({ ...command({ command_id: `k${step}` }), [key]: any[Math.floor(random() * any.length)] });
      const answer = outcome(commands.ask("x", step));
      await settled();
      for (const { resolve, reject } of sent.splice(0)) {
        if (random() < 0.5) resolve(any[Math.floor(random() * any.length)]);
        else reject(refused({ code: any[Math.floor(random() * any.length)], retryable: random() < 0.3 }));
      }
      await answer;
      await vi.advanceTimersByTimeAsync(random() * 300);
    }
  },
);
