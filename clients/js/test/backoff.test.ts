import { expect, test } from "vitest";
import { backoffMs } from "../src/backoff.js";
import { seeded } from "./fakes.js";

test("the first wait is at most half a second, and a late one at most twenty", () => {
  expect(backoffMs(0, () => 0.999_999)).toBeCloseTo(500, 0);
  expect(backoffMs(50, () => 0.999_999)).toBeCloseTo(20_000, 0);
  expect(backoffMs(5_000, () => 0.5)).toBeLessThan(20_000);
});

test("no wait is shorter than half the shortest, so that a client never hammers", () => {
  for (let attempt = 0; attempt < 20; attempt++) expect(backoffMs(attempt, () => 0)).toBe(250);
});

test("the ceiling doubles with each attempt", () => {
  const ceilings = [0, 1, 2, 3, 4, 5, 6].map((attempt) => Math.round(backoffMs(attempt, () => 1)));
  expect(ceilings).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000]);
});

test("clients that were cut off together come back spread over the whole interval", () => {
  const random = seeded(1);
  const waits = Array.from({ length: 1_000 }, () => backoffMs(6, random));
  const quarters = [0, 0, 0, 0];
  for (const wait of waits) quarters[Math.floor(((wait - 250) / (20_000 - 250)) * 4)]!++;
  for (const count of quarters) expect(count).toBeGreaterThan(180);
});
