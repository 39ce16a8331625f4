// What clients had missed, and whether they got it.

import { useMemo } from "react";
import { Chart } from "../Chart.js";
import { counts, total } from "../figures.js";
import { count } from "../format.js";
import { Figures, Panel } from "../Panel.js";
import type { Measured } from "./measured.js";

const LINES = [
  { name: "Recovered", label: "Whole" },
  { name: "RecoveryRefused", label: "Refused" },
  { name: "GapsFilled", label: "Gaps filled" },
  { name: "DuplicatesDropped", label: "Duplicates" },
];

export function RecoveriesPanel({ metrics, busy }: Measured) {
  const plot = useMemo(() => metrics && counts(metrics, LINES), [metrics]);
  return (
    <Panel title="Recoveries" busy={busy}>
      <Figures
        of={LINES.map(({ name, label }, line) => ({ label, line, value: metrics && count(total(metrics, name)) }))}
      />
      {plot && <Chart title="Recoveries per period" plot={plot} kind="count" />}
      <p className="quiet small">Refused: more was missed than is kept; the client starts over.</p>
    </Panel>
  );
}
