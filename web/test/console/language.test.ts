// @vitest-environment happy-dom
import { expect, test } from "vitest";

test("a language that is none does not keep the charts from being loaded", async () => {
  Object.defineProperty(navigator, "language", { value: "en-US@posix", configurable: true });
  const { Chart } = await import("../../src/console/Chart.js");
  expect(Chart).toBeTypeOf("function");
});
