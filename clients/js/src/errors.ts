// Errors as the protocol has them (docs/protocol.md section 5).

import { ASKED_MAX_MS, backoffMs } from "./backoff.js";
import type { ErrorObject } from "./generated/frames.js";

/** An error that the server answered, or one of this client's own with the code that fits it. */
export class TidewireError extends Error {
  override readonly name = "TidewireError";
  readonly code: number;
  /** The wire name: `forbidden`, `rate_limited` ... */
  readonly kind: string;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly details: unknown;
  readonly #wire: ErrorObject;

  constructor(error: ErrorObject) {
    super(error.message);
    this.#wire = error;
    this.code = error.code;
    this.kind = error.name;
    this.retryable = error.retryable === true;
    const { retry_after_ms: afterMs } = error;
    this.retryAfterMs = typeof afterMs === "number" ? Math.min(afterMs, ASKED_MAX_MS) : undefined;
    this.details = error.details;
  }

  /** As the protocol has it. */
  toJSON(): ErrorObject {
    return this.#wire;
  }
}

/** Nothing came back: the connection ended, or the answer took too long. The request may have been carried out. */
export function uncertain(message = "the connection ended"): TidewireError {
  return new TidewireError({ code: 2002, name: "timeout", message, retryable: true });
}

/** The client was closed, by its user or for good by the server. */
export function closed(message = "the client was closed"): TidewireError {
  return new TidewireError({ code: 1004, name: "closed", message, retryable: false });
}

/** More than a frame may have: it is not sent at all. */
export function tooLarge(bytes: number): TidewireError {
  return new TidewireError({ code: 1003, name: "too_large", message: `${bytes} bytes is too much`, retryable: false });
}

/** How long to wait before it is tried again, after `failures` before this one; `undefined` if that is no use. */
export function againAfterMs(error: unknown, failures: number, random?: () => number): number | undefined {
  if (!(error instanceof TidewireError && error.retryable)) return undefined;
  return error.retryAfterMs ?? backoffMs(failures, random);
}

/** Whether it is no news for the user: nothing came back, which is tried again, or the client was closed. */
export function isPassing(error: unknown): boolean {
  return error instanceof TidewireError && (error.retryable || error.kind === "closed");
}
