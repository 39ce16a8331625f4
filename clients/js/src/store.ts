// What outlives the page, of one user: documents as last seen, and requests that have not been answered.

import type { Asked } from "./link.js";
import { TidewireError } from "./errors.js";

export interface KeptDocument {
  readonly version: number;
  readonly value: unknown;
}

/** A request that is kept until it is answered. */
export type Keepable = Extract<Asked, { type: "publish" | "send" | "state.set" | "state.patch" | "state.delete" }>;

export interface Kept {
  readonly id: number; // ascending: the order in which they were kept
  readonly request: Keepable;
  /** By the wall clock, when it was first sent; `undefined` if it never was. */
  readonly sentAtMs: number | undefined;
}

/** As much waits already as may wait: in memory, or kept. */
export function outboxFull(): TidewireError {
  return new TidewireError({ code: 1010, name: "limit_reached", message: "the outbox is full", retryable: false });
}

export interface Store {
  /** The channel's documents as they were last seen, by key. */
  documents(channel: string): Promise<Readonly<Record<string, KeptDocument>>>;
  /** Remember a document; `undefined`: it is gone. The least recently used are forgotten when there are too many. */
  putDocument(channel: string, key: string, document: KeptDocument | undefined): void;
  /**
   * Keep a request: when it is kept, it outlives the page.
   * @returns its id
   * @throws TidewireError `limit_reached` when too many are kept already
   */
  keep(request: Keepable): Promise<number>;
  /**
   * Note that it is being sent, before it is for the first time.
   * @returns whether it is still this page's: otherwise another has taken it over, and sends it
   */
  sent(id: number): Promise<boolean>;
  /** It has been answered. */
  forget(id: number): void;
  /** What pages that are gone have left behind, in order: it is the caller's from now on. Worth asking at each hello. */
  left(): Promise<readonly Kept[]>;
  /** Forget everything of this user; what comes later is remembered in memory only. */
  wipe(): Promise<void>;
  /** This page is done with it: what it has kept, and what has not been answered, is left to the next. */
  close(): void;
}
