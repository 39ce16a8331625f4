// What went wrong, by kind.

import { useMemo } from "react";
import { Chart } from "../Chart.js";
import { counts, total } from "../figures.js";
import { count } from "../format.js";
import { Figures, Panel } from "../Panel.js";
import type { Measured } from "./measured.js";

/** What each metric means, from the one that is looked for first. */
const KINDS = {
  RequestErrors: "Requests answered with an error",
  RateLimited: "Over a rate limit",
  PublicationsRefused: "Refused by a processor",
  ProcessorFailures: "Processors that failed",
  ResolverFailures: "Resolvers that failed",
  CommandFailures: "Commands that failed",
  CommandTimeouts: "Commands without an answer",
  RecordsBuried: "Made a dead letter",
  DeliveriesGivenUp: "Deliveries given up",
  DeliveriesDelayed: "Deliveries tried again",
  StaleConnectionsRemoved: "Connections found gone",
};
const LINES = [
  { name: "requests", label: "Requests", of: ["RequestErrors"] },
  {
    name: "extensions",
    label: "Extensions",
    of: ["ProcessorFailures", "ResolverFailures", "CommandFailures", "CommandTimeouts"],
  },
  { name: "lost", label: "Given up", of: ["RecordsBuried", "DeliveriesGivenUp"] },
];

export function ErrorsPanel({ metrics, busy }: Measured) {
  const plot = useMemo(() => metrics && counts(metrics, LINES), [metrics]);
  const sum = (names: readonly string[]): number | undefined =>
    metrics && names.reduce((all, name) => all + total(metrics, name), 0);
  return (
    <Panel title="Errors" busy={busy}>
      <Figures
        of={LINES.map(({ label, of }, line) => {
          const errors = sum(of);
          return { label, line, value: errors === undefined ? undefined : count(errors), bad: (errors ?? 0) > 0 };
        })}
      />
      {plot && <Chart title="Errors per period" plot={plot} kind="count" />}
      <details className="kinds">
        <summary>By kind</summary>
        <Figures
          small
          of={Object.entries(KINDS).map(([name, label]) => ({ label, value: metrics && count(total(metrics, name)) }))}
        />
        <p className="quiet small">What went wrong once may count under several.</p>
      </details>
    </Panel>
  );
}
