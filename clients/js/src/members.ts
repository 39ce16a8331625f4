// Who is in a channel (docs/protocol.md section 3.1): what was answered, and what has been pushed since. Pure: frames and
// the time go in. tests/golden/members.json holds it and clients/python/src/tidewire/members.py to the same behaviour.
//
// Pushes may come late, in any order, twice or not at all. Each has a version, and whatever is told of a member by a lower
// one than is known is old. What does not come shows in a version that is left out, or in a count that is not one's own.

import type { Member, PresencePush, PresenceResult, TypingPush } from "./generated/frames.js";

/** One about a member has the member. */
export type MembersPush = PresencePush | TypingPush;

// What is missing after this time is asked for; as with events, it may only be late.
const MISSED_AFTER_MS = 1_000;
const TYPING_FORGOTTEN_MS = 8_000;

/** The members of one channel. One is made when `subscribe` is sent, since pushes may overtake the reply. */
export class Members {
  /** By user; empty where numbers alone are told. */
  byUser = new Map<string, Member>();
  /** How many there are. */
  count = 0;
  /** Numbers alone are told. */
  numbers = false;
  #incomplete = false;
  // Older than all that was told by then; each member's own version counts from there.
  #base = 0;
  #newest = 0;
  #complete = 0;
  #numberVersion = 0;
  #versions = new Map<string, number>(); // of members told of since, also of those who have left
  #ahead = new Set<number>(); // versions that came before one below them
  #doubtfulSinceMs = Infinity;
  #kept: PresencePush[] | undefined = [];
  readonly #typing = new Map<string, number>(); // and when they said so

  /** `presence.get` is being sent, or `subscribe` again: what is pushed from now on may be newer. */
  asked(): void {
    this.#kept = [];
  }

  /**
   * Begin anew with the answer: `presence` of `subscribe`, or the pages of `presence.get`. What was pushed meanwhile
   * counts from the first page on, which is the oldest.
   */
  answered(pages: readonly [PresenceResult, ...PresenceResult[]], nowMs: number): void {
    const kept = this.#kept ?? [];
    this.#kept = undefined;
    this.byUser = new Map(pages.flatMap(({ members }) => members.map((member) => [member.user_id, member])));
    this.count = pages[0].count;
    this.#incomplete = !!pages.at(-1)?.more;
    this.numbers = this.count > 0 && this.byUser.size === 0 && !this.#incomplete;
    this.#base = this.#newest = this.#complete = this.#numberVersion = pages[0].version;
    this.#versions.clear();
    this.#ahead.clear();
    this.#doubtfulSinceMs = Infinity;
    for (const frame of kept) this.push(frame, nowMs);
    this.#judge(nowMs); // pages that were read one after another may not agree
  }

  /** A `presence` or `typing` frame was pushed. */
  push(frame: MembersPush, nowMs: number): void {
    if (frame.type === "typing") {
      if (frame.active) this.#typing.set(frame.user_id, nowMs);
      else this.#typing.delete(frame.user_id);
      return;
    }
    this.#kept?.push(frame);
    const { event, version, count } = frame;
    if (version <= this.#base) return;
    if (event === "count") this.#takeNumber(version);
    else this.#takeMember(frame.member as Member, event === "leave", version);
    if (version > this.#complete) this.#ahead.add(version);
    while (this.#ahead.delete(this.#complete + 1)) this.#complete++;
    if (version >= this.#newest) [this.#newest, this.count] = [version, count];
    this.#judge(nowMs);
  }

  /** Whether something was missed, so that `presence.get` must say how it is; not while it is asked. */
  needsGet(nowMs: number): boolean {
    return !this.#kept && (this.#incomplete || nowMs - this.#doubtfulSinceMs >= MISSED_AFTER_MS);
  }

  /** Who types: said so not long ago, and nothing else since. */
  typing(nowMs: number): string[] {
    for (const [user, atMs] of this.#typing) if (nowMs - atMs >= TYPING_FORGOTTEN_MS) this.#typing.delete(user);
    return [...this.#typing.keys()];
  }

  /** When time alone will have changed something: `needsGet` or `typing`. */
  get nextMs(): number {
    const doubtMs = this.#kept ? Infinity : this.#doubtfulSinceMs + MISSED_AFTER_MS;
    return Math.min(doubtMs, ...[...this.#typing.values()].map((atMs) => atMs + TYPING_FORGOTTEN_MS));
  }

  /** The end of all members that are known by lower versions. */
  #takeNumber(version: number): void {
    if (version <= this.#numberVersion) return;
    this.#numberVersion = version;
    for (const user of this.byUser.keys()) {
      if ((this.#versions.get(user) ?? this.#base) < version) this.byUser.delete(user);
    }
    this.numbers = this.byUser.size === 0;
  }

  #takeMember(member: Member, left: boolean, version: number): void {
    const user = member.user_id;
    if (version <= (this.#versions.get(user) ?? this.#numberVersion)) return;
    this.#versions.set(user, version);
    if (left) {
      this.byUser.delete(user);
      this.#typing.delete(user);
    } else {
      this.byUser.set(user, member);
      this.numbers = false;
    }
  }

  #judge(nowMs: number): void {
    const agrees = this.#ahead.size === 0 && (this.numbers || this.count === this.byUser.size);
    this.#doubtfulSinceMs = agrees ? Infinity : Math.min(this.#doubtfulSinceMs, nowMs);
  }
}
