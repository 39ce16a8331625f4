// A room: its channel, what was said, and what is on its way.

import type { Channel, Publication, Tidewire } from "tidewire";
import { fromPublication, type Message, type Said } from "./message.js";

export const ROOM_NAMESPACE = "room";
const HISTORY = 50;
const KEPT = 500;
const NAME = /^[A-Za-z0-9_.:~%-]+$/; // the alphabet of channels: docs/protocol.md section 1
const NAME_MAX = 200 - ROOM_NAMESPACE.length - 1;

/** What is wrong with a room's name, or undefined. */
export function roomNameProblem(name: string): string | undefined {
  if (!name) return "Give the room a name.";
  if (name.length > NAME_MAX) return `A name has at most ${NAME_MAX} characters.`;
  if (!NAME.test(name)) return "Use letters A–Z, digits and _ . : ~ % - only.";
  return undefined;
}

export class Room {
  readonly name: string;
  readonly #channel: Channel;
  readonly #userId: string;
  readonly #changed: () => void;
  #messages: readonly Message[] = [];
  unread = 0;
  /** The server has not answered yet. */
  opening = true;
  problem: string | undefined;

  constructor(client: Tidewire, name: string, userId: string, changed: () => void) {
    this.name = name;
    this.#userId = userId;
    this.#changed = changed;
    this.#channel = client.channel(`${ROOM_NAMESPACE}:${name}`);
    this.#channel.on("said", (event) => {
      if (event.ephemeral) return; // not part of what was said
      this.#put([event as Publication]);
      if (event.sender.user_id !== userId) this.unread++;
      this.#changed();
    });
    this.#channel.onReset(() => void this.#load());
    void this.#enter();
  }

  get messages(): readonly Message[] {
    return this.#messages;
  }

  async say(text: string, author: string): Promise<void> {
    const id = crypto.randomUUID();
    const message: Message = { id, userId: this.#userId, author, text, atMs: Date.now(), pending: "sending" };
    this.#replace([message]);
    this.#changed();
    try {
      await this.#channel.publish("said", { text, author } satisfies Said, { messageId: id });
    } catch {
      if (!this.#messages.includes(message)) return; // it came back as an event: only the answer was lost
      this.#replace([{ ...message, pending: "failed" }]);
      this.#changed();
    }
  }

  /** Show a message that could not be sent no more. */
  forget(message: Message): void {
    this.#messages = this.#messages.filter(({ id }) => id !== message.id);
  }

  async #enter(): Promise<void> {
    try {
      this.#put(await this.#channel.subscribe({ history: HISTORY }));
    } catch (error) {
      this.problem = `This room can't be opened: ${error instanceof Error ? error.message : String(error)}.`;
    }
    this.opening = false;
    this.#changed();
  }

  /** Start over: what was missed could not be had. */
  async #load(): Promise<void> {
    try {
      const { publications } = await this.#channel.history({ limit: HISTORY, reverse: true });
      this.#messages = this.#messages.filter(({ pending }) => pending);
      this.#put(publications);
      this.#changed();
    } catch {
      // The connection went again: the next one recovers from the new position, and the older part stays as it was.
    }
  }

  #put(publications: readonly Publication[]): void {
    this.#replace(publications.filter(({ name }) => name === "said").map(fromPublication));
  }

  /** Put messages in their places: the stream's order, then what is on its way. A known one takes its new place. */
  #replace(messages: readonly Message[]): void {
    const ids = new Set(messages.map(({ id }) => id));
    const others = this.#messages.filter(({ id }) => !ids.has(id));
    this.#messages = [...others, ...messages].sort(byPlace).slice(-KEPT);
  }
}

function byPlace(a: Message, b: Message): number {
  return (a.offset ?? Infinity) - (b.offset ?? Infinity) || a.atMs - b.atMs; // Infinity - Infinity is NaN: by time
}
