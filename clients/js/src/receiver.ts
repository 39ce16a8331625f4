// The receiving rules of docs/protocol.md section 3: order, holes, repeats, positions. Pure: frames and the time go in,
// actions come out. Whoever runs it carries the actions out in their order, feeds the answers back, and calls `tick` at
// `nextTickMs`. tests/golden/receiver.json holds it and clients/python/src/tidewire/receiver.py to the same behaviour.

import type { Event, HistoryResult, Position, Publication, SubscribeResult } from "./generated/frames.js";
import { OffsetSet } from "./offsets.js";

export type Positions = Readonly<Record<string, Position>>;

/** Hand this event to the application. */
export interface Deliver {
  readonly kind: "deliver";
  readonly event: Event;
}

/** What lies between the application's last publication and `position` can't be had: it begins anew from there. */
export interface StartOver {
  readonly kind: "startOver";
  readonly channel: string;
  readonly position: Position;
}

/** Ask `history`; the answer goes to `filled`, its failure to `notFilled`. */
export interface AskHistory {
  readonly kind: "askHistory";
  readonly channel: string;
  readonly since: Position;
  readonly limit: number;
}

/** Ask `sync`; the answer goes to `behind`, its failure to `notSynced`. */
export interface AskSync {
  readonly kind: "askSync";
  readonly positions: Positions;
}

export type Action = Deliver | StartOver | AskHistory | AskSync;

/** An event that has a place in the stream. */
type Placed = Event & Pick<Publication, "epoch" | "offset" | "prev_offset">;
/** A run of the log without holes, as `subscribe` and `history` answer it. */
type Run = Pick<SubscribeResult, "publications" | "position"> & { readonly more?: boolean | null };

// A hole still open after this is filled with `history`; when that fails, again after twice the time, and so on.
const HOLE_MS = 1_000;
const HOLE_MAX_MS = 60_000;
// `sync` is asked when a channel has been quiet for so long; each time that it was asked, twice as long, since the next
// push shows the loss of the one before. Once something was missing, and for each subscription, it begins anew.
const QUIET_MS = 5_000;
const QUIET_MAX_MS = 40_000;
const BATCH_MAX_FRAMES = 100;
const HISTORY_MAX_LIMIT = 300;
// Events kept back per channel: beyond it the newest are dropped, since `history` has them all.
const WAITING_MAX = 1_000;
// Publications of a channel by which a repeat at another offset is known; and for how long, which is as long as the
// server knows an id: after that it may be used again.
const SEEN_MAX = 500;
const SEEN_MS = 300_000;

/** Every channel of one application, over any number of connections one after another. */
export class Receiver {
  readonly #streams = new Map<string, Stream>();
  readonly #spread: number; // of those who hear the same push, not all ask at the same moment
  #quietMs = QUIET_MS;

  constructor(random = Math.random) {
    this.#spread = 1 + random() / 2;
  }

  /** The channel is being subscribed to, for the first time or on a new connection: pushes wait for the answer. */
  open(channel: string): void {
    const stream = this.#streams.get(channel) ?? new Stream(channel);
    this.#streams.set(channel, stream);
    stream.open();
    this.#quietMs = QUIET_MS;
  }

  /** The application wants no more of it. */
  close(channel: string): void {
    this.#streams.delete(channel);
  }

  /** What a subscription is to be continued from. */
  since(channel: string): Position | undefined {
    return this.#streams.get(channel)?.position;
  }

  /** `subscribe` has been answered. */
  subscribed(result: SubscribeResult, nowMs: number): Action[] {
    const stream = this.#streams.get(result.channel);
    if (!stream?.opening) return [];
    return [...(result.recovered ? stream.continue(result, nowMs) : stream.begin(result.position, nowMs))];
  }

  /** Subscribing once more was refused: the subscription that stands goes on. */
  notSubscribed(channel: string, nowMs: number): Action[] {
    return [...(this.#streams.get(channel)?.goOn(nowMs) ?? [])];
  }

  /** An event was pushed. */
  event(event: Event, nowMs: number): Action[] {
    const stream = this.#streams.get(event.channel);
    if (!stream) return [];
    if (event.ephemeral) return [{ kind: "deliver", event }];
    if (!isPlaced(event)) return []; // what it was, `history` will tell
    return [...stream.take(event, nowMs)];
  }

  /** `history` has answered. */
  filled(channel: string, result: HistoryResult, nowMs: number): Action[] {
    const stream = this.#streams.get(channel);
    if (!stream?.filling) return [];
    if (!result.more || result.publications.length > 0) return [...stream.continue(result, nowMs)];
    stream.notFilled(nowMs);
    return [];
  }

  /** `history` was refused or not answered: it is asked again later. */
  notFilled(channel: string, nowMs: number): void {
    this.#streams.get(channel)?.notFilled(nowMs);
  }

  /** `sync` has answered: these streams go further than was known. */
  behind(positions: Positions): Action[] {
    const actions: Action[] = [];
    for (const [channel, end] of Object.entries(positions)) {
      const stream = this.#streams.get(channel);
      if (!stream || stream.opening || !stream.endsBefore(end)) continue;
      this.#quietMs = QUIET_MS;
      if (!stream.filling) actions.push(stream.fill());
    }
    return actions;
  }

  /** A `sync` of these was refused or not answered: it is asked again. */
  notSynced(asked: Positions, nowMs: number): void {
    for (const channel in asked) {
      const stream = this.#streams.get(channel);
      if (stream) stream.heardMs = nowMs;
    }
  }

  /** A `sync` of every channel: for the idle heartbeat, and when the machine or the network wakes; or of the quiet ones. */
  sync(heardToMs = Infinity): Action[] {
    const known: [string, Position][] = [];
    for (const [channel, stream] of this.#streams) {
      if (stream.heardMs > heardToMs) continue;
      stream.heardMs = Infinity;
      if (!stream.opening) known.push([channel, stream.position as Position]);
    }
    const actions: Action[] = [];
    while (known.length > 0) {
      actions.push({ kind: "askSync", positions: Object.fromEntries(known.splice(0, BATCH_MAX_FRAMES)) });
    }
    return actions;
  }

  /** Time has passed. */
  tick(nowMs: number): Action[] {
    const due = [...this.#streams.values()].filter(({ nextMs }) => nextMs <= nowMs);
    const actions: Action[] = due.map((stream) => stream.fill());
    if (due.length > 0) this.#quietMs = QUIET_MS;
    if (this.#quietAtMs <= nowMs) {
      this.#quietMs = Math.min(2 * this.#quietMs, QUIET_MAX_MS);
      actions.push(...this.sync(nowMs - QUIET_MS));
    }
    return actions;
  }

  /** When `tick` has something to do; never if nothing is due. */
  nextTickMs(): number {
    return Math.min(this.#quietAtMs, ...[...this.#streams.values()].map(({ nextMs }) => nextMs));
  }

  get #quietAtMs(): number {
    const heardMs = [...this.#streams.values()].map((stream) => stream.heardMs);
    return Math.min(...heardMs) + this.#quietMs * this.#spread;
  }
}

/** What is known of one channel. What it generates is to be taken whole before any of it is carried out. */
class Stream {
  /** What `subscribe` answers, and what continues it, comes first: pushes wait. */
  opening = true;
  /** An answer to `history` is on its way. */
  filling = false;
  /** When something came that `sync` was not asked about since. */
  heardMs = Infinity;
  readonly #channel: string;
  #epoch: string | undefined; // none until the first answer to `subscribe`
  #offset = 0; // everything up to here was handed over or settled
  #settled = new OffsetSet(); // ... and these beyond it: those behind a hole
  readonly #waiting = new Map<string, Placed>(); // their predecessor is missing; by epoch and offset
  readonly #seen = new Map<string, number>(); // who sent it, under which id, and when: the latest last
  #dueMs = Infinity; // when the hole is to be filled; never without a hole
  #failures = 0; // fills that failed since the last that did not

  constructor(channel: string) {
    this.#channel = channel;
  }

  get position(): Position | undefined {
    return this.#epoch === undefined ? undefined : { epoch: this.#epoch, offset: this.#offset };
  }

  /** When the hole is to be filled; never without one, or while it is being filled. */
  get nextMs(): number {
    return this.filling ? Infinity : this.#dueMs;
  }

  endsBefore({ epoch, offset }: Position): boolean {
    return epoch !== this.#epoch || offset > this.#offset;
  }

  open(): void {
    this.opening = true;
    this.#fillNone();
  }

  *goOn(nowMs: number): Generator<Action> {
    this.opening = false;
    yield* this.#release(nowMs);
  }

  /** Know nothing but the position, and what waits of the same stream behind it. */
  *begin(position: Position, nowMs: number): Generator<Action> {
    if (this.#epoch !== undefined) yield { kind: "startOver", channel: this.#channel, position };
    ({ epoch: this.#epoch, offset: this.#offset } = position);
    this.#settled = new OffsetSet();
    this.#seen.clear();
    this.#forgetOthers();
    this.opening = false;
    this.#fillNone();
    yield* this.#release(nowMs);
  }

  /** Hand over publications that go on from the position; ask for the rest if there is more. */
  *continue({ publications, position, more }: Run, nowMs: number): Generator<Action> {
    // The stream was replaced: nobody can say what lies between the two.
    if (position.epoch !== this.#epoch) return yield* this.begin(position, nowMs);
    this.#fillNone();
    for (const publication of publications) {
      yield* this.#settleTo(publication.offset - 1);
      yield* this.#handOver({ type: "event", ...publication });
    }
    if (more) return yield this.fill();
    yield* this.#settleTo(position.offset);
    this.opening = false;
    // What was pushed of another stream than the one that answered is of one that has ended.
    this.#forgetOthers();
    yield* this.#release(nowMs);
  }

  /** An event was pushed. */
  *take(event: Placed, nowMs: number): Generator<Action> {
    const place = `${event.epoch} ${event.offset}`;
    if (this.#waiting.size < WAITING_MAX && !this.#waiting.has(place)) this.#waiting.set(place, event);
    yield* this.#release(nowMs);
  }

  fill(): AskHistory {
    this.filling = true;
    this.#dueMs = Infinity;
    return {
      kind: "askHistory",
      channel: this.#channel,
      since: this.position as Position,
      limit: HISTORY_MAX_LIMIT,
    };
  }

  notFilled(nowMs: number): void {
    if (!this.filling) return;
    this.filling = false;
    this.#failures++;
    this.#dueMs = nowMs + Math.min(HOLE_MS * 2 ** this.#failures, HOLE_MAX_MS);
  }

  /** No hole is known; what was asked to fill one counts no more. */
  #fillNone(): void {
    this.filling = false;
    this.#dueMs = Infinity;
    this.#failures = 0;
  }

  /** Everything up to `offset` that was not handed over has gone from the log: say so, and go on from there. */
  *#settleTo(offset: number): Generator<Action> {
    const first = this.#offset + 1;
    if (offset >= first && !this.#settled.covers(first, offset)) {
      yield { kind: "startOver", channel: this.#channel, position: { epoch: this.#epoch as string, offset } };
    }
    this.#settle(first, offset);
  }

  /** Hand over what waits and may go; see to the hole that is left. */
  *#release(nowMs: number): Generator<Action> {
    if (this.opening) return;
    this.heardMs = nowMs;
    // One of another epoch is of a stream that has ended, or begun anew: `history` will tell.
    const own = [...this.#waiting].filter(([, { epoch }]) => epoch === this.#epoch);
    for (const [place, event] of own.sort(([, a], [, b]) => a.offset - b.offset)) {
      if (!this.#has(event.prev_offset)) continue;
      this.#waiting.delete(place);
      yield* this.#handOver(event);
    }
    if (this.#waiting.size === 0 && this.#settled.empty) this.#dueMs = Infinity;
    else if (this.#dueMs === Infinity) this.#dueMs = nowMs + HOLE_MS;
  }

  *#handOver(event: Placed): Generator<Action> {
    const { offset, sender, message_id, published_at_ms } = event;
    const mark = JSON.stringify([sender.user_id, message_id]);
    const repeat = Math.abs(published_at_ms - (this.#seen.get(mark) ?? -Infinity)) < SEEN_MS;
    if (!this.#has(offset) && !repeat) {
      yield { kind: "deliver", event };
      this.#seen.delete(mark);
      this.#seen.set(mark, published_at_ms);
      if (this.#seen.size > SEEN_MAX) this.#seen.delete(this.#seen.keys().next().value as string);
    }
    this.#settle(event.covers_from ?? offset, offset);
  }

  /** Whether it was handed over or settled. */
  #has(offset: number): boolean {
    return offset <= this.#offset || this.#settled.covers(offset, offset);
  }

  #settle(first: number, last: number): void {
    this.#settled.add(Math.max(first, this.#offset + 1), last);
    this.#offset = this.#settled.advance(this.#offset);
  }

  #forgetOthers(): void {
    for (const [place, { epoch }] of this.#waiting) if (epoch !== this.#epoch) this.#waiting.delete(place);
  }
}

function isPlaced(event: Event): event is Placed {
  const { epoch, offset, prev_offset, sender } = event;
  return typeof epoch === "string" && typeof offset === "number" && typeof prev_offset === "number" && !!sender;
}
