import { expect, test } from "vitest";
import { Breaker } from "../src/breaker.js";

test("three failures in a row open it for a minute, then it may be tried; each further failure doubles that", () => {
  const breaker = new Breaker();
  breaker.failed(0);
  breaker.failed(0);
  expect(breaker.state(0)).toBe("closed");
  breaker.failed(0);
  expect(breaker.state(59_999)).toBe("open");
  expect(breaker.state(60_000)).toBe("half-open");
  breaker.failed(60_000);
  expect(breaker.state(179_999)).toBe("open");
  expect(breaker.state(180_000)).toBe("half-open");
  for (let i = 0; i < 10; i++) breaker.failed(0);
  expect(breaker.state(599_999)).toBe("open");
  expect(breaker.state(600_000)).toBe("half-open");
});

test("a success closes it, and the count begins anew", () => {
  const breaker = new Breaker();
  for (let i = 0; i < 3; i++) breaker.failed(0);
  breaker.succeeded();
  breaker.failed(0);
  breaker.failed(0);
  expect(breaker.state(0)).toBe("closed");
});

test("when the network has changed it may be tried at once, and opens again with the next failure", () => {
  const breaker = new Breaker();
  for (let i = 0; i < 3; i++) breaker.failed(0);
  breaker.forgive();
  expect(breaker.state(1)).toBe("half-open");
  breaker.failed(1);
  expect(breaker.state(2)).toBe("open");
});
