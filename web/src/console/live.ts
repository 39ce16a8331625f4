// The console's own connection: for a tail. Opened when it is needed.

import { useEffect, useMemo, useRef, useState } from "react";
import { Tidewire, TidewireError, type Channel, type Event } from "tidewire";
import type { Admission } from "./admission.js";
import { Refusal } from "./api.js";

const KEPT_MAX = 300;
const HISTORY = 20;
/** All that comes within this is drawn at once: a busy channel may bring hundreds of events a second. */
const DRAWN_MS = 100;

/** Returns the client, as soon as it is asked for. An API key opens no connection: then there is none. */
export type Connect = () => Tidewire;

export function useConnect(admission: Admission): Connect | undefined {
  const client = useRef<Tidewire>(undefined);
  useEffect(() => () => client.current?.close(), []);
  return useMemo(() => {
    if (admission.pass.kind === "key") return undefined;
    const getToken = async (fresh: boolean): Promise<string> => {
      // One that was pasted has no successor. When it has ended, whoever asks by HTTP is told.
      if (fresh && admission.pass.kind === "dev") {
        await admission.refused(new Refusal(401, "its connection was refused"));
      }
      return admission.pass.secret;
    };
    return () => (client.current ??= new Tidewire({ getToken, shareTabs: false, persist: false }));
  }, [admission]);
}

/** An event, and which one of this tail it is: whoever publishes chooses a `message_id`, and may choose it twice. */
export interface Come {
  readonly number: number;
  readonly event: Event;
}

export interface Tail {
  /** The newest first. */
  readonly events: readonly Come[];
  /** How many have come, with those that are shown no longer. */
  readonly came: number;
  readonly error: string | undefined;
  readonly open: boolean;
  readonly clear: () => void;
}

interface Seen {
  readonly events: readonly Come[];
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
    let number = 0;
    let waiting = NOTHING;
    const take = (event: Event): void => {
      // No more than is shown: the timers of a page that nobody sees may take a minute.
      waiting = { events: [{ number: number++, event }, ...waiting.events].slice(0, KEPT_MAX), came: waiting.came + 1 };
      if (waiting.came === 1) setTimeout(show, DRAWN_MS);
    };
    const show = (): void => {
      const news = waiting;
      waiting = NOTHING;
      if (!over) setSeen((last) => ({ events: join(news.events, last.events), came: last.came + news.came }));
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

/** What is of the history may have come as well. */
function join(news: readonly Come[], events: readonly Come[]): readonly Come[] {
  const known = new Set(events.map(placeOf));
  const unknown = news.filter((one) => {
    const place = placeOf(one);
    return place === undefined || (!known.has(place) && known.add(place));
  });
  return [...unknown, ...events].slice(0, KEPT_MAX);
}

/** Where it is in the stream, if it is in it. */
function placeOf({ event: { epoch, offset } }: Come): string | undefined {
  return offset == null ? undefined : `${epoch} ${offset}`;
}
