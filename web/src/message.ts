// What is said in a room, and how one message looks. Everything that people typed is set as text, never as markup.

import type { Publication } from "tidewire";

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
  /** Not known to the server yet, or refused by it. */
  readonly pending?: "sending" | "failed";
}

/** Read an event; anybody may publish anything, so what has no text is shown as such. */
export function fromEvent(event: Pick<Publication, "data" | "message_id" | "sender" | "published_at_ms">): Message {
  const said = (typeof event.data === "object" && event.data !== null ? event.data : {}) as Partial<Said>;
  return {
    id: event.message_id,
    userId: event.sender.user_id,
    author: typeof said.author === "string" && said.author ? said.author : event.sender.user_id,
    text: typeof said.text === "string" ? said.text : JSON.stringify(event.data),
    atMs: event.published_at_ms,
  };
}

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** The list item of a message. `follows` leaves out the author, who has just spoken. */
export function messageItem(message: Message, own: boolean, follows: boolean): HTMLLIElement {
  const item = document.createElement("li");
  item.className = ["message", own ? "own" : "", follows ? "follows" : "", message.pending ?? ""].join(" ").trim();
  item.dataset["id"] = message.id;
  if (!follows) {
    const head = element("p", "head");
    const at = element("time", "time", time.format(message.atMs)) as HTMLTimeElement;
    at.dateTime = new Date(message.atMs).toISOString();
    head.append(avatar(message.author), element("span", "author", own ? "You" : message.author), at);
    item.append(head);
  }
  item.append(element("p", "text", message.text));
  if (message.pending === "failed") item.append(element("p", "note", "Not sent"));
  return item;
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

export function element(tag: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
