// Commands: what the server, or a peer, is to do for us; and what we do for peers.

import { pause } from "./backoff.js";
import type { Asked } from "./link.js";
import { againAfterMs, isPassing, tooLarge, type TidewireError } from "./errors.js";
import type { CommandPush, CommandResult, PeerError, Sender } from "./generated/frames.js";
import { size } from "./size.js";

export interface CommandsHost {
  /** `timeoutMs`: how long to wait for the answer. */
  readonly ask: (request: Asked, timeoutMs?: number) => Promise<unknown>;
  /** What time it is for the server, in Unix milliseconds. */
  readonly now: () => number;
  readonly report: (error: unknown) => void;
  readonly random?: () => number;
}

export interface CommandOptions {
  /** The peer: a user, who may answer with any of its connections, or one connection. Without: the server. */
  readonly to?: { readonly user_id: string } | { readonly connection_id: string };
  /** How long the peer has; 10 s unless given, 25 s at most. */
  readonly timeoutMs?: number;
}

export interface CommandContext {
  readonly sender: Sender;
  /** Until when the sender waits, by the server's clock, in Unix milliseconds. */
  readonly expiresAtMs: number;
}

/** Does what a command says; what it returns, or resolves with, is the answer: JSON of at most 24,000 bytes. */
export type CommandHandler = (data: unknown, context: CommandContext) => unknown;

/** What a handler throws to have the sender told why. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly details: Record<string, unknown> | undefined;

  constructor(message: string, details?: Record<string, unknown>) {
    super(message);
    this.details = details;
  }
}

const TIMEOUT_MS = 10_000;
// The server says `timeout` a second or two after the time; nothing comes only if that got lost.
const ANSWER_LATE_MS = 5_000;
const DATA_MAX_BYTES = 24_000;
const ERROR_MAX_BYTES = 8_000;
const MESSAGE_MAX_LENGTH = 1_000;
// To a result: it has been answered, its time is up; or it was asked of a connection that was ours and is no more.
const NOT_WAITED_FOR = [1008, 1005];

type Answer = { readonly data: unknown } | { readonly error: PeerError };

export class Commands {
  readonly #host: CommandsHost;
  readonly #handlers = new Map<string, CommandHandler>();
  readonly #run = new Map<string, number>(); // commands that were begun, and when they expire

  constructor(host: CommandsHost) {
    this.#host = host;
  }

  /**
   * Have the server, or a peer, do something.
   * @returns the answer's data
   * @throws TidewireError `command_failed` with the handler's or peer's `message` and `details` as `details`;
   * `timeout` when nothing came back, and it may have been done: it is not tried again
   */
  async ask(name: string, data: unknown = null, { to, timeoutMs = TIMEOUT_MS }: CommandOptions = {}): Promise<unknown> {
    const bytes = jsonSize(data);
    if (bytes > DATA_MAX_BYTES) throw tooLarge(bytes); // API Gateway would close the connection over it
    const request = { type: "command", name, data, timeout_ms: timeoutMs, ...(to && { to }) } as const;
    return ((await this.#host.ask(request, timeoutMs + ANSWER_LATE_MS)) as CommandResult | undefined)?.data;
  }

  /**
   * Do what peers ask for under this name; one handler for each. Where a user has several connections, the first answer
   * counts: one without a handler says nothing.
   * @returns a function that ends it
   */
  on(name: string, handler: CommandHandler): () => void {
    this.#handlers.set(name, handler);
    return () => {
      if (this.#handlers.get(name) === handler) this.#handlers.delete(name);
    };
  }

  /** A command was pushed. */
  push({ command_id: id, name, data, sender, expires_at_ms: expiresAtMs }: CommandPush): void {
    const handler = this.#handlers.get(name);
    for (const [known, endsAtMs] of this.#run) if (endsAtMs <= this.#host.now()) this.#run.delete(known);
    if (!handler || typeof id !== "string" || this.#run.has(id) || !(this.#host.now() < expiresAtMs)) return;
    this.#run.set(id, expiresAtMs);
    void this.#answer(id, () => handler(data, { sender, expiresAtMs }), expiresAtMs);
  }

  async #answer(id: string, handle: () => unknown, expiresAtMs: number): Promise<void> {
    let answer: Answer;
    try {
      answer = { data: (await handle()) ?? null };
      const bytes = jsonSize(answer.data);
      if (bytes > DATA_MAX_BYTES) throw tooLarge(bytes);
    } catch (error) {
      if (!(error instanceof CommandError)) this.#host.report(error);
      answer = { error: peerError(error) };
    }
    for (let attempt = 0; this.#host.now() < expiresAtMs; attempt++) {
      try {
        await this.#host.ask({ type: "result", command_id: id, ...answer } as Asked);
        return;
      } catch (error) {
        const waitMs = againAfterMs(error, attempt, this.#host.random);
        if (waitMs === undefined) {
          const expected = isPassing(error) || NOT_WAITED_FOR.includes((error as TidewireError).code);
          return expected ? undefined : this.#host.report(error);
        }
        await pause(waitMs);
      }
    }
  }
}

/** What the sender is told of a failure: the message, and details if they were meant for it. */
function peerError(error: unknown): PeerError {
  const text = error instanceof Error ? String(error.message) : "";
  const message = [...text].slice(0, MESSAGE_MAX_LENGTH).join("") || "failed";
  const details = error instanceof CommandError && error.details;
  if (!details) return { message };
  try {
    const full = { message, details };
    return jsonSize(full) > ERROR_MAX_BYTES ? { message } : full;
  } catch {
    return { message }; // the details are no JSON
  }
}

/** Bytes of it as JSON. */
function jsonSize(data: unknown): number {
  const text = JSON.stringify(data) as string | undefined;
  if (text === undefined) throw new TypeError("the data is no JSON");
  return size(text);
}
