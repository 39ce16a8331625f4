import { expect, test } from "vitest";
import {
  byChannel,
  byTransport,
  counts,
  largest,
  latest,
  newest,
  percentiles,
  rates,
  total,
} from "../../src/console/figures.js";
import type { ConnectionDescription, MetricsAnswer } from "../../src/console/generated/answers.js";

const metrics: MetricsAnswer = {
  from_ms: 1_000_000,
  period_s: 10,
  series: [
    { name: "Publishes", statistic: "Sum", unit: "Count", values: [20, null, 5, 3] },
    { name: "CommandFailures", statistic: "Sum", unit: "Count", values: [1, 0, 2, 7] },
    { name: "CommandTimeouts", statistic: "Sum", unit: "Count", values: [null, 4, 1, 7] },
    { name: "Latency", statistic: "p50", unit: "Milliseconds", values: [40, 30, null, null] },
    { name: "Latency", statistic: "p99", unit: "Milliseconds", values: [null, null, null, null] },
  ],
};

function connection(id: string, fields: Partial<ConnectionDescription> = {}): ConnectionDescription {
  return { connection_id: id, connected_at_ms: 0, channels: [], ...fields };
}

test("a total has every period, the running one too; of what is not measured it is 0", () => {
  expect(total(metrics, "Publishes")).toBe(28);
  expect(total(metrics, "Unheard")).toBe(0);
});

test("what is drawn of counters ends before the running period, and nothing measured is none", () => {
  const plot = counts(metrics, [{ name: "Publishes", label: "Published" }]);
  expect(plot).toEqual({ times: [1000, 1010, 1020], lines: [{ label: "Published", values: [20, 0, 5] }] });
});

test("a group adds its counters up", () => {
  const [line] = counts(metrics, [{ name: "c", label: "Commands", of: ["CommandFailures", "CommandTimeouts"] }]).lines;
  expect(line?.values).toEqual([1, 4, 3]);
});

test("rates are per second", () => {
  expect(rates(metrics, [{ name: "Publishes", label: "Published" }]).lines[0]?.values).toEqual([2, 0, 0.5]);
});

test("percentiles keep every period, and its gaps; the latest is the last that was measured", () => {
  const plot = percentiles(metrics, "Latency", ["p50", "p99"]);
  expect(plot.times).toEqual([1000, 1010, 1020, 1030]);
  expect(plot.lines[0]?.values).toEqual([40, 30, null, null]);
  expect(latest(plot, "p50")).toEqual({ value: 30, time: 1010 });
  expect(largest(plot, "p50")).toBe(40);
  expect([latest(plot, "p99"), largest(plot, "p99"), latest(plot, "p1")]).toEqual([undefined, undefined, undefined]);
});

test("an answer without series draws nothing", () => {
  const empty = { ...metrics, series: [] };
  expect(counts(empty, [{ name: "Publishes", label: "Published" }]).times).toEqual([]);
  expect(percentiles(empty, "Latency", ["p50"]).times).toEqual([]);
});

test("connections are counted by transport, those that have none yet too", () => {
  const live = [connection("a", { transport: "sse" }), connection("b", { transport: "sse" }), connection("c")];
  expect([...byTransport(live)]).toEqual([
    ["sse", 2],
    ["none", 1],
  ]);
});

test("channels: most subscribers first, then by name, whatever the name", () => {
  const live = [
    connection("a", { channels: ["room:b", "room:a", "__proto__"] }),
    connection("b", { channels: ["room:b"] }),
  ];
  expect(byChannel(live)).toEqual([
    ["room:b", 2],
    ["__proto__", 1],
    ["room:a", 1],
  ]);
});

test("the newest connection is first, and the answer stays as it is", () => {
  const live = [connection("old", { connected_at_ms: 1 }), connection("new", { connected_at_ms: 2 })];
  expect(newest(live).map(({ connection_id }) => connection_id)).toEqual(["new", "old"]);
  expect(live[0]?.connection_id).toBe("old");
});
