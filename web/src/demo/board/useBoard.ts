// The board of a room: what is on it, what is being saved, and what may be done with it.

import { useEffect, useMemo, useState } from "react";
import { TidewireError } from "tidewire";
import { useDocument, useTidewire } from "tidewire/react";
import { waiting } from "../network/waiting.js";
import { readBoard, type BoardData, type CardsPatch, type Columns } from "./cards.js";

export const BOARD_KEY = "board";
const NOTE_MS = 4_000;

export interface BoardView {
  readonly columns: Columns;
  /** The server has told how it is. */
  readonly ready: boolean;
  /** Why it can't be read. */
  readonly error: Error | undefined;
  /** Ids of cards with changes that are not saved yet. */
  readonly saving: ReadonlySet<string>;
  /** What has become of a change, for some seconds. */
  readonly note: string;
  /** Show this as a note. */
  readonly tell: (note: string) => void;
  /** Change cards: what is shown at once is sent as soon as there is a connection, also by the next page. */
  readonly change: (cards: CardsPatch) => void;
}

export function useBoard(channel: string): BoardView {
  const client = useTidewire();
  const { value, error, patch } = useDocument<BoardData>(channel, BOARD_KEY);
  const [ready, setReady] = useState(false);
  const [under, setUnder] = useState<readonly string[]>([]); // way: a card's id for each change of it
  const [note, setNote] = useState("");

  useEffect(() => {
    let shown = true;
    const told = (): void => void (shown && setReady(true));
    setReady(false);
    client.channel(channel).document(BOARD_KEY).ready().then(told, told); // what went wrong is in `error`
    return () => void (shown = false);
  }, [client, channel]);

  useEffect(() => {
    if (!note) return;
    const timer = setTimeout(() => setNote(""), NOTE_MS);
    return () => clearTimeout(timer);
  }, [note]);

  const change = async (cards: CardsPatch): Promise<void> => {
    const ids = Object.keys(cards);
    setUnder((before) => [...before, ...ids]);
    try {
      const written = patch({ cards } as Parameters<typeof patch>[0], { offline: true });
      const { resolution } = await waiting.track(written);
      if (resolution === "merged") setNote("Merged with what others changed");
    } catch (thrown) {
      const closed = thrown instanceof TidewireError && thrown.kind === "closed"; // sent by the next page
      if (!closed) setNote(`Not saved: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
    setUnder((before) => ids.reduce(without, before));
  };

  const columns = useMemo(() => readBoard(value), [value]);
  const saving = useMemo(() => new Set(under), [under]);
  return {
    columns,
    ready: ready || value !== undefined,
    error,
    saving,
    note,
    tell: setNote,
    change: (cards) => void change(cards),
  };
}

/** The list without the first of these. */
function without(ids: readonly string[], id: string): readonly string[] {
  const place = ids.indexOf(id);
  return ids.filter((_, n) => n !== place);
}
