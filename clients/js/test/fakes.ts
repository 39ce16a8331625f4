// What the tests put in the place of the browser and the server.

import { vi } from "vitest";
import type { Event, Publication } from "../src/generated/frames.js";
import type { OpenTransport, TransportHandlers } from "../src/transports/transport.js";

export type Frame = Record<string, unknown>;

/** A transport that the test opens, speaks through and cuts by hand. */
export class FakeTransport {
  readonly sent: string[] = [];
  ended = false;
  retired = false;
  readonly url: string;
  readonly #handlers: TransportHandlers;

  constructor(url: string, handlers: TransportHandlers) {
    this.url = url;
    this.#handlers = handlers;
  }

  get requests(): Frame[] {
    return this.sent.map((text) => JSON.parse(text) as Frame | Frame[]).flat();
  }

  request(type: string): Frame {
    const found = this.requests.findLast((request) => request["type"] === type);
    if (!found) throw new Error(`no ${type} was sent, but ${this.sent.join()}`);
    return found;
  }

  // the client's side

  send(text: string): void {
    this.sent.push(text);
  }

  retire(): void {
    this.retired = true;
  }

  close(): void {
    if (this.ended) return;
    this.ended = true;
    this.#handlers.close();
  }

  // the test's side

  open(): void {
    this.#handlers.open();
  }

  say(message: unknown): void {
    this.#handlers.message(typeof message === "string" ? message : JSON.stringify(message));
  }

  reply(request: Frame, result: unknown): void {
    this.say({ type: "reply", id: request["id"], result });
  }

  refuse(request: Frame, error: Frame): void {
    this.say({ type: "reply", id: request["id"], error: wireError(error) });
  }
}

/** Transports in the order in which they were opened. */
export function fakeTransports(): { open: OpenTransport; all: FakeTransport[]; last: () => FakeTransport } {
  const all: FakeTransport[] = [];
  const open: OpenTransport = ({ websocketUrl }, handlers) => {
    const transport = new FakeTransport(websocketUrl, handlers);
    all.push(transport);
    return transport;
  };
  return { open, all, last: () => all.at(-1) as FakeTransport };
}

export function wireError(error: Frame): Frame {
  return { code: 2001, name: "unavailable", message: "not now", retryable: true, ...error };
}

export const ENDPOINTS = { websocketUrl: "ws://server/v1/ws", httpUrl: "http://server", streamUrl: "http://streams" };

/** Where nothing is to go by HTTP. */
export const noFetch: typeof fetch = () => Promise.reject(new Error("nothing is asked by HTTP here"));

export const HELLO = {
  session_id: "s1",
  connection_id: "c1",
  user_id: "ann",
  server_time_ms: 1,
  heartbeat_s: 540,
  connection_max_age_s: 7200,
  limits: {},
  subscriptions: [],
};

export function publication(offset: number, fields: Partial<Publication> = {}): Publication {
  return {
    channel: "room:a",
    name: "said",
    data: { n: offset },
    message_id: `m${offset}`,
    sender: { user_id: "bob", connection_id: "c2" },
    published_at_ms: offset,
    priority: "normal",
    epoch: "e1",
    offset,
    prev_offset: offset - 1,
    ...fields,
  };
}

export function event(offset: number, fields: Partial<Publication> = {}): Event {
  return { type: "event", ...publication(offset, fields) };
}

/** Let everything happen that needs no time to pass. */
export async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

/** Random numbers from 0 to below 1 that are the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}
