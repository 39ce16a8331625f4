// What outlives the page, of one user: documents as last seen, and requests that have not been answered.

import type { Asked } from "./link.js";

export interface KeptDocument {
  readonly version: number;
  readonly value: unknown;
}

/** A request that is kept until it is answered. */
export type Keepable = Extract<Asked, { type: "publish" | "state.set" | "state.patch" | "state.delete" }>;

export interface Kept {
  readonly id: number; // ascending: the order in which they were kept
  readonly request: Keepable;
  /** By the wall clock, when it was first sent; `undefined` if it never was. */
  readonly sentAtMs: number | undefined;
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
  /** Note that it is being sent, before it is. */
  sent(id: number): Promise<void>;
  /** It has been answered. */
  forget(id: number): void;
  /** What pages that are gone have left behind, in order: it is the caller's from now on. */
  left(): Promise<readonly Kept[]>;
  /** Forget everything of this user. */
  wipe(): Promise<void>;
}
