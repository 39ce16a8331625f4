import { expect, test } from "vitest";
import { Breaker } from "../src/breaker.js";

test("three failures in a row open it for a minute, then it may be tried; each further failure doubles that", () => {
  const breaker = new Breaker();
  breaker.failed(0);
  breaker.failed(0);
  expect(breaker.isOpen(0)).toBe(false);
  breaker.failed(0);
  expect(breaker.isOpen(59_999)).toBe(true);
  expect(breaker.isOpen(60_000)).toBe(false);
  breaker.failed(60_000);
  expect(breaker.isOpen(179_999)).toBe(true);
  expect(breaker.isOpen(180_000)).toBe(false);
  for (let i = 0; i < 10; i++) breaker.failed(0);
  expect(breaker.isOpen(599_999)).toBe(true);
  expect(breaker.isOpen(600_000)).toBe(false);
});

test("a success closes it, and the count begins anew", () => {
  const breaker = new Breaker();
  for (let i = 0; i < 3; i++) breaker.failed(0);
  breaker.succeeded();
  breaker.failed(0);
  breaker.failed(0);
  expect(breaker.isOpen(0)).toBe(false);
});

test("when the network has changed it may be tried at once, and opens again with the next failure", () => {
  const breaker = new Breaker();
  for (let i = 0; i < 3; i++) breaker.failed(0);
  breaker.forgive();
  expect(breaker.isOpen(1)).toBe(false);
  breaker.failed(1);
  expect(breaker.isOpen(2)).toBe(true);
});
