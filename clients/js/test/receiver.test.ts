// The receiving rules: golden scenarios that every client is held to, and a network that does its worst.

import { describe, expect, test } from "vitest";
import golden from "../../../tests/golden/receiver.json";
import type { Event, HistoryResult, Position, Publication } from "../src/generated/frames.js";
import { Receiver, type Action, type AskHistory, type AskSync, type Positions } from "../src/receiver.js";
import { publication, seeded, type Frame } from "./fakes.js";

const CHANNEL = "room:a";

interface Step {
  readonly call: string;
  readonly channel?: string;
  readonly at_ms?: number;
  readonly event?: Partial<Event>;
  readonly result?: Frame & { readonly publications: Partial<Publication>[] };
  readonly positions?: Positions;
  readonly actions?: unknown[];
  readonly next_tick_ms?: number | null;
}

/** Fill in what a scenario leaves out of an event. */
function full(fields: Partial<Event>): Event {
  const sender = { user_id: "ann", connection_id: null };
  const base = { channel: CHANNEL, name: "said", data: null, epoch: "e", prev_offset: 0, published_at_ms: 0, sender };
  return { type: "event", ...base, priority: "normal", message_id: `m${fields.offset}`, ...fields };
}

/** An action as the scenarios write it. */
function toWire(action: Action): unknown {
  switch (action.kind) {
    case "deliver":
      return { deliver: action.event.offset ?? action.event.message_id };
    case "startOver":
      return { start_over: action.channel, position: action.position };
    case "askHistory":
      return { history: action.channel, since: action.since };
    case "askSync":
      return { sync: action.positions };
  }
}

function take(receiver: Receiver, step: Step): Action[] | void {
  const { call, channel = CHANNEL, at_ms: nowMs = 0, event, result, positions } = step;
  const answer = { channel, ...result, publications: result?.publications.map(full) } as never;
  switch (call) {
    case "open":
      return receiver.open(channel);
    case "close":
      return receiver.close(CHANNEL);
    case "subscribed":
      return receiver.subscribed(answer, nowMs);
    case "event":
      return receiver.event(full(event ?? {}), nowMs);
    case "filled":
      return receiver.filled(CHANNEL, answer, nowMs);
    case "not_filled":
      return receiver.notFilled(CHANNEL, nowMs);
    case "behind":
      return receiver.behind(positions ?? {});
    case "not_synced":
      return receiver.notSynced(positions ?? {}, nowMs);
    case "tick":
      return receiver.tick(nowMs);
    default:
      throw new Error(`no such call: ${call}`);
  }
}

describe("golden", () => {
  const scenarios = (golden as unknown as { name: string; steps: Step[] }[]).map(({ name, steps }) => [name, steps]);

  test.each(scenarios as [string, Step[]][])("%s", (_name, steps) => {
    const receiver = new Receiver(() => 0);
    steps.forEach((step, index) => {
      const actions = take(receiver, step) ?? [];
      expect(actions.map(toWire), `step ${index}: ${step.call}`).toEqual(step.actions ?? []);
      if ("next_tick_ms" in step) {
        const nextTickMs = step.next_tick_ms ?? Infinity;
        expect(receiver.nextTickMs(), `step ${index}: ${step.call}`).toBe(nextTickMs);
      }
    });
  });
});

function standing(offset = 0): Receiver {
  const receiver = new Receiver();
  receiver.open(CHANNEL);
  receiver.subscribed({ channel: CHANNEL, position: { epoch: "e1", offset }, recovered: false, publications: [] }, 0);
  return receiver;
}

function push(receiver: Receiver, offset: number, fields: Partial<Event> = {}): Action[] {
  return receiver.event({ type: "event", ...publication(offset), ...fields }, 0);
}

test("a hole is asked for with all that one answer may hold", () => {
  const receiver = standing();
  push(receiver, 2);
  expect(receiver.tick(1_000)).toMatchObject([{ kind: "askHistory", limit: 300 }]);
});

test("a fill that goes on failing is tried every minute", () => {
  const receiver = standing();
  push(receiver, 2);
  let nowMs = 60_000;
  for (let failures = 0; failures < 20; failures++, nowMs += 60_000) {
    expect(receiver.tick(nowMs)).toContainEqual(expect.objectContaining({ kind: "askHistory" }));
    receiver.notFilled(CHANNEL, nowMs);
  }
  expect(receiver.nextTickMs()).toBe(nowMs);
});

test("those who hear the same push do not all ask at the same moment", () => {
  const asksAtMs = (random: number): number => {
    const receiver = new Receiver(() => random);
    receiver.open(CHANNEL);
    const position = { epoch: "e1", offset: 0 };
    receiver.subscribed({ channel: CHANNEL, position, recovered: false, publications: [] }, 1_000);
    return receiver.nextTickMs();
  };
  expect([0, 0.5, 1].map(asksAtMs)).toEqual([6_000, 7_250, 8_500]);
});

test("many channels are synced a hundred at a time", () => {
  const receiver = new Receiver();
  for (let n = 0; n < 250; n++) {
    receiver.open(`room:${n}`);
    const position = { epoch: "e1", offset: n };
    receiver.subscribed({ channel: `room:${n}`, position, recovered: false, publications: [] }, 0);
  }
  const asked = receiver.sync().map((action) => Object.keys((action as AskSync).positions).length);
  expect(asked).toEqual([100, 100, 50]);
});

test("what is kept back behind a hole is bounded, and history has the rest", () => {
  const receiver = standing();
  for (let offset = 2; offset <= 1_500; offset++) push(receiver, offset);
  expect(push(receiver, 1)).toEqual([]);
  receiver.tick(1_000);
  const position = { epoch: "e1", offset: 1_500 };
  const publications = Array.from({ length: 300 }, (_, index) => publication(index + 1));
  const actions = receiver.filled(CHANNEL, { publications, position, more: true }, 1_000);
  expect(actions.filter(({ kind }) => kind === "deliver")).toHaveLength(300);
  const rest = Array.from({ length: 1_200 }, (_, index) => publication(index + 301));
  const others = receiver.filled(CHANNEL, { publications: rest, position, more: false }, 1_000);
  expect(others.filter(({ kind }) => kind === "deliver")).toHaveLength(1_200);
  expect(receiver.since(CHANNEL)).toEqual(position);
});

test("of long ago no repeat is known, so that what is remembered is bounded", () => {
  const receiver = standing();
  for (let offset = 1; offset <= 501; offset++) push(receiver, offset);
  expect(push(receiver, 502, { message_id: "m2" })).toEqual([]);
  expect(push(receiver, 503, { message_id: "m1" })).toHaveLength(1);
});

test.each([{ offset: null }, { epoch: null }, { prev_offset: null }, { sender: null }])(
  "an event that lacks what it must have (%o) is a hole",
  (spoilt) => {
    const receiver = standing();
    expect(push(receiver, 1, spoilt as never)).toEqual([]);
    expect(push(receiver, 2)).toEqual([]);
    expect(push(receiver, 1)).toHaveLength(2);
  },
);

test("an end so far away that nobody could count up to it is no work", () => {
  const receiver = standing();
  const end = { epoch: "e1", offset: Number.MAX_SAFE_INTEGER - 1 };
  receiver.behind({ [CHANNEL]: end });
  receiver.filled(CHANNEL, { publications: [], position: end, more: false }, 0);
  expect(receiver.since(CHANNEL)).toEqual(end);
});

describe("whatever the network does", () => {
  const PRIORITIES = ["express", "high", "normal", "low"] as const;

  /** A log, a subscriber's receiver, and a way between them that loses, repeats and reorders. */
  class Network {
    readonly receiver = new Receiver();
    readonly log: Publication[] = [];
    readonly pushes: Publication[] = [];
    readonly delivered: Event[] = [];
    readonly startedOver: Position[] = [];
    epoch = 1;
    droppedBelow = 0; // retention
    #asked: (AskHistory | AskSync)[] = [];
    #nowMs = 0;

    get position(): Position {
      return { epoch: `e${this.epoch}`, offset: this.log.length };
    }

    publish(priority: (typeof PRIORITIES)[number]): void {
      const prev_offset = this.log.findLast((entry) => entry.priority === priority)?.offset ?? 0;
      const entry = publication(this.log.length + 1, { epoch: `e${this.epoch}`, priority, prev_offset });
      this.log.push(entry);
      this.pushes.push(entry);
    }

    /** Push one; it stands for up to `covers` that follow each other in the log with its priority. */
    push(index: number, covers = 1): void {
      const event = this.pushes[index];
      if (!event) return;
      let first = event;
      while (--covers > 0 && event.epoch === this.position.epoch) {
        const before = this.log[first.offset - 2];
        if (before?.priority === event.priority) first = before;
      }
      const { offset: covers_from, prev_offset } = first;
      const conflated = first === event ? {} : { covers_from, prev_offset };
      this.#take(this.receiver.event({ type: "event", ...event, ...conflated }, this.#nowMs));
    }

    subscribe(limit: number): void {
      this.#asked = [];
      this.receiver.open(CHANNEL);
      const since = this.receiver.since(CHANNEL);
      const recovered = since?.epoch === this.position.epoch && since.offset >= this.droppedBelow;
      const rest = recovered ? this.log.slice(since.offset) : [];
      const more = rest.length > limit ? { more: true as const } : {};
      const answer = { channel: CHANNEL, position: this.position, recovered, publications: rest.slice(0, limit) };
      this.#take(this.receiver.subscribed({ ...answer, ...more }, this.#nowMs));
    }

    answer(limit: number): void {
      const asked = this.#asked.shift();
      if (asked?.kind === "askHistory") {
        this.#take(this.receiver.filled(CHANNEL, this.#history(asked.since, limit), this.#nowMs));
      } else if (asked) {
        const known = asked.positions[CHANNEL] as Position;
        const behind = known.epoch !== this.position.epoch || known.offset < this.log.length;
        this.#take(this.receiver.behind(behind ? { [CHANNEL]: this.position } : {}));
      }
    }

    refuse(): void {
      const asked = this.#asked.shift();
      if (asked?.kind === "askHistory") this.receiver.notFilled(CHANNEL, this.#nowMs);
      else if (asked) this.receiver.notSynced(asked.positions, this.#nowMs);
    }

    wait(ms: number): void {
      this.#nowMs += ms;
      this.#take(this.receiver.tick(this.#nowMs));
    }

    purge(): void {
      this.epoch++;
      this.log.length = this.droppedBelow = 0;
    }

    /** Nothing is published any more, what is asked is answered, and in the end the idle heartbeat comes. */
    quiesce(): void {
      this.#rest();
      this.#take(this.receiver.sync());
      this.#rest();
    }

    #rest(): void {
      for (let turn = 0; turn < 1_000; turn++) {
        while (this.#asked.length > 0) this.answer(300);
        const dueMs = this.receiver.nextTickMs();
        if (dueMs === Infinity) return;
        this.wait(Math.max(0, dueMs - this.#nowMs));
      }
      throw new Error("it never comes to rest");
    }

    #history(since: Position, limit: number): HistoryResult {
      const { position } = this;
      if (since.epoch !== position.epoch) return { publications: [], position, more: false };
      const rest = this.log.filter(({ offset }) => offset > Math.max(since.offset, this.droppedBelow));
      return { publications: rest.slice(0, limit), position, more: rest.length > limit };
    }

    #take(actions: Action[]): void {
      for (const action of actions) {
        if (action.kind === "deliver") this.delivered.push(action.event);
        else if (action.kind === "startOver") this.startedOver.push(action.position);
        else this.#asked.push(action);
      }
    }
  }

  interface Trouble {
    readonly forgets?: boolean;
    readonly purges?: boolean;
    readonly conflates?: boolean;
  }

  function run(seed: number, { forgets, purges, conflates }: Trouble = {}): Network {
    const random = seeded(seed);
    const upTo = (limit: number): number => Math.floor(random() * limit);
    const network = new Network();
    network.publish("normal");
    network.subscribe(5);
    const moves = [
      () => network.publish(PRIORITIES[upTo(4)] as (typeof PRIORITIES)[number]),
      () => network.publish("normal"),
      () => network.push(upTo(network.pushes.length), conflates ? 1 + upTo(4) : 1), // and perhaps once more later
      () => network.pushes.splice(upTo(network.pushes.length), 1), // lost, or pushed once
      () => network.answer(1 + upTo(5)),
      () => network.refuse(),
      () => random() < 0.3 && network.subscribe(upTo(6)),
      () => network.wait(1 + upTo(4_000)),
      () => forgets && (network.droppedBelow = Math.min(network.droppedBelow + 1 + upTo(3), network.log.length)),
      () => purges && random() < 0.2 && network.purge(),
    ];
    for (let step = upTo(120); step > 0; step--) moves[upTo(moves.length)]?.();
    network.quiesce();
    return network;
  }

  /** The offsets from the second on: the first was published before the subscription. */
  function all({ log }: Network): number[] {
    return log.slice(1).map(({ offset }) => offset);
  }

  function ascending(offsets: readonly unknown[]): unknown[] {
    return [...offsets].sort((a, b) => (a as number) - (b as number));
  }

  function expectEachOnceInOrder({ delivered }: Network): void {
    expect(new Set(delivered.map(({ epoch, offset }) => `${epoch} ${offset}`)).size).toBe(delivered.length);
    for (const epoch of new Set(delivered.map((event) => event.epoch))) {
      for (const priority of PRIORITIES) {
        const lane = delivered.filter((event) => event.epoch === epoch && event.priority === priority);
        const offsets = lane.map(({ offset }) => offset);
        expect(offsets).toEqual(ascending(offsets));
      }
    }
  }

  const seeds = Array.from({ length: 300 }, (_, seed) => seed);

  test("each comes once, and in the order of its priority", () => {
    for (const seed of seeds) {
      const network = run(seed);
      expectEachOnceInOrder(network);
      expect(network.startedOver).toEqual([]);
      expect(ascending(network.delivered.map(({ offset }) => offset))).toEqual(all(network));
    }
  });

  test("what the log has lost is told, and nothing else is missed", () => {
    for (const seed of seeds) {
      const network = run(seed, { forgets: true });
      expectEachOnceInOrder(network);
      const delivered = new Set(network.delivered.map(({ offset }) => offset));
      const missed = all(network).filter((offset) => !delivered.has(offset));
      const told = Math.max(0, ...network.startedOver.map(({ offset }) => offset));
      expect(Math.max(0, ...missed)).toBeLessThanOrEqual(told);
      if (network.droppedBelow === 0) expect(told).toBe(0);
    }
  });

  test("a stream that is replaced is told, and the new one misses nothing behind its beginning", () => {
    for (const seed of seeds) {
      const network = run(seed, { purges: true });
      expectEachOnceInOrder(network);
      const { epoch } = network.position;
      const begun = network.startedOver.findLast((position) => position.epoch === epoch);
      if (network.epoch === 1) expect(network.startedOver).toEqual([]);
      else expect(begun).toBeDefined();
      const delivered = network.delivered.filter((event) => event.epoch === epoch).map(({ offset }) => offset);
      const from = begun ? begun.offset + 1 : 2;
      expect(ascending(delivered)).toEqual(network.log.slice(from - 1).map(({ offset }) => offset));
    }
  });

  test("what a conflated event stands for is not missed, and nothing comes twice", () => {
    for (const seed of seeds) {
      const network = run(seed, { conflates: true });
      expectEachOnceInOrder(network);
      expect(network.startedOver).toEqual([]);
      expect(network.receiver.since(CHANNEL)).toEqual(network.position);
      const stoodFor = network.delivered.flatMap(({ offset, covers_from }) => {
        const from = (covers_from ?? offset) as number;
        return Array.from({ length: (offset as number) - from + 1 }, (_, index) => from + index);
      });
      expect(new Set(stoodFor)).toEqual(new Set([...stoodFor, ...all(network)]));
    }
  });
});
