// Where people's pointers are: few words to the server however fast one's own moves, and those of others as last heard of.

export interface Point {
  /** Fractions of the board, so that they fit a window of any size. */
  readonly x: number;
  readonly y: number;
}

export interface Cursor extends Point {
  readonly userId: string;
  readonly name: string;
  readonly heardMs: number;
}

const EVERY_MS = 80;
export const GONE_AFTER_MS = 5_000;
const CURSORS_MAX = 30;

/** Tells where the own pointer is: the latest place, at most every 80 ms, and never one before the last is answered. */
export class CursorSender {
  readonly #publish: (point: Point | null) => Promise<unknown>;
  #next: Point | null | undefined;
  #sending = false;

  /** @param publish `null`: it has gone */
  constructor(publish: (point: Point | null) => Promise<unknown>) {
    this.#publish = publish;
  }

  move(point: Point | null): void {
    this.#next = point;
    if (!this.#sending) void this.#send();
  }

  async #send(): Promise<void> {
    this.#sending = true;
    for (let point; (point = this.#next) !== undefined; ) {
      this.#next = undefined;
      const pause = new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      // One that could not be told is no loss: the next one is newer.
      await Promise.allSettled([this.#publish(point), pause]);
    }
    this.#sending = false;
  }
}

/** The cursors with what was heard of one; anybody may publish anything. */
export function heard(
  cursors: readonly Cursor[],
  userId: string,
  name: string,
  data: unknown,
  nowMs: number,
): readonly Cursor[] {
  const { x, y } = (typeof data === "object" && data !== null ? data : {}) as Record<string, unknown>;
  const next = isFraction(x) && isFraction(y) ? { userId, name, x, y, heardMs: nowMs } : undefined;
  // Each keeps its place: moved in the document, it would jump to where it glides.
  const after = cursors.flatMap((cursor) => {
    if (cursor.userId === userId) return next ?? [];
    return nowMs - cursor.heardMs < GONE_AFTER_MS ? cursor : [];
  });
  const known = after.some((cursor) => cursor === next);
  return next && !known ? [...after, next].slice(-CURSORS_MAX) : after;
}

function isFraction(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 1;
}
