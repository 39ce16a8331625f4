// How long publications take until they are pushed.

import { useMemo } from "react";
import { Chart } from "../Chart.js";
import { largest, latest, percentiles } from "../figures.js";
import { milliseconds, timeOfDay } from "../format.js";
import { Figures, Panel } from "../Panel.js";
import type { Measured } from "./measured.js";

export const LATENCY = "PublishToDeliverLatency";
const STATISTICS = ["p50", "p90", "p99"];

export function LatencyPanel({ metrics, busy }: Measured) {
  const plot = useMemo(() => metrics && percentiles(metrics, LATENCY, STATISTICS), [metrics]);
  const at = plot && latest(plot, "p50")?.time;
  return (
    <Panel title="Publish to deliver" busy={busy}>
      <Figures
        of={STATISTICS.map((label, line) => {
          const [last, most] = [plot && latest(plot, label)?.value, plot && largest(plot, label)];
          return {
            label,
            line,
            value: last === undefined ? undefined : milliseconds(last),
            beside: `max ${most === undefined ? "–" : milliseconds(most)}`,
          };
        })}
      />
      {plot && <Chart title="Publish to deliver, milliseconds" plot={plot} kind="latency" />}
      <p className="quiet small">
        {at === undefined
          ? "Nothing was delivered in this time."
          : `Figures of what was last delivered, ${timeOfDay(at * 1000)}.`}
      </p>
    </Panel>
  );
}
