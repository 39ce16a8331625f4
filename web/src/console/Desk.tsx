// The console: asks for all figures and lays the panels out.

import { useCallback, useState } from "react";
import type { Admission } from "./admission.js";
import type { Api } from "./api.js";
import { Age } from "./clock.js";
import { timeOfDay } from "./format.js";
import { useConnect } from "./live.js";
import { ChannelsPanel } from "./panels/ChannelsPanel.js";
import { ConnectionsPanel } from "./panels/ConnectionsPanel.js";
import { CostPanel } from "./panels/CostPanel.js";
import { DeadLettersPanel } from "./panels/DeadLettersPanel.js";
import { ErrorsPanel } from "./panels/ErrorsPanel.js";
import { LatencyPanel } from "./panels/LatencyPanel.js";
import { MessagesPanel } from "./panels/MessagesPanel.js";
import { NowPanel } from "./panels/NowPanel.js";
import { PublishPanel } from "./panels/PublishPanel.js";
import { RecoveriesPanel } from "./panels/RecoveriesPanel.js";
import { TailPanel } from "./panels/TailPanel.js";
import { usePolled, type Polled } from "./polled.js";

const LIVE_MS = 10_000;
const COST_MS = 300_000;
/** Which spans there are, and how often each is asked for: CloudWatch takes a price for each metric that it is asked. */
const SPANS = [
  { label: "15 min", minutes: 15, everyMs: 10_000 },
  { label: "1 h", minutes: 60, everyMs: 30_000 },
  { label: "3 h", minutes: 180, everyMs: 60_000 },
  { label: "24 h", minutes: 1440, everyMs: 300_000 },
] as const;
type Span = (typeof SPANS)[number];

interface DeskProps {
  readonly api: Api;
  readonly admission: Admission;
  readonly leave: () => void;
}

export function Desk({ api, admission, leave }: DeskProps) {
  const [span, setSpan] = useState<Span>(SPANS[0]);
  const [tailed, setTailed] = useState("");
  const connect = useConnect(admission);
  const askMetrics = useCallback((signal: AbortSignal) => api.metrics(span.minutes, signal), [api, span]);
  const metrics = usePolled(askMetrics, span.everyMs);
  const connections = usePolled(
    useCallback((signal: AbortSignal) => api.connections(signal), [api]),
    LIVE_MS,
  );
  const letters = usePolled(
    useCallback((signal: AbortSignal) => api.deadLetters(signal), [api]),
    LIVE_MS,
  );
  const cost = usePolled(
    useCallback((signal: AbortSignal) => api.cost(signal), [api]),
    COST_MS,
  );
  const asked = { Metrics: metrics, Connections: connections, "Dead letters": letters, Cost: cost };

  const tail = (channel: string): void => {
    setTailed(channel);
    document.getElementById("tail")?.scrollIntoView({ block: "nearest" });
  };
  const measured = { metrics: metrics.value, busy: metrics.stale || !metrics.value };

  return (
    <>
      <header className="bar">
        <a className="brand" href="/console">
          <img src="/icon.svg" alt="" width="26" height="26" />
          <h1>
            Tidewire <span>console</span>
          </h1>
        </a>
        <SpanChoice chosen={span} choose={setSpan} />
        <p className="updated">
          {metrics.at === undefined ? (
            "reading …"
          ) : (
            <>
              updated <Age of={metrics.at} /> ago
            </>
          )}
        </p>
        <button type="button" onClick={() => Object.values(asked).forEach(({ refresh }) => refresh())}>
          Refresh
        </button>
        <button type="button" onClick={leave}>
          Leave
        </button>
      </header>
      <Failures of={asked} />
      <main className="desk">
        <NowPanel metrics={metrics.value} connections={connections.value} letters={letters.value} cost={cost.value} />
        <div className="look">
          <MessagesPanel {...measured} />
          <LatencyPanel {...measured} />
          <ErrorsPanel {...measured} />
          <RecoveriesPanel {...measured} />
          <ConnectionsPanel connections={connections.value} metrics={metrics.value} />
          <ChannelsPanel connections={connections.value} tailed={tailed} tail={tail} />
          <CostPanel cost={cost.value} />
        </div>
        <div className="act">
          <TailPanel connect={connect} channel={tailed} tail={setTailed} />
          <PublishPanel api={api} channel={tailed} />
          <DeadLettersPanel api={api} letters={letters.value} changed={letters.refresh} />
        </div>
      </main>
    </>
  );
}

function SpanChoice({ chosen, choose }: { readonly chosen: Span; readonly choose: (span: Span) => void }) {
  return (
    <fieldset className="choice">
      <legend className="hidden">Span</legend>
      {SPANS.map((span) => (
        <label key={span.label}>
          <input type="radio" name="span" checked={span === chosen} onChange={() => choose(span)} />
          <span>{span.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Failures({ of }: { readonly of: Readonly<Record<string, Polled<unknown>>> }) {
  const failed = Object.entries(of).filter(([, { failure }]) => failure !== undefined);
  if (failed.length === 0) return null;
  return (
    <div className="notice" role="alert">
      {failed.map(([what, { failure, at }]) => (
        <p key={what}>
          <b>{what}</b> can’t be read: {failure}.{at !== undefined && ` What you see is of ${timeOfDay(at)}.`} It is
          asked for again.
        </p>
      ))}
    </div>
  );
}
