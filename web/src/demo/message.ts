// One message: read from what was published, and made into a list item.

import type { Publication } from "tidewire";
import { element } from "./dom.js";

/** The data of a `said` event. */
export interface Said {
  readonly text: string;
  readonly author: string;
}

export interface Message {
  readonly id: string;
  readonly userId: string;
  readonly author: string;
  readonly text: string;
  readonly atMs: number;
  /** Its place in the channel; a message on its way has none yet. */
  readonly offset?: number;
  readonly pending?: "sending" | "failed";
}

const AUTHOR_MAX_LENGTH = 40;

/** Read a publication; anybody may publish anything, so what has no text is shown as such. */
export function fromPublication(publication: Publication): Message {
  const { data, sender } = publication;
  const said = (typeof data === "object" && data !== null ? data : {}) as Partial<Said>;
  const author = typeof said.author === "string" && said.author.trim() ? said.author : sender.user_id;
  return {
    id: publication.message_id,
    userId: sender.user_id,
    author: author.slice(0, AUTHOR_MAX_LENGTH),
    text: typeof said.text === "string" ? said.text : JSON.stringify(data),
    atMs: publication.published_at_ms,
    offset: publication.offset,
  };
}

const time = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export interface ItemOptions {
  readonly own: boolean;
  /** The author has just spoken: leave out who and when. */
  readonly follows: boolean;
  /** Send it again; offered on one that could not be sent. */
  readonly again: () => void;
}

export function messageItem(message: Message, { own, follows, again }: ItemOptions): HTMLElement {
  const classes = ["message", own && "own", follows && "follows", message.pending];
  const item = element("li", classes.filter(Boolean).join(" "));
  item.dataset["id"] = message.id;
  if (!follows) {
    const head = element("p", "head");
    const name = element("span", "author", own ? "You" : message.author);
    if (!own) item.append(avatar(message.author));
    head.append(name, timeOf(message.atMs));
    item.append(head);
  }
  item.append(element("p", "text", message.text));
  if (message.pending === "failed") {
    const note = element("p", "note", "Not sent. ");
    const button = element("button", "link", "Send again") as HTMLButtonElement;
    button.type = "button";
    button.addEventListener("click", again);
    note.append(button);
    item.append(note);
  }
  return item;
}

function timeOf(atMs: number): HTMLElement {
  const date = new Date(atMs);
  const today = date.toDateString() === new Date().toDateString();
  const made = element("time", "time", (today ? time : dayAndTime).format(date)) as HTMLTimeElement;
  made.dateTime = date.toISOString();
  made.title = dayAndTime.format(date);
  return made;
}

/** A coloured initial. */
export function avatar(name: string): HTMLElement {
  const initial = element("span", "avatar", ([...name][0] ?? "?").toUpperCase());
  initial.setAttribute("aria-hidden", "true");
  initial.style.setProperty("--hue", String(hue(name)));
  return initial;
}

/** A colour that stays with a name: 0 to 359 degrees. */
export function hue(name: string): number {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 3600;
  return hash % 360;
}
