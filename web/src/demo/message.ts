// One message, as it is read from what was published.

import type { Publication } from "tidewire";

/** The data of a `said` event. */
export interface Said {
  readonly text: string;
  readonly author: string;
}

export interface Message {
  /** Of this message alone: see {@link idOf}. */
  readonly id: string;
  /** As its sender has given it. */
  readonly messageId: string;
  readonly userId: string;
  readonly author: string;
  readonly text: string;
  readonly atMs: number;
  /** Its place in the channel; a message on its way has none yet. */
  readonly offset?: number;
  readonly pending?: "sending" | "failed";
}

const NAME_MAX_LENGTH = 40;

/** Read a publication; anybody may publish anything, so what has no text is shown as such. */
export function fromPublication(publication: Publication): Message {
  const { data, sender } = publication;
  const said = (typeof data === "object" && data !== null ? data : {}) as Partial<Said>;
  return {
    id: idOf(sender.user_id, publication.message_id),
    messageId: publication.message_id,
    userId: sender.user_id,
    author: nameOf(said.author, sender.user_id),
    text: typeof said.text === "string" ? said.text : JSON.stringify(data),
    atMs: publication.published_at_ms,
    offset: publication.offset,
  };
}

/** Others may give their messages ids that are in use: no message takes the place of somebody else's. */
export function idOf(userId: string, messageId: string): string {
  return `${userId} ${messageId}`;
}

/** A user's name, if what was given as such is one; else the part of a guest's id that can be read. */
export function nameOf(given: unknown, userId: string): string {
  if (typeof given === "string" && given.trim()) return given.slice(0, NAME_MAX_LENGTH);
  return /^guest\.([A-Za-z0-9-]+)~/.exec(userId)?.[1] ?? userId.slice(0, NAME_MAX_LENGTH);
}
