// What is made of the answers: totals, rates, groups. Pure.

import type { ConnectionDescription, MetricsAnswer, MetricSeries } from "./generated/answers.js";

export type Transport = NonNullable<ConnectionDescription["transport"]> | "none";

/** A line of a chart; `values[i]` belongs to `times[i]`. */
export interface Line {
  readonly label: string;
  readonly values: readonly (number | null)[];
}

/** What a chart shows; times in Unix seconds. */
export interface Plot {
  readonly times: readonly number[];
  readonly lines: readonly Line[];
}

export interface Named {
  readonly name: string;
  readonly label: string;
}

function find(metrics: MetricsAnswer, name: string, statistic: string): MetricSeries | undefined {
  return metrics.series.find((one) => one.name === name && one.statistic === statistic);
}

/** The sum of a counter over the whole span. */
export function total(metrics: MetricsAnswer, name: string): number {
  return (find(metrics, name, "Sum")?.values ?? []).reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

/** When each period begins, in Unix seconds. */
function times({ from_ms, period_s }: MetricsAnswer, length: number): number[] {
  return Array.from({ length }, (_, index) => from_ms / 1000 + index * period_s);
}

function length(metrics: MetricsAnswer): number {
  return Math.max(0, ...metrics.series.map(({ values }) => values.length));
}

/** Counters by period. The last is left out: it has not ended, and would look like a fall. */
export function counts(metrics: MetricsAnswer, groups: readonly (Named & { readonly of?: readonly string[] })[]): Plot {
  const periods = Math.max(0, length(metrics) - 1);
  const lines = groups.map(({ name, label, of = [name] }) => {
    const series = of.map((one) => find(metrics, one, "Sum")?.values ?? []);
    const at = (index: number): number => series.reduce((sum, values) => sum + (values[index] ?? 0), 0);
    return { label, values: Array.from({ length: periods }, (_, index) => at(index)) };
  });
  return { times: times(metrics, periods), lines };
}

/** The same, per second. */
export function rates(metrics: MetricsAnswer, groups: readonly Named[]): Plot {
  const plot = counts(metrics, groups);
  const perSecond = ({ label, values }: Line): Line => ({
    label,
    values: values.map((value) => (value ?? 0) / metrics.period_s),
  });
  return { ...plot, lines: plot.lines.map(perSecond) };
}

/** Percentiles by period; null where nothing was measured. */
export function percentiles(metrics: MetricsAnswer, name: string, statistics: readonly string[]): Plot {
  const lines = statistics.map((label) => ({ label, values: find(metrics, name, label)?.values ?? [] }));
  return { times: times(metrics, length(metrics)), lines };
}

/** The last value that was measured, and when its period began, in Unix seconds. */
export function latest({ times: at, lines }: Plot, label: string): { value: number; time: number } | undefined {
  const values = lines.find((line) => line.label === label)?.values ?? [];
  let index = values.length - 1;
  while (index >= 0 && values[index] === null) index--;
  const [value, time] = [values[index], at[index]];
  return typeof value === "number" && time !== undefined ? { value, time } : undefined;
}

/** The largest value of a line. */
export function largest({ lines }: Plot, label: string): number | undefined {
  const values = lines.find((line) => line.label === label)?.values.filter((value) => value !== null) ?? [];
  return values.length ? Math.max(...values) : undefined;
}

/** How many connections there are by each transport; those without one under `none`. */
export function byTransport(connections: readonly ConnectionDescription[]): ReadonlyMap<Transport, number> {
  const found = new Map<Transport, number>();
  for (const { transport } of connections) found.set(transport ?? "none", (found.get(transport ?? "none") ?? 0) + 1);
  return found;
}

/** Channels and how many connections have each; most first, then by name. */
export function byChannel(connections: readonly ConnectionDescription[]): readonly (readonly [string, number])[] {
  const found = new Map<string, number>();
  for (const { channels } of connections) {
    for (const channel of channels) found.set(channel, (found.get(channel) ?? 0) + 1);
  }
  return [...found].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
}

/** The newest first. */
export function newest(connections: readonly ConnectionDescription[]): readonly ConnectionDescription[] {
  return [...connections].sort((a, b) => b.connected_at_ms - a.connected_at_ms);
}
