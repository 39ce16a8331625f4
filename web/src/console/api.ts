// The calls to the server, with whatever one came in by; what it refuses is thrown as it says it.

import { credentials, type Credentials, type Pass } from "./pass.js";
import type {
  ConnectionDescription,
  ConnectionsAnswer,
  CostAnswer,
  DeadLettersAnswer,
  MetricsAnswer,
  Problem,
  RedriveAnswer,
  WaitingLetters,
} from "./generated/answers.js";

/** A publication as the form has it. */
export interface Draft {
  readonly channel: string;
  readonly name: string;
  readonly data: unknown;
  /** Of what is kept. */
  readonly priority: "express" | "high" | "normal" | "low" | undefined;
  readonly ephemeral: boolean;
}

/** Pages of connections that are read: more than so many are not listed. */
const PAGES_MAX = 20;
/** API Gateway waits 30 s itself; behind that nothing comes. */
const PATIENCE_MS = 35_000;

/** What the server answered in place of what was asked for; status 0: nothing came back. */
export class Refusal extends Error {
  readonly status: number;
  readonly details: unknown;

  constructor(status: number, message: string, details?: unknown) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

export interface ApiOptions {
  readonly pass: () => Pass;
  /** The server refuses them, with the reason that it gives: returns whether there are others to try. */
  readonly refused: (refusal: Refusal) => Promise<boolean>;
}

/** All live connections, or the first of very many. */
export interface Connections {
  readonly listed: readonly ConnectionDescription[];
  readonly whole: boolean;
}

export class Api {
  readonly #options: ApiOptions;

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  metrics(minutes: number, signal?: AbortSignal): Promise<MetricsAnswer> {
    return this.#ask(`/v1/metrics?minutes=${minutes}`, { signal });
  }

  cost(signal?: AbortSignal): Promise<CostAnswer> {
    return this.#ask("/v1/cost", { signal });
  }

  async connections(signal?: AbortSignal): Promise<Connections> {
    const listed: ConnectionDescription[] = [];
    let after = "";
    for (let page = 0; page < PAGES_MAX; page++) {
      const answer: ConnectionsAnswer = await this.#ask(`/v1/connections${after}`, { signal });
      listed.push(...answer.connections);
      if (!answer.next) return { listed, whole: true };
      after = `?after=${encodeURIComponent(answer.next)}`;
    }
    return { listed, whole: false };
  }

  async deadLetters(signal?: AbortSignal): Promise<readonly WaitingLetters[]> {
    return (await this.#ask<DeadLettersAnswer>("/v1/dead-letters", { signal })).queues;
  }

  /** Put back what lies there now; what is refused again meanwhile is left. `told` hears how far it is. */
  async redrive(queue: string, told: (redriven: number) => void): Promise<{ redriven: number; unreadable: number }> {
    let [redriven, unreadable, before] = [0, 0, ""];
    for (;;) {
      const path = `/v1/dead-letters/${encodeURIComponent(queue)}/redrive${before}`;
      const answer: RedriveAnswer = await this.#ask(path, { method: "POST" });
      redriven += answer.redriven;
      unreadable += answer.unreadable;
      told(redriven);
      if (!answer.more) return { redriven, unreadable };
      before = `?before_ms=${answer.before_ms}`;
    }
  }

  async publish(draft: Draft): Promise<void> {
    const body = JSON.stringify(draft);
    await this.#ask("/v1/publish", { method: "POST", body, headers: { "Content-Type": "application/json" } }, false);
  }

  /**
   * Ask once, or twice where there were other credentials.
   * @param admin it needs nothing but `admin`: whoever may not do it is no admin
   */
  async #ask<T>(path: string, request: Asked, admin = true): Promise<T> {
    try {
      return await ask<T>(path, request, this.#options.pass());
    } catch (error) {
      if (!(error instanceof Refusal && (error.status === 401 || (admin && error.status === 403)))) throw error;
      if (!(await this.#options.refused(error))) throw error;
      return ask<T>(path, request, this.#options.pass());
    }
  }
}

/** A request as `fetch` takes it, whose signal may lack. */
export type Asked = Omit<RequestInit, "signal" | "headers"> & {
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Credentials;
};

/**
 * One call.
 * @throws Refusal when the server refuses, or nothing comes back
 */
export async function ask<T>(path: string, { signal, headers, ...request }: Asked, pass?: Pass): Promise<T> {
  const late = AbortSignal.timeout(PATIENCE_MS);
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, {
      ...request,
      headers: { ...headers, ...(pass && credentials(pass)) },
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    text = await response.text();
  } catch (error) {
    // Given up, maybe with half an answer read: of another refusal the reason is told already.
    if (signal?.aborted) throw error;
    throw new Refusal(0, late.aborted ? "the server does not answer" : "the server can’t be reached");
  }
  const body = parsed(text);
  if (response.ok && body !== undefined) return body as T;
  const { message, details } = (body ?? {}) as Partial<Problem>;
  throw new Refusal(response.status, message ?? `the server answered ${response.status}`, details);
}

/** A body as JSON; undefined when it is none: what stands between may answer with anything. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
