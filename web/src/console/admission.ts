// Who came in, and by what: kept for this tab alone, renewed where the stage signs tokens for anybody.

import { ask, Refusal } from "./api.js";
import type { Pass } from "./pass.js";

const KEPT = "tidewire-console";
const DEV_TOKEN = "/v1/dev/token";
const USER = "console";
/** All that there are (shared/domain/principal.py). */
const CAPABILITIES = "subscribe publish history presence state.read state.write send command admin".split(" ");

/** The pass of an earlier page of this tab. */
export function kept(): Pass | undefined {
  const text = sessionStorage.getItem(KEPT);
  return text === null ? undefined : (JSON.parse(text) as Pass);
}

export function keep(pass: Pass): void {
  sessionStorage.setItem(KEPT, JSON.stringify(pass));
}

export function forget(): void {
  sessionStorage.removeItem(KEPT);
}

/** Whether the stage signs tokens for anybody: the local one alone. */
export async function signsForAnybody(signal: AbortSignal): Promise<boolean> {
  const { paths } = await ask<{ paths?: object }>("/openapi.json", { signal });
  return paths !== undefined && DEV_TOKEN in paths;
}

/** A new pass of the local stage. */
export async function devPass(): Promise<Pass> {
  const body = JSON.stringify({ user_id: USER, caps: { "*": CAPABILITIES } });
  const headers = { "Content-Type": "application/json" };
  const { token } = await ask<{ token: string }>(DEV_TOKEN, { method: "POST", body, headers });
  return { kind: "dev", secret: token };
}

/**
 * Return a pass that the server has accepted: this one, or a new one in its place.
 * @throws Refusal when it is not accepted, or nothing comes back
 */
export async function admitted(pass: Pass): Promise<Pass> {
  try {
    await check(pass);
    return pass;
  } catch (error) {
    if (!(pass.kind === "dev" && error instanceof Refusal && error.status === 401)) throw error;
    const fresh = await devPass();
    await check(fresh);
    return fresh;
  }
}

function check(pass: Pass): Promise<unknown> {
  return ask("/v1/dead-letters", {}, pass);
}

/** The pass that is in use. */
export class Admission {
  #pass: Pass;
  #renewal: Promise<boolean> | undefined;
  readonly #ended: (reason: string) => void;

  /** @param ended is told why, when it is good no longer and there is no other */
  constructor(pass: Pass, ended: (reason: string) => void) {
    this.#pass = pass;
    this.#ended = ended;
  }

  get pass(): Pass {
    return this.#pass;
  }

  /** The server refuses it: tell whether there is another now. Many calls may find out at once. */
  refused(refusal: Refusal): Promise<boolean> {
    this.#renewal ??= this.#renew(refusal).finally(() => (this.#renewal = undefined));
    return this.#renewal;
  }

  async #renew(refusal: Refusal): Promise<boolean> {
    if (this.#pass.kind === "dev" && refusal.status === 401) {
      this.#pass = await devPass();
      keep(this.#pass);
      return true;
    }
    this.#ended(reasonOf(refusal, this.#pass));
    return false;
  }
}

/** Whether it is the pass that is not good. */
export function isRefused(error: unknown): boolean {
  return error instanceof Refusal && (error.status === 401 || error.status === 403);
}

/** Why somebody is not let in, in the words of the way in. */
export function reasonOf(error: unknown, { kind }: Pass): string {
  const what = kind === "key" ? "API key" : "token";
  if (!(error instanceof Refusal)) throw error;
  if (error.status === 401) return `This ${what} is refused: ${error.message}.`;
  if (error.status === 403) return `This ${what} is good, but does not have “admin” on “*”.`;
  return `It could not be asked: ${error.message}.`;
}
