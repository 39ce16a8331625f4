import { expect, test } from "vitest";
import { age, amount, beginning, count, dollars, milliseconds } from "../../src/console/format.js";

test("counts are exact", () => {
  expect([0, 1_234, 9_876_543].map(count)).toEqual(["0", "1,234", "9,876,543"]);
});

test("small amounts keep what counts", () => {
  expect([0, 0.0123, 3.456, 16.68].map(amount)).toEqual(["0", "0.012", "3.5", "16.7"]);
  expect([4.25, 41.6].map(milliseconds)).toEqual(["4.3 ms", "42 ms"]);
});

test("less than a dollar has parts of cents", () => {
  expect([0, 0.0412, 12.5, 1234.5].map(dollars)).toEqual(["$0.00", "$0.0412", "$12.50", "$1,234.50"]);
});

test("an age has its largest unit; a clock that is behind makes none negative", () => {
  expect([-5, 59_999, 60_000, 7_300_000, 90_000_000].map(age)).toEqual(["0 s", "59 s", "1 min", "2 h", "1 d"]);
});

test("a long text is cut between characters", () => {
  expect(beginning("short", 5)).toBe("short");
  expect(beginning("ab😀c", 3)).toBe("ab");
});
