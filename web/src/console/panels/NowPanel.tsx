// The few figures that say at a glance whether all is well.

import type { Connections } from "../api.js";
import { latest, percentiles, rates } from "../figures.js";
import { amount, count, dollars, milliseconds } from "../format.js";
import type { CostAnswer, MetricsAnswer, WaitingLetters } from "../generated/answers.js";
import { Figures } from "../Panel.js";
import { LATENCY } from "./LatencyPanel.js";

interface NowProps {
  readonly metrics: MetricsAnswer | undefined;
  readonly connections: Connections | undefined;
  readonly letters: readonly WaitingLetters[] | undefined;
  readonly cost: CostAnswer | undefined;
}

export function NowPanel({ metrics, connections, letters, cost }: NowProps) {
  const perSecond = (name: string): string | undefined =>
    metrics && `${amount(rates(metrics, [{ name, label: name }]).lines[0]?.values.at(-1) ?? 0)}/s`;
  const p99 = metrics && latest(percentiles(metrics, LATENCY, ["p99"]), "p99");
  const waiting = letters?.reduce((sum, queue) => sum + queue.waiting, 0);
  return (
    <section className="card now" aria-label="Now">
      <Figures
        of={[
          { label: "Connections", value: connections && count(connections.listed.length) },
          { label: "Published", value: perSecond("Publishes") },
          { label: "Delivered", value: perSecond("Deliveries") },
          { label: "p99", value: p99 && milliseconds(p99.value) },
          {
            label: "Dead letters",
            value: waiting === undefined ? undefined : count(waiting),
            bad: (waiting ?? 0) > 0,
          },
          { label: "Cost this month", value: cost && dollars(cost.usd) },
        ]}
      />
    </section>
  );
}
