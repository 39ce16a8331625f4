// The console's own connection: for a tail. Opened when it is needed.

import { useEffect, useMemo, useRef, useState } from "react";
import { Tidewire, TidewireError, type Channel, type Event } from "tidewire";
import type { Admission } from "./admission.js";
import { Refusal } from "./api.js";

const KEPT_MAX = 300;
const HISTORY = 20;

/** Returns the client, as soon as it is asked for. An API key opens no connection: then there is none. */
export type Connect = () => Tidewire;

export function useConnect(admission: Admission): Connect | undefined {
  const client = useRef<Tidewire>(undefined);
  useEffect(() => () => client.current?.close(), []);
  return useMemo(() => {
    if (admission.pass.kind === "key") return undefined;
    const getToken = async (fresh: boolean): Promise<string> => {
      if (fresh) await admission.refused(new Refusal(401, "its connection was refused"));
      return admission.pass.secret;
    };
    return () => (client.current ??= new Tidewire({ getToken, shareTabs: false, persist: false }));
  }, [admission]);
}

export interface Tail {
  /** The newest first. */
  readonly events: readonly Event[];
  /** How many have come, with those that are shown no longer. */
  readonly came: number;
  readonly error: string | undefined;
  readonly open: boolean;
  readonly clear: () => void;
}

interface Seen {
  readonly events: readonly Event[];
  readonly came: number;
}

const NOTHING: Seen = { events: [], came: 0 };

/** Follow a channel; none while it is empty. */
export function useTail(connect: Connect | undefined, channel: string): Tail {
  const [seen, setSeen] = useState(NOTHING);
  const [error, setError] = useState<string>();
  const [open, setOpen] = useState(false);
  useEffect(() => {
    setSeen(NOTHING);
    setError(undefined);
    setOpen(false);
    if (!connect || channel === "") return;
    const client = connect();
    let over = false;
    // All that comes before the browser draws again is one change.
    let waiting: Event[] = [];
    const take = (event: Event): void => {
      if (waiting.push(event) === 1) setTimeout(show);
    };
    const show = (): void => {
      const news = waiting.reverse();
      waiting = [];
      if (!over) setSeen(({ events, came }) => ({ events: join(news, events), came: came + news.length }));
    };
    const fail = (reason: unknown): void => {
      if (!(reason instanceof TidewireError)) throw reason;
      if (!over) setError(reason.message);
    };
    const live = client.channel(channel);
    const stops = [live.on("*", take), client.onState((state, ended) => state === "closed" && ended && fail(ended))];
    if (client.state === "closed") client.connect(); // it was ended, and somebody tries again
    begin(live, take).then(() => over || setOpen(true), fail);
    return () => {
      over = true;
      stops.forEach((stop) => stop());
      void live.unsubscribe();
    };
  }, [connect, channel]);
  return { ...seen, error, open, clear: () => setSeen(NOTHING) };
}

async function begin(live: Channel, take: (event: Event) => void): Promise<void> {
  for (const publication of await live.subscribe({ history: HISTORY })) {
    take({ ...publication, type: "event", channel: live.name } as Event);
  }
}

function join(news: readonly Event[], events: readonly Event[]): readonly Event[] {
  const known = new Set(events.map(({ message_id }) => message_id));
  return [...news.filter(({ message_id }) => !known.has(message_id)), ...events].slice(0, KEPT_MAX);
}
