// Who is in a room, as the others say it: what they typed as their names stays text.

import { useEffect, useMemo } from "react";
import { TidewireError, type Member } from "tidewire";
import { usePresence, useTidewire } from "tidewire/react";
import { nameOf } from "./message.js";
import { channelOf } from "./room.js";

/** What somebody can choose to be, and how it is called. */
export const STATUSES = { online: "Online", away: "Away", busy: "Busy" } as const;
export type Status = keyof typeof STATUSES;

export interface Person {
  readonly userId: string;
  readonly name: string;
  readonly status: Member["status"];
  /** Nothing was heard of it for a minute. */
  readonly idle: boolean;
  readonly types: boolean;
  /** Up to where it has read, if anything. */
  readonly readOffset: number;
}

export interface PeopleView {
  /** The others who are there; empty where only their number is told. */
  readonly others: readonly Person[];
  /** How many are there, oneself included. */
  readonly count: number;
  /** This user types: call it with each key; with `false` when it is done. */
  readonly type: (active?: boolean) => void;
}

/** Who is in a room beside this user. */
export function usePeople(room: string, userId: string): PeopleView {
  const { members, typing, count, type } = usePresence(channelOf(room));
  const others = useMemo(
    () =>
      members
        .filter((member) => member.user_id !== userId)
        .map((member) => person(member, typing))
        .sort((a, b) => a.name.localeCompare(b.name)),
    [members, typing, userId],
  );
  return { others, count, type };
}

/** Say in a room who this user is and how, and that it is active whenever it does something. */
export function useSelf(room: string, name: string, status: Status): void {
  const client = useTidewire();
  const { update } = usePresence(channelOf(room));
  useEffect(() => {
    update({ status, data: { name } }).catch((error: unknown) => {
      // The room was left, with this under way perhaps; or the connection has ended for good, which the page tells.
      const left = error instanceof TidewireError && (error.kind === "closed" || error.retryable);
      if (client.state !== "closed" && !left) reportError(error);
    });
  }, [client, update, status, name]);
  useEffect(() => {
    const { presence } = client.channel(channelOf(room));
    const act = (): void => presence.active();
    act();
    const signs = ["pointermove", "pointerdown", "keydown"] as const;
    signs.forEach((sign) => addEventListener(sign, act, { passive: true }));
    return () => signs.forEach((sign) => removeEventListener(sign, act));
  }, [client, room]);
}

function person(member: Member, typing: readonly string[]): Person {
  const data = Object(member.data) as { name?: unknown };
  return {
    userId: member.user_id,
    name: nameOf(data.name, member.user_id),
    status: member.status,
    idle: !member.active,
    types: typing.includes(member.user_id),
    readOffset: member.read_offset ?? 0,
  };
}
