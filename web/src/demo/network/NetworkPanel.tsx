// The network as a thing to play with: take it away, force a way, kill the connection, and see what comes of it.

import { useEffect, useState, useSyncExternalStore, type ReactNode } from "react";
import type { ConnectionState, Way } from "tidewire";
import { useConnection } from "tidewire/react";
import type { RoomView } from "../room.js";
import type { Choice, Network } from "./network.js";
import "./network.css";
import { duration } from "./story.js";
import { useStory } from "./useStory.js";
import { waiting } from "./waiting.js";
import { nameOfWay, WAYS } from "./ways.js";

const CHOICES: readonly Choice[] = ["best", ...WAYS];
const TICK_MS = 1_000;

export function NetworkPanel({ network, rooms }: { network: Network; rooms: readonly RoomView[] }) {
  const { state, transport } = useConnection();
  const { online, choice } = useSyncExternalStore(network.subscribe, network.getSnapshot);
  const { count } = useSyncExternalStore(waiting.subscribe, waiting.getSnapshot);
  const { samples, lines, reconnects, recovered, lostAtMs } = useStory(network, rooms);
  const up = state === "connected";
  return (
    <section className="network" aria-labelledby="network-title" data-up={up} data-online={online}>
      <div className="network-body">
        <header>
          <div>
            <h2 id="network-title">Network</h2>
            <p className="network-way">
              <i className="network-dot" aria-hidden="true" />
              {wayWords(state, up ? transport : undefined, online)}
            </p>
            <p className="network-now">
              {lostAtMs === undefined || state === "closed" ? (
                calm(state, count)
              ) : (
                <Away online={online} lostAtMs={lostAtMs} waiting={count} />
              )}
            </p>
          </div>
          <Ping samples={samples} up={up} />
        </header>
        <dl>
          <Figure name="Waiting" value={count} lit={count > 0} />
          <Figure name="Recovered" value={recovered} lit={recovered > 0} />
          <Figure name="Reconnects" value={reconnects} />
        </dl>
        <div className="network-switches">
          <button
            type="button"
            role="switch"
            aria-checked={online}
            className="network-switch"
            onClick={() => network.setOnline(!online)}
          >
            <span>Network</span>
            <i aria-hidden="true" />
          </button>
          <button type="button" className="network-kill" disabled={!up} onClick={() => network.kill()}>
            Kill the connection
          </button>
        </div>
        <Ways choice={choice} onChoose={(way) => network.force(way)} />
        <div className="network-story" role="log" aria-label="What has happened">
          {lines.length === 0 && <p>Take the network away and write something: nothing gets lost.</p>}
          {lines.map(({ id, text }) => (
            <p key={id} aria-atomic="true">
              {text}
            </p>
          ))}
        </div>
      </div>
    </section>
  );
}

function wayWords(state: ConnectionState, transport: Way | "tabs" | undefined, online: boolean): string {
  if (transport) return nameOfWay(transport);
  if (state === "closed") return "Disconnected";
  return online ? "Looking for a way" : "No network";
}

function calm(state: ConnectionState, count: number): string {
  if (state === "closed") return "The connection has ended for good";
  if (state !== "connected") return "Connecting …";
  return count > 0 ? "Sending …" : "Everything has arrived";
}

function Away({ online, lostAtMs, waiting }: { online: boolean; lostAtMs: number; waiting: number }): ReactNode {
  const [nowMs, setNowMs] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  const since = duration(Math.floor(Math.max(0, nowMs - lostAtMs) / 1000) * 1000).replace(".0", "");
  const what = online ? `Reconnecting for ${since}` : `Offline for ${since}`;
  return waiting > 0 ? `${what} · ${waiting} waiting` : what;
}

function Figure({ name, value, lit = false }: { name: string; value: number; lit?: boolean }) {
  return (
    <div data-lit={lit}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Ways({ choice, onChoose }: { choice: Choice; onChoose: (choice: Choice) => void }) {
  return (
    <fieldset className="network-ways">
      <legend>Transport</legend>
      {CHOICES.map((way) => (
        <label key={way}>
          <input type="radio" name="network-way" checked={choice === way} onChange={() => onChoose(way)} />
          <span>{way === "best" ? "Best" : nameOfWay(way)}</span>
        </label>
      ))}
    </fieldset>
  );
}

const WIDTH = 96;
const HEIGHT = 28;

/** The last round trip, and those before as a line. */
function Ping({ samples, up }: { samples: readonly number[]; up: boolean }) {
  const last = samples.at(-1);
  const most = Math.max(50, ...samples);
  const step = WIDTH / Math.max(1, samples.length - 1);
  const points = samples.map(
    (ms, n) => `${(n * step).toFixed(1)},${(HEIGHT - 2 - (ms / most) * (HEIGHT - 4)).toFixed(1)}`,
  );
  return (
    <div className="network-ping">
      <p title="From publishing to one's own event">
        <span className="hidden">Latency </span>
        <b>{up && last !== undefined ? Math.round(last) : "–"}</b> ms
      </p>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
        {samples.length > 1 && <polyline points={points.join(" ")} />}
      </svg>
    </div>
  );
}
