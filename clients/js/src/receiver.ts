// The receiving rules of docs/protocol.md section 3 for one channel: events in, in any order and more than once;
// out, each once, in offset order within a priority. Pure: knows no time and no network.

import type { Position, Publication } from "./generated/frames.js";

export class Receiver {
  #epoch = "";
  #through = 0; // everything up to here has been handed over or settled
  readonly #done = new Set<number>(); // ... and these beyond it
  readonly #waiting = new Map<number, Publication>(); // came before the one at their prev_offset

  /** The position up to which every publication has been handed over: what to send as `since`. */
  get position(): Position {
    return { epoch: this.#epoch, offset: this.#through };
  }

  /** Whether something that came stands behind something that did not. */
  get hasGap(): boolean {
    return this.#waiting.size > 0 || this.#done.size > 0;
  }

  /** Begin at a position: nothing up to it will be handed over. */
  reset(position: Position): void {
    this.#epoch = position.epoch;
    this.#through = position.offset;
    this.#done.clear();
    this.#waiting.clear();
  }

  /** Take one event; return what can be handed over now, in order. One of another stream is dropped: see `isForeign`. */
  receive(event: Publication): Publication[] {
    const { offset } = event;
    if (offset <= this.#through || this.#done.has(offset) || this.#waiting.has(offset) || this.isForeign(event)) {
      return [];
    }
    this.#waiting.set(offset, event);
    return this.#release();
  }

  /** Whether the event belongs to a stream that has replaced the known one. */
  isForeign(event: Publication): boolean {
    return event.epoch !== this.#epoch;
  }

  /** Everything up to `offset` has come, or never will. Return what can be handed over now, in order. */
  settle(offset: number): Publication[] {
    if (offset <= this.#through) return [];
    const out: Publication[] = [];
    for (const [waiting, event] of this.#inOrder()) {
      if (waiting <= offset) {
        this.#waiting.delete(waiting);
        out.push(event);
      }
    }
    this.#through = offset;
    for (const done of this.#done) if (done <= offset) this.#done.delete(done);
    return [...out, ...this.#release()];
  }

  #inOrder(): [number, Publication][] {
    return [...this.#waiting].sort(([a], [b]) => a - b);
  }

  #release(): Publication[] {
    const out: Publication[] = [];
    for (const [offset, event] of this.#inOrder()) {
      if (event.prev_offset <= this.#through || this.#done.has(event.prev_offset)) {
        this.#waiting.delete(offset);
        this.#done.add(offset);
        out.push(event);
        this.#advance();
      }
    }
    this.#advance();
    return out;
  }

  #advance(): void {
    while (this.#done.delete(this.#through + 1)) this.#through++;
  }
}
