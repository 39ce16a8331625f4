// Which channels there are, and how many subscribers each has.

import { useState } from "react";
import type { Connections } from "../api.js";
import { byChannel } from "../figures.js";
import { count } from "../format.js";
import { Panel } from "../Panel.js";

const FEW = 10;
const MANY = 500;

interface ChannelsProps {
  readonly connections: Connections | undefined;
  readonly tailed: string;
  readonly tail: (channel: string) => void;
}

export function ChannelsPanel({ connections, tailed, tail }: ChannelsProps) {
  const [many, setMany] = useState(false);
  const channels = byChannel(connections?.listed ?? []);
  return (
    <Panel title="Channels" busy={!connections} aside={<span className="quiet">{count(channels.length)}</span>}>
      {connections && channels.length === 0 && <p className="empty">No channel has subscribers.</p>}
      <ul className="channels" aria-label="Channels, and their subscribers">
        {channels.slice(0, many ? MANY : FEW).map(([channel, subscribers]) => (
          <li key={channel}>
            <button type="button" onClick={() => tail(channel)} aria-pressed={channel === tailed}>
              <span className="mono">{channel}</span>
              <b>{count(subscribers)}</b>
              <span className="hidden"> {subscribers === 1 ? "subscriber" : "subscribers"}: follow it live</span>
            </button>
          </li>
        ))}
      </ul>
      {channels.length > FEW && (
        <button type="button" className="link" aria-expanded={many} onClick={() => setMany(!many)}>
          {many ? "Show fewer channels" : `Show ${channels.length > MANY ? MANY : `all ${count(channels.length)}`}`}
        </button>
      )}
    </Panel>
  );
}
