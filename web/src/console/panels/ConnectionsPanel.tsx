// Who is connected, and how.

import { useState } from "react";
import type { Connections } from "../api.js";
import { Age } from "../clock.js";
import { byTransport, newest, total, type Transport } from "../figures.js";
import { count } from "../format.js";
import type { ConnectionDescription, MetricsAnswer } from "../generated/answers.js";
import { Figures, Panel, Text } from "../Panel.js";

const TRANSPORTS: Readonly<Record<Transport, string>> = {
  websocket: "WebSocket",
  sse: "SSE",
  stream: "HTTP stream",
  long_poll: "Long polling",
  short_poll: "Short polling",
  none: "Not read yet",
};
const FEW = 8;
const MANY = 200;

interface ConnectionsProps {
  readonly connections: Connections | undefined;
  readonly metrics: MetricsAnswer | undefined;
}

export function ConnectionsPanel({ connections, metrics }: ConnectionsProps) {
  const listed = connections?.listed ?? [];
  const transports = byTransport(listed);
  return (
    <Panel title="Connections" whole busy={!connections}>
      <div className="transports">
        <Figures
          of={[
            { label: "Live", value: connections && `${count(listed.length)}${connections.whole ? "" : " or more"}` },
            { label: "Opened", value: metrics && count(total(metrics, "Connects")) },
            { label: "Closed", value: metrics && count(total(metrics, "Disconnects")) },
          ]}
        />
        <dl className="bars">
          {Object.entries(TRANSPORTS).map(([transport, label]) => {
            const live = transports.get(transport as Transport) ?? 0;
            return <Bar key={transport} label={label} live={live} of={listed.length} />;
          })}
        </dl>
      </div>
      {connections && <Newest of={newest(listed)} />}
    </Panel>
  );
}

function Bar({ label, live, of }: { readonly label: string; readonly live: number; readonly of: number }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        {count(live)}
        <i style={{ inlineSize: `${(100 * live) / Math.max(1, of)}%` }} />
      </dd>
    </div>
  );
}

function Newest({ of }: { readonly of: readonly ConnectionDescription[] }) {
  const [many, setMany] = useState(false);
  if (of.length === 0) return <p className="empty">Nobody is connected.</p>;
  return (
    <>
      <div className="scroll" tabIndex={0} role="region" aria-label="The newest connections">
        <table className="connections">
          <thead>
            <tr>
              <th scope="col">User</th>
              <th scope="col">Transport</th>
              <th scope="col" className="number">
                Age
              </th>
              <th scope="col">Channels</th>
            </tr>
          </thead>
          <tbody>
            {of.slice(0, many ? MANY : FEW).map((one) => (
              <tr key={one.connection_id}>
                <td>
                  {one.user_id == null ? <i className="quiet">not said yet</i> : <Text of={one.user_id} short={60} />}
                </td>
                <td>{TRANSPORTS[one.transport ?? "none"]}</td>
                <td className="number">
                  <Age of={one.connected_at_ms} />
                </td>
                <td className="mono">
                  <Text of={one.channels.join("  ")} short={90} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {of.length > FEW && (
        <button type="button" className="link" aria-expanded={many} onClick={() => setMany(!many)}>
          {many
            ? "Show fewer connections"
            : `Show ${of.length > MANY ? `the ${MANY} newest` : `all ${count(of.length)}`}`}
        </button>
      )}
    </>
  );
}
