// How documents are kept: golden scenarios that every client is held to.

import { describe, expect, test } from "vitest";
import golden from "../../../tests/golden/replica.json";
import { Replica, type StateGet, type Version } from "../src/replica.js";

interface Step {
  readonly call: string;
  readonly key: string;
  readonly push: Version;
  readonly result: never;
  readonly document?: Version;
  readonly ask?: unknown;
  readonly versions?: unknown;
  readonly values?: unknown;
  readonly missing?: unknown;
}

function take(replica: Replica, { call, key, push, result, document }: Step): StateGet | undefined {
  switch (call) {
    case "read":
      return replica.read(result);
    case "changed":
      return void replica.changed(key, result);
    case "pushed":
      return replica.pushed(key, push);
    case "wrote":
      return replica.wrote(key, result);
    case "fetched":
      return replica.fetched(key, document);
    default:
      throw new Error(`no such call: ${call}`);
  }
}

/** As JSON, in which `__proto__` is a name like any other, with members in the order of their names. */
function json(value: unknown): string {
  const sorted = (_name: string, part: unknown): unknown =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([one], [other]) => (one < other ? -1 : 1)))
      : part;
  return JSON.stringify(value, sorted);
}

describe("golden", () => {
  const scenarios = (golden as unknown as { name: string; steps: Step[] }[]).map(({ name, steps }) => [name, steps]);

  test.each(scenarios as [string, Step[]][])("%s", (_name, steps) => {
    const replica = new Replica("room:a");
    steps.forEach((step, index) => {
      const place = `step ${index}: ${step.call}`;
      expect(json(take(replica, step) ?? null), place).toBe(json(step.ask ?? null));
      if (step.versions) expect(json(Object.fromEntries(replica.versions)), place).toBe(json(step.versions));
      if (step.values) expect(json(Object.fromEntries(replica.values)), place).toBe(json(step.values));
      if (step.missing) expect([...replica.missing].sort(), place).toEqual(step.missing);
    });
  });
});

test("what makes no sense changes nothing", () => {
  const replica = new Replica("room:a");
  for (const version of [undefined, null, "1", "x", {}, 0.5, -1, NaN] as never[]) {
    replica.pushed("a", { version, value: 1 });
    replica.wrote("a", { version, value: 1 });
  }
  expect(replica.versions.size).toBe(0);
});
