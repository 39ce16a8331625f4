// The conversation on the page: what is shown stays in its place, and the end stays in view for who is reading there.

import { element, get, setChildren } from "./dom.js";
import { messageItem, type Message } from "./message.js";
import type { Room } from "./room.js";

const SAME_SPEAKER_MS = 5 * 60_000;
const AT_END_PX = 60;

interface Shown {
  readonly message: Message;
  readonly follows: boolean;
  readonly item: HTMLElement;
}

export class MessageLog {
  readonly #list = get("messages");
  readonly #toEnd = get("to-end");
  readonly #userId: string;
  readonly #sayAgain: (text: string) => void;
  #shown = new Map<string, Shown>();
  #room: Room | undefined;
  #lastId: string | undefined;
  #atEnd = true;

  /** @param sayAgain called with a text that could not be sent, when its author wants it sent after all */
  constructor(userId: string, sayAgain: (text: string) => void) {
    this.#userId = userId;
    this.#sayAgain = sayAgain;
    this.#list.addEventListener("scroll", () => this.#scrolled());
    this.#toEnd.addEventListener("click", () => this.#scrollToEnd());
    // A phone's keyboard takes its room from the conversation.
    new ResizeObserver(() => this.#atEnd && this.#scrollToEnd()).observe(this.#list);
  }

  /** Show what is said in a room, now. */
  show(room: Room): void {
    const last = room.messages.at(-1);
    const entered = room !== this.#room;
    const news = last?.id !== this.#lastId;
    this.#room = room;
    this.#lastId = last?.id;
    setChildren(this.#list, this.#items(room));
    if (entered || this.#atEnd || (news && last?.pending)) this.#scrollToEnd();
    else if (news) this.#toEnd.hidden = false;
  }

  #items(room: Room): HTMLElement[] {
    const shown = new Map<string, Shown>();
    room.messages.forEach((message, index) => {
      const before = room.messages[index - 1];
      const follows = before?.userId === message.userId && message.atMs - before.atMs < SAME_SPEAKER_MS;
      const known = this.#shown.get(message.id);
      const same = known?.message === message && known.follows === follows;
      shown.set(message.id, same ? known : { message, follows, item: this.#item(room, message, follows) });
    });
    this.#shown = shown;
    if (shown.size > 0) return [...shown.values()].map(({ item }) => item);
    return [element("li", "empty", room.problem ?? (room.opening ? "Opening the room …" : "Nothing said yet. Begin."))];
  }

  #item(room: Room, message: Message, follows: boolean): HTMLElement {
    const again = (): void => {
      room.forget(message);
      this.#sayAgain(message.text);
    };
    return messageItem(message, { own: message.userId === this.#userId, follows, again });
  }

  #scrolled(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    if (this.#atEnd) this.#toEnd.hidden = true;
  }

  #scrollToEnd(): void {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#scrolled();
  }
}
