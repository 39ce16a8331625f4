// A room: its channel, what was said, and what is on its way.

import type { Channel, Tidewire } from "tidewire";
import { fromEvent, type Message, type Said } from "./message.js";

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
  #messages: Message[] = [];
  unread = 0;
  problem: string | undefined;

  constructor(client: Tidewire, name: string, userId: string, changed: () => void) {
    this.name = name;
    this.#userId = userId;
    this.#changed = changed;
    this.#channel = client.channel(`${ROOM_NAMESPACE}:${name}`);
    this.#channel.on("said", (event) => {
      this.#put(fromEvent(event));
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
    const message: Message = {
      id: crypto.randomUUID(),
      userId: this.#userId,
      author,
      text,
      atMs: Date.now(),
      pending: "sending",
    };
    this.#put(message);
    this.#changed();
    try {
      await this.#channel.publish("said", { text, author } satisfies Said, { messageId: message.id });
    } catch {
      this.#put({ ...message, pending: "failed" });
      this.#changed();
    }
  }

  async #enter(): Promise<void> {
    try {
      const earlier = await this.#channel.subscribe({ history: HISTORY });
      for (const publication of earlier) if (publication.name === "said") this.#put(fromEvent(publication));
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
    this.#changed();
  }

  async #load(): Promise<void> {
    const { publications } = await this.#channel.history({ limit: HISTORY, reverse: true });
    this.#messages = this.#messages.filter((message) => message.pending);
    for (const publication of publications) if (publication.name === "said") this.#put(fromEvent(publication));
    this.#changed();
  }

  /** Put a message in its place; one that is known already (our own, now stored) takes its own place. */
  #put(message: Message): void {
    const others = this.#messages.filter((known) => known.id !== message.id);
    others.push(message);
    this.#messages = others.sort((a, b) => a.atMs - b.atMs).slice(-KEPT);
  }
}
