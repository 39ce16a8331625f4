// How much is published, stored and delivered.

import { useMemo } from "react";
import { Chart } from "../Chart.js";
import { rates, total } from "../figures.js";
import { amount, count } from "../format.js";
import { Figures, Panel } from "../Panel.js";
import type { Measured } from "./measured.js";

const LINES = [
  { name: "Publishes", label: "Published" },
  { name: "PublicationsAppended", label: "Stored" },
  { name: "Deliveries", label: "Delivered" },
];

export function MessagesPanel({ metrics, busy }: Measured) {
  const plot = useMemo(() => metrics && rates(metrics, LINES), [metrics]);
  return (
    <Panel title="Messages" busy={busy}>
      <Figures
        of={LINES.map(({ name, label }, line) => ({
          label,
          line,
          value: metrics && count(total(metrics, name)),
          beside: plot && `${amount(plot.lines[line]?.values.at(-1) ?? 0)}/s now`,
        }))}
      />
      {plot && <Chart title="Messages per second" plot={plot} kind="rate" />}
      <p className="quiet small">Totals have the period that has not ended; it is not drawn.</p>
    </Panel>
  );
}
