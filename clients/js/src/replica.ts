// How a client keeps a channel's documents (docs/protocol.md section 3). No timers, no network: what is to be asked is
// returned. `clients/python/src/tidewire/replica.py` has the same rules.

import type { Asked } from "./link.js";
import type { ChangesResult, DocumentsResult } from "./generated/frames.js";
import { patched } from "./merge.js";

export type StateGet = Extract<Asked, { type: "state.get" }>;

/** What is said of one version of a document; without any of the three it is too large for a frame. */
export interface Version {
  readonly version: number;
  readonly value?: unknown;
  readonly patch?: object | null;
  readonly deleted?: true | null;
}

export class Replica {
  /** Of each document that is known, deleted ones too. */
  readonly versions = new Map<string, number>();
  /** Those that are there. */
  readonly values = new Map<string, unknown>();
  /** Documents to be read by HTTP, since they are too large for a frame. */
  readonly missing = new Set<string>();
  readonly #channel: string;

  constructor(channel: string) {
    this.#channel = channel;
  }

  version(key: string): number {
    return this.versions.get(key) ?? 0;
  }

  /** Take documents: `state` in the result of `subscribe`, or the result of `state.get`; return what to ask next. */
  read({ documents, more }: DocumentsResult): StateGet | undefined {
    for (const [key, document] of Object.entries(documents)) {
      if (document.changes) this.changed(key, { changes: document.changes });
      else if (document.version >= this.version(key)) this.#put(key, document.version, document);
    }
    if (!more) return undefined;
    const after = Object.keys(documents).sort().at(-1);
    const known = Object.fromEntries(this.versions);
    return { type: "state.get", channel: this.#channel, known, ...(after === undefined ? {} : { after }) };
  }

  /** Take the changes of a document: the result of `state.get` with `since_version`. */
  changed(key: string, { changes }: ChangesResult): void {
    for (const change of changes) if (change.version === this.version(key) + 1) this.#apply(key, change);
  }

  /** Take a `state` push; return what to ask: the versions before a patch, where they have not come. */
  pushed(key: string, push: Version): StateGet | undefined {
    return push.version > this.version(key) ? this.#next(key, push) : undefined;
  }

  /** Take the result of a write: the document as it is settled, or its last change; return as `pushed`. */
  wrote(key: string, result: Version): StateGet | undefined {
    if (result.patch) return this.pushed(key, result);
    if (result.version >= this.version(key)) this.#put(key, result.version, result);
    return undefined;
  }

  /**
   * Take a missing document as it was read by HTTP, `undefined` if there is none. Changes may have come meanwhile, which
   * said nothing without it: return what to ask then.
   */
  fetched(key: string, document: Version = { version: 0, deleted: true }): StateGet | undefined {
    const known = this.version(key);
    if (!this.missing.has(key)) return undefined;
    this.#put(key, document.version, document);
    return document.version < known ? this.#since(key) : undefined;
  }

  #next(key: string, change: Version): StateGet | undefined {
    if (change.patch && change.version > this.version(key) + 1) return this.#since(key);
    this.#apply(key, change);
    return undefined;
  }

  #since(key: string): StateGet {
    return { type: "state.get", channel: this.#channel, key, since_version: this.version(key) };
  }

  #apply(key: string, { version, patch, ...content }: Version): void {
    // A patch to what is not there says nothing.
    if (patch) this.#put(key, version, this.missing.has(key) ? {} : { value: patched(this.values.get(key), patch) });
    else this.#put(key, version, content);
  }

  #put(key: string, version: number, { value, deleted }: Omit<Version, "version">): void {
    const empty = value === undefined && !deleted;
    if (!Number.isInteger(version) || (empty && version === this.version(key))) return;
    this.versions.set(key, version);
    this.values.delete(key);
    this.missing.delete(key);
    if (empty) this.missing.add(key);
    else if (!deleted) this.values.set(key, value);
  }
}
