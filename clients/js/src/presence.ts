// Who is in a channel, and what its user says there: status, activity, typing, how far was read.

import { TIMER_MAX_MS } from "./backoff.js";
import { now } from "./clock.js";
import type { Asked } from "./link.js";
import { TidewireError, againAfterMs, closed, isPassing, tooLarge, uncertain } from "./errors.js";
import type { Member, PresenceResult, Push, SubscribeResult } from "./generated/frames.js";
import { Members, type MembersPush } from "./members.js";
import { same } from "./merge.js";
import type { ChannelPart } from "./part.js";

export interface PresenceHost {
  readonly ask: (request: Asked) => Promise<unknown>;
  readonly connected: () => boolean;
  readonly report: (error: unknown) => void;
  /** Have the channel subscribe again, with what its parts want now. */
  readonly resubscribe: () => Promise<void>;
  /** Who the server says we are. */
  readonly userId: () => string | undefined;
  readonly random?: () => number;
}

/** What a user says of itself in a channel. */
export interface Said {
  readonly status?: Member["status"];
  /** JSON, at most 1,000 bytes; `null` takes it back. */
  readonly data?: unknown;
}

export type PresenceListener = (presence: Presence) => void;

interface Words extends Said {
  readonly active?: boolean;
}

const SAID_MAX = 8_000; // characters: what is surely no frame; the server minds its own limit
// With more members their number alone is told, until there are few again; `presence.get` would list them all the same.
const MEMBERS_MAX = 100;
const MEMBERS_AGAIN = 80;
const ACTIVE_AGAIN_MS = 30_000; // another connection of the user may have said that it is not
// Who reads a long message has not gone, and each change is pushed to every member.
const ACTIVE_ENDS_MS = 60_000;
const TYPING_AGAIN_MS = 3_000;
const TYPING_ENDS_MS = 5_000;

/** Who is in a channel. Whoever does not `join` neither sees nor is seen. */
export class Presence implements ChannelPart {
  readonly #channel: string;
  readonly #host: PresenceHost;
  readonly #listeners = new Set<PresenceListener>();
  #joining: Promise<void> | undefined; // the user has joined
  #subscribed = false; // the channel is, or is about to be
  #here = false; // this connection is there to be seen, as far as we know
  #members = new Members();
  #asking: object | undefined; // stands for the `presence.get` whose answer counts
  #askAgainMs = Infinity;
  #failures = 0; // of it, one after another
  #timer: ReturnType<typeof setTimeout> | undefined;
  // What listeners have been told of, also as JSON.
  #list: readonly Member[] = [];
  #count = 0;
  #typing: readonly string[] = [];
  #told = "[[],0,[]]";
  // What the user says.
  readonly #updates: Line;
  readonly #typings: Line;
  readonly #acks: Line;
  #said: Record<string, unknown> = {}; // by `Words`; the server has it
  readonly #shown = new Set<string>(); // ... and has told of it
  #activeMs = -Infinity;
  #activeTimer: ReturnType<typeof setTimeout> | undefined;
  #typedMs = -Infinity;
  #typingTimer: ReturnType<typeof setTimeout> | undefined;
  #readTo = 0;
  #epoch: string | undefined; // of the stream in which that is

  constructor(channel: string, host: PresenceHost) {
    this.#channel = channel;
    this.#host = host;
    const here = (): boolean => this.#here;
    this.#updates = new Line({ type: "presence.update", channel }, host, here);
    this.#typings = new Line({ type: "typing", channel }, host, here, false); // later it would be no news
    this.#acks = new Line({ type: "ack", channel }, host, host.connected);
  }

  /** Who is there, by user id; always the same array until that changes. Empty where only numbers are told. */
  get members(): readonly Member[] {
    return this.#list;
  }

  /** How many are there. */
  get count(): number {
    return this.#count;
  }

  /** Ids of the other users who type now. */
  get typing(): readonly string[] {
    return this.#typing;
  }

  /**
   * Be a member, and see the others, until `leave()`: also on the next connection, or when the channel is subscribed to
   * again.
   * @throws TidewireError when the server refuses
   */
  join(): Promise<void> {
    if (!this.#joining) {
      const joining = Promise.resolve()
        .then(() => this.#host.resubscribe())
        .catch((error: unknown) => {
          if (this.#joining === joining) {
            this.#joining = undefined;
            this.#end(error);
          }
          throw error;
        });
      this.#joining = joining;
    }
    return this.#joining;
  }

  /** Neither see nor be seen any longer. What the user has said here ends with it. */
  async leave(): Promise<void> {
    if (!this.#joining) return;
    this.#joining = undefined;
    this.#said = {};
    this.#end(closed("left"));
    if (this.#subscribed) await this.#host.resubscribe();
  }

  /** Called when `members`, `count` or `typing` has changed. Returns a function that ends it. */
  onChange(listener: PresenceListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Say how the user is, for all of its connections; resolves when the server has it. It is said again if it got lost
   * with the session.
   * @throws TidewireError when the server refuses, or the user has not joined
   */
  async update(said: Said): Promise<void> {
    const text = JSON.stringify(said);
    if (text.length > SAID_MAX) throw tooLarge(text.length); // API Gateway would close the connection over it
    await this.#say(JSON.parse(text) as Said); // a copy: what is said again is what was said
  }

  /** The user did something: call it as often as you like. A minute after the last time, it is told to be inactive. */
  active(): void {
    if (!this.#joining) return;
    clearTimeout(this.#activeTimer);
    this.#activeTimer = setTimeout(() => this.#sayActive(false), ACTIVE_ENDS_MS);
    if (now() - this.#activeMs >= ACTIVE_AGAIN_MS) this.#sayActive(true);
  }

  /** The user types: call it with each key. With `false`, or 5 s after the last time, it types no more. */
  type(active = true): void {
    clearTimeout(this.#typingTimer);
    if (!this.#here) return; // later it would be no news
    if (active) this.#typingTimer = setTimeout(() => this.type(false), TYPING_ENDS_MS);
    if (active ? now() - this.#typedMs < TYPING_AGAIN_MS : this.#typedMs === -Infinity) return;
    this.#typedMs = active ? now() : -Infinity;
    this.#typings.put({ active });
  }

  /** The user has read everything up to here; the server is told of the greatest. It takes no `join()`. */
  markRead(offset: number): void {
    if (!(offset > this.#readTo)) return;
    this.#readTo = offset;
    this.#acks.put({ offset });
  }

  // The channel's side.

  /** @internal */
  subscribing(): { presence?: true } {
    this.#subscribed = true;
    this.#suspend();
    return this.#joining ? { presence: true } : {};
  }

  /** @internal */
  subscribed({ position, presence }: SubscribeResult): void {
    if (this.#epoch !== undefined && this.#epoch !== position?.epoch) {
      this.#forgetRead(closed("the stream was replaced"));
    }
    this.#epoch = position?.epoch;
    this.#acks.flush();
    if (!this.#joining || !presence) return;
    this.#here = true;
    if (isAnswer(presence)) this.#answered([presence], true);
    else this.check();
    this.#updates.flush();
  }

  /** @internal */
  push(push: Push): void {
    if (!this.#joining) return;
    if (push.type === "system" && push.event === "lagged") this.check();
    if (!isMembersPush(push)) return;
    this.#members.push(push, now());
    this.#settle();
  }

  /** @internal */
  check(): void {
    if (this.#here && !this.#asking) void this.#ask();
    this.#settle();
  }

  /** @internal */
  disconnected(): void {
    this.#suspend();
    this.#settle(); // who types is forgotten all the same
  }

  /** @internal */
  closed(error: TidewireError): void {
    this.#subscribed = false;
    this.#forgetRead(error);
    this.#end(error);
  }

  /** Nothing can be asked until `subscribed`. */
  #suspend(): void {
    this.#here = false;
    this.#asking = undefined;
    this.#askAgainMs = Infinity;
    this.#failures = 0;
    this.#members.asked();
  }

  /** This connection is no member any more. */
  #end(error: unknown): void {
    this.#suspend();
    this.#activeMs = -Infinity;
    clearTimeout(this.#activeTimer);
    clearTimeout(this.#typingTimer);
    this.#updates.clear(error);
    this.#members = new Members();
    this.#settle();
  }

  #forgetRead(error: TidewireError): void {
    this.#readTo = 0;
    this.#acks.clear(error);
  }

  async #say(words: Words): Promise<void> {
    const error = { code: 1006, name: "not_subscribed", message: "join first", retryable: false };
    if (!this.#joining) throw new TidewireError(error);
    const said = this.#said;
    await this.#updates.add(words);
    Object.assign(said, words);
    for (const name in words) this.#shown.delete(name);
  }

  #sayActive(active: boolean): void {
    this.#activeMs = active ? now() : -Infinity;
    this.#say({ active }).catch(this.#report);
  }

  #answered(pages: readonly [PresenceResult, ...PresenceResult[]], anew = false): void {
    this.#members.answered(pages, now());
    const own = anew && this.#own;
    if (own) {
      const says = { ...this.#said, ...this.#updates.words };
      const lost = Object.entries(says).filter(([name, value]) => !same(own[name as keyof Member], value));
      if (lost.length > 0) this.#say(Object.fromEntries(lost)).catch(this.#report);
    }
    this.#settle();
  }

  get #own(): Member | undefined {
    return this.#members.byUser.get(this.#host.userId() ?? "");
  }

  /** Ask who is there, however many frames it takes. */
  async #ask(): Promise<void> {
    const asking = (this.#asking = {});
    this.#askAgainMs = Infinity;
    this.#members.asked();
    const request = { type: "presence.get", channel: this.#channel } as const;
    try {
      const pages: PresenceResult[] = [];
      let after: string | undefined;
      do {
        const page = await this.#host.ask({ ...request, ...(after !== undefined && { after }) });
        if (asking !== this.#asking) return;
        // A page has one member at least, and no more than these are told: what goes on and on makes no sense.
        if (!isAnswer(page) || pages.length > MEMBERS_MAX) throw uncertain("the list of members makes no sense");
        const { count, version } = page;
        const many = count > (this.#members.numbers ? MEMBERS_AGAIN : MEMBERS_MAX);
        if (many) pages.splice(0);
        pages.push(many ? { members: [], count, version } : page);
        after = many || !page.more ? undefined : page.members.at(-1)?.user_id;
      } while (after !== undefined);
      this.#asking = undefined;
      this.#failures = 0;
      this.#answered(pages as [PresenceResult]);
    } catch (error) {
      if (asking !== this.#asking) return;
      this.#asking = undefined;
      this.#report(error); // if it is for good, the next `check` asks again
      const waitMs = againAfterMs(error, this.#failures++, this.#host.random);
      if (waitMs !== undefined) this.#askAgainMs = now() + waitMs;
      this.#settle();
    }
  }

  /** See what follows from what is known, and tell listeners of it. */
  #settle(): void {
    const due = this.#askAgainMs <= now() || this.#members.needsGet(now());
    if (this.#here && !this.#asking && due) void this.#ask();
    this.#giveWay();
    const list = [...this.#members.byUser.values()].sort((a, b) => (a.user_id < b.user_id ? -1 : 1));
    const { count } = this.#members;
    const typing = this.#members.typing(now()).filter((user) => user !== this.#host.userId());
    clearTimeout(this.#timer);
    const waitMs = Math.min(this.#members.nextMs, this.#askAgainMs) - now();
    if (waitMs <= TIMER_MAX_MS) this.#timer = setTimeout(() => this.#settle(), Math.max(0, waitMs));
    const told = JSON.stringify([list, count, typing]);
    if (told === this.#told) return;
    this.#told = told;
    [this.#list, this.#count, this.#typing] = [list, count, typing];
    this.#listeners.forEach((listener) => {
      try {
        listener(this);
      } catch (error) {
        this.#host.report(error);
      }
    });
  }

  /** Where our own words were shown and others are now, another connection of the user has said them: they stand. */
  #giveWay(): void {
    const own = this.#own;
    if (!own) return;
    for (const [name, value] of Object.entries(this.#said)) {
      if (same(own[name as keyof Member], value)) this.#shown.add(name);
      else if (this.#shown.delete(name)) delete this.#said[name];
    }
  }

  /** Whoever has left, or was refused, need not hear what that ended. */
  readonly #report = (error: unknown): void => void (!this.#joining || isPassing(error) || this.#host.report(error));
}

/** Words on their way: one request at a time, since of two the server may handle the later one first. */
class Line {
  #next: object | undefined;
  #sent: object | undefined;
  #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = []; // for `#next`
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #request: object;
  readonly #host: PresenceHost;
  readonly #ready: () => boolean;
  readonly #again: boolean;

  /** `again`: what failed in passing is sent again. @internal */
  constructor(request: object, host: PresenceHost, ready: () => boolean, again = true) {
    this.#request = request;
    this.#host = host;
    this.#ready = ready;
    this.#again = again;
  }

  /** What has not been answered yet. */
  get words(): object {
    return { ...this.#sent, ...this.#next };
  }

  /** Say this as soon as it can be said; of what waits, each word counts as it was said last. */
  put(words: object): void {
    this.#next = { ...this.#next, ...words };
    if (this.#timer === undefined) this.flush();
  }

  /** As `put`; resolves when the server has it. What nobody waits for is reported if it fails. */
  add(words: object): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.put(words);
    });
  }

  /** Send what waits, if it can be sent, whatever was to be waited for. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#next && !this.#sent && this.#ready()) void this.#send(this.#next);
  }

  /** Refuse what waits; what has been sent is not sent again. */
  clear(error: unknown): void {
    this.#next = this.#sent = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  async #send(words: object): Promise<void> {
    const waiting = this.#waiting.splice(0);
    this.#sent = words;
    this.#next = undefined;
    try {
      await this.#host.ask({ ...this.#request, ...words } as Asked);
      this.#failures = 0;
      for (const { resolve } of waiting) resolve();
    } catch (error) {
      const waitMs = this.#again && this.#sent === words && againAfterMs(error, this.#failures++, this.#host.random);
      if (typeof waitMs === "number") {
        this.#next = { ...words, ...(this.#next as object | undefined) };
        this.#waiting.unshift(...waiting);
        this.#timer = setTimeout(() => this.flush(), waitMs);
      } else if (waiting.length > 0) for (const { reject } of waiting) reject(error);
      else if (!isPassing(error)) this.#host.report(error);
    }
    if (this.#sent !== words) return; // cleared meanwhile
    this.#sent = undefined;
    if (this.#timer === undefined) this.flush();
  }
}

function isMember(member: unknown): boolean {
  return typeof (member as Member | null)?.user_id === "string";
}

function isAnswer(answer: unknown): answer is PresenceResult {
  const { members, count, version, more } = Object(answer) as PresenceResult;
  if (typeof count !== "number" || typeof version !== "number" || !Array.isArray(members)) return false;
  return members.every(isMember) && (!more || members.length > 0);
}

function isMembersPush(push: Push): push is MembersPush {
  if (push.type === "typing") return typeof push.user_id === "string";
  if (push.type !== "presence" || typeof push.version !== "number" || typeof push.count !== "number") return false;
  return push.event === "count" || isMember(push.member);
}
