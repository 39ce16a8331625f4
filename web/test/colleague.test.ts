import { expect, test } from "vitest";
import { REST_AFTER_MS, Runner } from "../src/demo/colleague/runner.js";
import { SCRIPT, type Beat, type Script } from "../src/demo/colleague/script.js";

const SHORT: Script = {
  tour: [
    { do: "say", text: "Hi" },
    { do: "add", card: { title: "A card", column: "todo" } },
  ],
  idle: [{ do: "wander" }],
  away: ["You are gone", "Still"],
  back: "There you are",
  followed: "Here, too",
  answers: [{ to: /hello/i, say: "Hello!" }],
  otherwise: ["First", "Second"],
};

/** Time that passes when it is told to. */
class Time {
  nowMs = 0;
  readonly #timers = new Set<{ atMs: number; then: () => void }>();

  readonly now = (): number => this.nowMs;

  readonly after = (ms: number, then: () => void): (() => void) => {
    const timer = { atMs: this.nowMs + ms, then };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  get waits(): number {
    return this.#timers.size;
  }

  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
      if (!next) break;
      this.#timers.delete(next);
      this.nowMs = next.atMs;
      next.then();
    }
    this.nowMs = endMs;
  }
}

function setUp(script = SHORT) {
  const time = new Time();
  const done: string[] = [];
  let points = 0;
  const stage = {
    say: (text: string) => void done.push(text),
    type: (active: boolean) => void done.push(active ? "…" : "."),
    point: () => void points++,
    board: (beat: Beat) => (done.push(beat.do), { x: 0.1, y: 0.1 }),
    rest: (resting: boolean) => void done.push(resting ? "rests" : "wakes"),
  };
  const runner = new Runner(script, stage, time, () => 0.5);
  runner.start();
  return { time, runner, done, said: () => done.filter((what) => what !== "…" && what !== "."), points: () => points };
}

test("types before it speaks, then goes on with the tour, pointing", () => {
  const { time, done, points } = setUp();
  time.pass(1_000);
  expect(done).toEqual(["…"]);
  time.pass(10_000);
  expect(done).toEqual(["…", ".", "Hi", "add"]);
  expect(points()).toBeGreaterThan(5);
});

test("answers what it knows, and all else in turn, before going on", () => {
  const { time, runner, said } = setUp();
  time.pass(2_000);
  runner.heard("Hello there");
  runner.heard("what");
  runner.heard("ever");
  time.pass(12_000);
  expect(said()).toEqual(["Hi", "Hello!", "First", "Second", "add"]);
});

test("nothing that it has begun to type is lost when it is spoken to", () => {
  const { time, runner, said } = setUp();
  time.pass(900);
  runner.heard("hello");
  time.pass(3_000);
  expect(said()).toEqual(["Hi", "Hello!"]);
});

test("goes on talking to who has lost the connection, but not for ever", () => {
  const { time, runner, said } = setUp();
  time.pass(2_000);
  runner.away(true);
  time.pass(60_000);
  expect(said()).toEqual(["Hi", "You are gone", "Still"]);
  runner.away(false);
  time.pass(3_000);
  expect(said()).toEqual(["Hi", "You are gone", "Still", "There you are"]);
});

test("of a short loss nothing is said", () => {
  const { time, runner, said } = setUp();
  time.pass(2_000);
  runner.away(true);
  time.pass(100);
  runner.away(false);
  time.pass(3_000);
  expect(said()).toEqual(["Hi", "add"]);
});

test("rests when the user does nothing for long, and wakes with it", () => {
  const { time, runner, said } = setUp();
  time.pass(REST_AFTER_MS - 60_000);
  runner.seen();
  time.pass(REST_AFTER_MS - 20_000);
  expect(said()).not.toContain("rests");
  time.pass(60_000);
  expect(said().at(-1)).toBe("rests");
  expect(time.waits).toBe(0);
  runner.heard("hello");
  time.pass(3_000);
  expect(said().slice(-2)).toEqual(["wakes", "Hello!"]);
});

test("comes along to another room", () => {
  const { time, runner, said } = setUp();
  time.pass(2_000);
  runner.followed();
  time.pass(3_000);
  expect(said()).toEqual(["Hi", "Here, too"]);
});

test("sent home it does nothing more", () => {
  const { time, runner, done } = setUp();
  time.pass(1_000);
  runner.stop();
  time.pass(60_000);
  expect(done).toEqual(["…", "."]);
  expect(time.waits).toBe(0);
});

test("the real script plays through, and then over and over", () => {
  const { time, runner, said } = setUp(SCRIPT);
  for (let minute = 0; minute < 10; minute++) {
    runner.seen();
    time.pass(60_000);
  }
  const texts = SCRIPT.tour.flatMap((beat) => (beat.do === "say" ? [beat.text] : []));
  expect(said().filter((what) => texts.includes(what))).toEqual(texts);
  expect(said().filter((what) => what === "move").length).toBeGreaterThan(3);
});
