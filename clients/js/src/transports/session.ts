// A session's HTTP side (docs/protocol.md 4.3): begun or taken up by `hello`, posted to, read from.

import { TidewireError, uncertain } from "../errors.js";
import type { ErrorObject, Hello, HelloResult } from "../generated/frames.js";

export class HttpSession {
  /** What `hello` was answered. */
  readonly hello: HelloResult;
  /** Its id as part of a path. */
  readonly id: string;
  readonly #httpUrl: string;
  readonly #token: string;
  readonly #fetch: typeof fetch;

  private constructor(httpUrl: string, answer: HelloResult & { session_token: string }, fetch_: typeof fetch) {
    this.hello = answer;
    this.id = encodeURIComponent(answer.session_id);
    this.#httpUrl = httpUrl;
    this.#token = answer.session_token;
    this.#fetch = fetch_;
  }

  /**
   * Say hello.
   * @throws TidewireError what the server answered; anything else: nothing of ours did answer
   */
  static async open(httpUrl: string, hello: Omit<Hello, "id" | "type">, fetch_: typeof fetch): Promise<HttpSession> {
    const body = JSON.stringify(hello);
    const headers = { "Content-Type": "application/json" };
    const response = await fetch_(`${httpUrl}/v1/sessions`, { method: "POST", body, headers });
    const answer = await json(response);
    if (!response.ok) throw new TidewireError(answer as unknown as ErrorObject);
    if (typeof answer["session_token"] !== "string") throw new Error("somebody else answered");
    return new HttpSession(httpUrl, answer as unknown as HelloResult & { session_token: string }, fetch_);
  }

  /** Path of its frames. */
  get frames(): string {
    return `/v1/sessions/${this.id}/frames`;
  }

  /** Read something of it, with its token. */
  get(url: string, accept: string, signal: AbortSignal): Promise<Response> {
    return this.#fetch(url, { headers: { Accept: accept, Authorization: `Bearer ${this.#token}` }, signal });
  }

  /**
   * Send a frame or a batch.
   * @returns the replies, still as text. Where none came each request is answered with an error, and it may have been
   * carried out.
   */
  async post(text: string): Promise<string> {
    let error: unknown;
    try {
      const response = await this.#call("POST", this.frames, text);
      if (response.ok) return await response.text();
      error = await json(response);
    } catch {
      error = uncertain("no answer came");
    }
    const frames = [JSON.parse(text) as { id: number } | { id: number }[]].flat();
    return JSON.stringify(frames.map(({ id }) => ({ type: "reply", id, error })));
  }

  /** End it. Nobody waits for the answer: a session that nobody reads ends by itself. */
  end(): Promise<unknown> {
    return this.#call("DELETE", `/v1/sessions/${this.id}`);
  }

  #call(method: string, path: string, body?: string): Promise<Response> {
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${this.#token}` };
    const keepalive = method === "DELETE"; // the page may be going
    return this.#fetch(this.#httpUrl + path, { method, headers, keepalive, ...(body && { body }) });
  }
}

/** What the server says: of its failures too, as problems of ours. From anybody else nothing counts. */
async function json(response: Response): Promise<Record<string, unknown>> {
  const answer = (await response.json()) as Record<string, unknown> | null;
  if (!answer || !(response.ok || typeof answer["code"] === "number")) throw new Error("somebody else answered");
  return answer;
}
