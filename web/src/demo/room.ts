// A room: its channel, what was said, and what is on its way.

import type { Channel, Publication, Tidewire } from "tidewire";
import { fromPublication, idOf, type Message, type Said } from "./message.js";
import { waiting } from "./network/waiting.js";

const NAMESPACE = "room";
const HISTORY = 50;
const KEPT = 500;
const NAME = /^[A-Za-z0-9_.:~%-]+$/; // the alphabet of channels: docs/protocol.md section 1
const NAME_MAX = 200 - NAMESPACE.length - 1;

/** What is wrong with a room's name, or undefined. */
export function roomNameProblem(name: string): string | undefined {
  if (!name) return "Give the room a name.";
  if (name.length > NAME_MAX) return `A name has at most ${NAME_MAX} characters.`;
  if (!NAME.test(name)) return "Use letters A–Z, digits and _ . : ~ % - only.";
  return undefined;
}

/** The channel of a room of that name. */
export function channelOf(room: string): string {
  return `${NAMESPACE}:${room}`;
}

/** A room as it is now. */
export interface RoomView {
  readonly name: string;
  /** In the stream's order; then what is on its way. */
  readonly messages: readonly Message[];
  readonly unread: number;
  /** The server has not answered yet. */
  readonly opening: boolean;
  /** Why it can't be opened. */
  readonly problem?: string;
}

/** A room that stays subscribed to, so that there is something to count while another one is on the screen. */
export class Room {
  readonly #channel: Channel;
  readonly #userId: string;
  readonly #changed: () => void;
  #view: RoomView;

  constructor(client: Tidewire, name: string, userId: string, changed: () => void) {
    this.#userId = userId;
    this.#changed = changed;
    this.#view = { name, messages: [], unread: 0, opening: true };
    this.#channel = client.channel(channelOf(name));
    this.#channel.on("said", (event) => {
      if (event.ephemeral) return; // not part of what was said
      const unread = this.#view.unread + Number(event.sender.user_id !== userId);
      this.#show({ messages: this.#with(read([event as Publication])), unread });
    });
    this.#channel.onReset(() => void this.#load());
    void this.#enter();
  }

  get view(): RoomView {
    return this.#view;
  }

  /** Say something; or once more what could not be sent. */
  async say(text: string, author: string, messageId: string = crypto.randomUUID()): Promise<void> {
    const userId = this.#userId;
    const id = idOf(userId, messageId);
    const message: Message = { id, messageId, userId, author, text, atMs: Date.now(), pending: "sending" };
    this.#show({ messages: this.#with([message]) });
    try {
      // The same id as before: what did arrive after all is not said twice.
      const said = { text, author } satisfies Said;
      await waiting.track(this.#channel.publish("said", said, { messageId, offline: true }));
    } catch {
      if (!this.#view.messages.includes(message)) return; // it came back as an event: only the answer was lost
      this.#show({ messages: this.#with([{ ...message, pending: "failed" }]) });
    }
  }

  /** Everything was seen. */
  read(): void {
    if (this.#view.unread > 0) this.#show({ unread: 0 });
  }

  async #enter(): Promise<void> {
    try {
      const before = await this.#channel.subscribe({ history: HISTORY });
      this.#show({ messages: this.#with(read(before)), opening: false });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#show({ opening: false, problem: `This room can't be opened: ${why}.` });
    }
  }

  /** Start over: what was missed could not be had. */
  async #load(): Promise<void> {
    try {
      const { publications } = await this.#channel.history({ limit: HISTORY, reverse: true });
      const onTheirWay = this.#view.messages.filter(({ pending }) => pending);
      this.#show({ messages: this.#with(read(publications), onTheirWay) });
    } catch {
      // The connection went again: the next one recovers from the new position, and the older part stays as it was.
    }
  }

  /** Messages put in their places. A known one takes its new place. */
  #with(messages: readonly Message[], known: readonly Message[] = this.#view.messages): readonly Message[] {
    const ids = new Set(messages.map(({ id }) => id));
    return [...known.filter(({ id }) => !ids.has(id)), ...messages].sort(byPlace).slice(-KEPT);
  }

  #show(change: Partial<RoomView>): void {
    this.#view = { ...this.#view, ...change };
    this.#changed();
  }
}

function read(publications: readonly Publication[]): readonly Message[] {
  return publications.filter(({ name }) => name === "said").map(fromPublication);
}

function byPlace(a: Message, b: Message): number {
  return (a.offset ?? Infinity) - (b.offset ?? Infinity) || a.atMs - b.atMs; // Infinity - Infinity is NaN: by time
}
