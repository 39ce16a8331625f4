import { describe, expect, test } from "vitest";
import type { Publication } from "../src/generated/frames.js";
import { Receiver } from "../src/receiver.js";
import { publication, seeded, shuffled } from "./fakes.js";

function receiver(offset = 0): Receiver {
  const made = new Receiver();
  made.reset({ epoch: "e1", offset });
  return made;
}

function offsets(publications: readonly Publication[]): number[] {
  return publications.map(({ offset }) => offset);
}

test("events in order are handed over one by one", () => {
  const r = receiver();
  expect(offsets(r.receive(publication(1)))).toEqual([1]);
  expect(offsets(r.receive(publication(2)))).toEqual([2]);
  expect(r.position).toEqual({ epoch: "e1", offset: 2 });
  expect(r.hasGap).toBe(false);
});

test("an event waits for the one before it, and both then come in order", () => {
  const r = receiver();
  expect(r.receive(publication(2))).toEqual([]);
  expect(r.hasGap).toBe(true);
  expect(offsets(r.receive(publication(1)))).toEqual([1, 2]);
  expect(r.hasGap).toBe(false);
});

test("an event that was seen, waits, or lies before the beginning is dropped", () => {
  const r = receiver(4);
  expect(r.receive(publication(4))).toEqual([]);
  expect(offsets(r.receive(publication(5)))).toEqual([5]);
  expect(r.receive(publication(5))).toEqual([]);
  r.receive(publication(7));
  r.receive(publication(7));
  expect(offsets(r.receive(publication(6)))).toEqual([6, 7]);
});

test("a higher priority overtakes a hole in a lower one", () => {
  const r = receiver();
  r.receive(publication(1));
  expect(r.receive(publication(3, { prev_offset: 2 }))).toEqual([]);
  expect(offsets(r.receive(publication(4, { priority: "high", prev_offset: 0 })))).toEqual([4]);
  expect(r.position.offset).toBe(1);
  expect(offsets(r.receive(publication(2)))).toEqual([2, 3]);
  expect(r.position.offset).toBe(4);
});

test("an event of another stream is foreign and changes nothing", () => {
  const r = receiver(3);
  const other = publication(4, { epoch: "e2" });
  expect(r.isForeign(other)).toBe(true);
  expect(r.receive(other)).toEqual([]);
  expect(r.position).toEqual({ epoch: "e1", offset: 3 });
});

test("giving up on what is not kept hands over what waited for it, in order", () => {
  const r = receiver();
  r.receive(publication(3));
  r.receive(publication(5, { prev_offset: 4 }));
  expect(offsets(r.settle(4))).toEqual([3, 5]);
  expect(r.position.offset).toBe(5);
  expect(r.hasGap).toBe(false);
});

test("settling what is settled, or a far end, is no work", () => {
  const r = receiver(10);
  expect(r.settle(4)).toEqual([]);
  expect(r.position.offset).toBe(10);
  r.settle(Number.MAX_SAFE_INTEGER - 1);
  expect(r.position.offset).toBe(Number.MAX_SAFE_INTEGER - 1);
});

test("a reset forgets what waited", () => {
  const r = receiver();
  r.receive(publication(5));
  r.reset({ epoch: "e2", offset: 9 });
  expect(r.hasGap).toBe(false);
  expect(offsets(r.receive(publication(10, { epoch: "e2" })))).toEqual([10]);
});

describe("whatever the network does", () => {
  const PRIORITIES = ["high", "normal", "low"] as const;

  function stream(length: number, random: () => number): Publication[] {
    const last = new Map<string, number>();
    return Array.from({ length }, (_, index) => {
      const priority = PRIORITIES[Math.floor(random() * PRIORITIES.length)] as (typeof PRIORITIES)[number];
      const prev_offset = last.get(priority) ?? 0;
      last.set(priority, index + 1);
      return publication(index + 1, { priority, prev_offset });
    });
  }

  /** The rule itself, slowly: may this be handed over after those? */
  function mayFollow(event: Publication, before: readonly number[], settled: number): boolean {
    return !before.includes(event.offset) && (event.prev_offset <= settled || before.includes(event.prev_offset));
  }

  test.each(Array.from({ length: 60 }, (_, seed) => seed))("each once, in order per priority (seed %i)", (seed) => {
    const random = seeded(seed);
    const all = stream(1 + Math.floor(random() * 40), random);
    const begin = Math.floor(random() * all.length);
    const lost = new Set(all.filter(() => random() < 0.1).map(({ offset }) => offset));
    const pushed = all.filter(({ offset }) => !lost.has(offset));
    const arriving = shuffled([...pushed, ...pushed.filter(() => random() < 0.3)], random);

    const r = receiver(begin);
    const handed: number[] = [];
    for (const event of arriving) {
      for (const out of r.receive(event)) {
        expect(mayFollow(out, handed, begin)).toBe(true);
        handed.push(out.offset);
      }
      const missing = all.find(({ offset }) => offset > begin && !handed.includes(offset));
      expect(r.position.offset).toBe(missing ? missing.offset - 1 : all.length);
    }
    for (const offset of [...lost].sort((a, b) => a - b)) {
      for (const out of r.receive(all[offset - 1] as Publication)) {
        expect(mayFollow(out, handed, begin)).toBe(true);
        handed.push(out.offset);
      }
    }
    expect([...handed].sort((a, b) => a - b)).toEqual(all.slice(begin).map(({ offset }) => offset));
    expect(r.hasGap).toBe(false);
  });
});
