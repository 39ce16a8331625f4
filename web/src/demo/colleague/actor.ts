// The colleague in flesh and blood: a second client with a guest's token of its own, on the real network.

import { Tidewire, type Channel } from "tidewire";
import { BOARD_KEY } from "../board/useBoard.js";
import { COLUMNS, move, newCard, readBoard, type BoardData, type CardsPatch, type Columns } from "../board/cards.js";
import { CursorSender, type Point } from "../board/pointers.js";
import { channelOf } from "../room.js";
import { guestToken } from "../session.js";
import { Runner, type Stage } from "./runner.js";
import { NAME, SCRIPT, type Beat } from "./script.js";

export interface ActorOptions {
  readonly room: string;
  /** Whom it is for. */
  readonly name: string;
  readonly userId: () => string | undefined;
  /** It has nothing to do, or has again. */
  readonly onRest: (resting: boolean) => void;
}

const CARDS_MAX = 4;

export class Actor {
  readonly #options: ActorOptions;
  readonly #client: Tidewire;
  readonly #runner: Runner;
  readonly #cursor: CursorSender;
  #wanted: string; // the room's channel
  #in: string | undefined; // the channel that it has entered last
  #channel: Channel; // that one, or the one that it is entering
  #going: Promise<void> | undefined;
  #unhear: () => void = () => undefined;
  #cards: string[] = []; // ids of its own

  constructor(options: ActorOptions) {
    this.#options = options;
    const userId = `guest.${NAME}~${crypto.getRandomValues(new Uint32Array(1))[0]?.toString(36)}`;
    const realFetch: typeof fetch = (...request) => fetch(...request);
    this.#client = new Tidewire({ getToken: () => guestToken(userId, realFetch), persist: false, shareTabs: false });
    this.#wanted = channelOf(options.room);
    this.#channel = this.#client.channel(this.#wanted);
    this.#cursor = new CursorSender((at) =>
      this.#channel.publish("cursor", at && { ...at, name: NAME }, { ephemeral: true }),
    );
    const clock = {
      now: () => Date.now(),
      after: (ms: number, then: () => void) => {
        const timer = setTimeout(then, ms);
        return () => clearTimeout(timer);
      },
    };
    this.#runner = new Runner(SCRIPT, this.#stage(), clock, Math.random);
  }

  /** Come in; resolves when it can be seen. */
  async start(): Promise<void> {
    await this.#go();
    this.#runner.start();
  }

  /** Go where the user goes. */
  async follow(room: string): Promise<void> {
    this.#wanted = channelOf(room);
    await this.#go();
  }

  seen(): void {
    this.#runner.seen();
  }

  away(away: boolean): void {
    this.#runner.away(away);
  }

  leave(): void {
    this.#runner.stop();
    this.#client.close();
  }

  async #go(): Promise<void> {
    if (this.#in !== this.#wanted) await (this.#going ??= this.#arrive());
  }

  /** One room after the other: somebody in a hurry is in the next one before this one is entered. */
  async #arrive(): Promise<void> {
    try {
      while (this.#in !== this.#wanted) {
        const name = this.#wanted;
        const moved = this.#in !== undefined;
        if (moved) this.#leave(name);
        await this.#enter();
        this.#in = name;
        if (moved) this.#runner.followed();
      }
    } finally {
      this.#going = undefined;
    }
  }

  #leave(next: string): void {
    const before = this.#channel;
    this.#cards = [];
    this.#unhear();
    this.#channel = this.#client.channel(next);
    before.presence
      .leave()
      .then(() => before.unsubscribe())
      .catch(this.#failed);
  }

  async #enter(): Promise<void> {
    const channel = this.#channel;
    this.#unhear = channel.on("said", ({ data, sender, offset }) => {
      if (offset) setTimeout(() => channel.presence.markRead(offset), 400); // who reads needs a moment
      if (sender.user_id !== this.#options.userId()) return;
      const { text } = (typeof data === "object" && data !== null ? data : {}) as { text?: unknown };
      this.#runner.heard(typeof text === "string" ? text : "");
    });
    await channel.subscribe();
    await channel.presence.join();
    await this.#say(channel, "online");
    await channel.document(BOARD_KEY).ready();
  }

  #say(channel: Channel, status: "online" | "away"): Promise<void> {
    return channel.presence.update({ status, data: { name: NAME } });
  }

  #stage(): Stage {
    return {
      say: (text) => {
        const said = { text: text.replaceAll("{name}", this.#options.name), author: NAME };
        this.#channel.publish("said", said).catch(this.#failed);
      },
      type: (active) => this.#channel.presence.type(active),
      point: (at) => {
        this.#channel.presence.active();
        this.#cursor.move(at);
      },
      board: (beat) => this.#play(beat),
      rest: (resting) => {
        this.#say(this.#channel, resting ? "away" : "online").catch(this.#failed);
        this.#options.onRest(resting);
      },
    };
  }

  #play(beat: Extract<Beat, { do: "add" | "move" | "rename" }>): Point | undefined {
    const document = this.#channel.document<BoardData>(BOARD_KEY);
    const columns = readBoard(document.value);
    const patch = this.#patch(beat, columns);
    if (!patch) return undefined;
    document.patch({ cards: patch } as Parameters<typeof document.patch>[0]).catch(this.#failed);
    const [id] = Object.keys(patch);
    const after = readBoard(document.value);
    const column = COLUMNS.findIndex((each) => after[each.id].some((card) => card.id === id));
    return { x: (column + 0.5) / COLUMNS.length, y: 0.3 };
  }

  /** It changes no cards but its own. */
  #patch(beat: Extract<Beat, { do: "add" | "move" | "rename" }>, columns: Columns): CardsPatch | undefined {
    const own = COLUMNS.flatMap(({ id }) => columns[id]).filter(({ id }) => this.#cards.includes(id));
    const last = own.find(({ id }) => id === this.#cards.at(-1));
    if (beat.do === "rename") return last && { [last.id]: { title: beat.title } };
    if (beat.do === "move") {
      const card = own.find(({ id }) => id === this.#cards[0]) ?? last;
      if (!card) return undefined;
      const next = COLUMNS[(COLUMNS.findIndex(({ id }) => id === card.column) + 1) % COLUMNS.length];
      return next && move(columns, card, next.id, 0);
    }
    if (own.length >= CARDS_MAX) return undefined;
    const { title, column, color } = beat.card;
    const [[id, fields] = []] = Object.entries(
      newCard(columns, title.replaceAll("{name}", this.#options.name), column, NAME),
    );
    if (!id || !fields) return undefined;
    this.#cards.push(id);
    return { [id]: { ...fields, ...(color && { color }) } };
  }

  // Whoever has left, or lost the connection for good, has nobody to tell.
  readonly #failed = (error: unknown): void => {
    if (this.#client.state !== "closed") console.warn(error);
  };
}
