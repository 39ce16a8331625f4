// A channel's events as they come.

import { memo, useEffect, useState, type SubmitEvent } from "react";
import type { Event } from "tidewire";
import { Age } from "../clock.js";
import { count } from "../format.js";
import { useTail, type Connect, type Tail } from "../live.js";
import { Panel, Text } from "../Panel.js";

interface TailProps {
  readonly connect: Connect | undefined;
  /** The one that is followed, if any. */
  readonly channel: string;
  readonly tail: (channel: string) => void;
}

export function TailPanel({ connect, channel, tail }: TailProps) {
  const live = useTail(connect, channel);
  const [held, setHeld] = useState<Tail>();
  const [field, setField] = useState("");
  const shown = held ?? live;

  useEffect(() => {
    setHeld(undefined);
    if (channel !== "") setField(channel);
  }, [channel]);

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    tail(field.trim());
  };
  return (
    <Panel title="Tail" aside={channel && <Buttons {...{ live, held, setHeld, tail }} />}>
      <form id="tail" className="row" onSubmit={submit}>
        <label htmlFor="tail-channel" className="hidden">
          Channel to follow
        </label>
        <input
          id="tail-channel"
          placeholder="room:lobby"
          value={field}
          onChange={({ target }) => setField(target.value)}
          autoComplete="off"
          spellCheck={false}
          disabled={!connect}
          aria-describedby="tail-error"
        />
        <button type="submit" className="main" disabled={!connect}>
          Follow
        </button>
      </form>
      <p id="tail-error" className="error" role="alert">
        {live.error !== undefined && `${live.error}.`}
      </p>
      <p role="status" className="quiet small">
        {stateOf(connect, channel, live, held)}
      </p>
      {channel !== "" && (
        <ol className="events" tabIndex={0} aria-label={`Events of ${channel}`}>
          {shown.events.map(({ number, event }) => (
            <Row key={number} event={event} />
          ))}
        </ol>
      )}
    </Panel>
  );
}

function stateOf(connect: Connect | undefined, channel: string, live: Tail, held: Tail | undefined): string {
  if (!connect) return "To follow a channel, come in with a token: an API key opens no connection.";
  if (channel === "") return "Choose a channel, or name one.";
  if (live.error !== undefined) return "";
  if (!live.open) return "Connecting …";
  if (held) return `Held. ${count(live.came - held.came)} more have come.`;
  return live.events.length === 0 ? "Live. Nothing has come yet." : "Live, the newest first.";
}

interface ButtonsProps {
  readonly live: Tail;
  readonly held: Tail | undefined;
  readonly setHeld: (held: Tail | undefined) => void;
  readonly tail: (channel: string) => void;
}

function Buttons({ live, held, setHeld, tail }: ButtonsProps) {
  const clear = (): void => {
    live.clear();
    setHeld(undefined);
  };
  return (
    <span className="buttons">
      <button type="button" aria-pressed={held !== undefined} onClick={() => setHeld(held ? undefined : live)}>
        Pause
      </button>
      <button type="button" onClick={clear}>
        Clear
      </button>
      <button type="button" onClick={() => tail("")}>
        Stop
      </button>
    </span>
  );
}

/** Drawn once: an event never changes, and its data may be long. */
const Row = memo(function Row({ event }: { readonly event: Event }) {
  const { offset, name, sender, data, published_at_ms, priority, ephemeral } = event;
  return (
    <li>
      <span className="offset">{ephemeral ? "–" : `#${offset ?? "?"}`}</span>
      <b className="name">{name}</b>
      <span className="quiet">
        <Text of={sender.user_id} short={40} />
      </span>
      {priority !== "normal" && <span className="tag">{priority}</span>}
      {ephemeral && <span className="tag">ephemeral</span>}
      <span className="age quiet">
        <Age of={published_at_ms} />
      </span>
      <code>
        <Text of={JSON.stringify(data)} />
      </code>
    </li>
  );
});
