// A tiny Tidewire in memory: just enough of docs/protocol.md for one namespace, and a network that a test may spoil.

import type { Event, Position, Publication } from "../src/generated/frames.js";
import { HELLO, publication, wireError, type Frame } from "./fakes.js";

export interface Network {
  /** Called for each push: how often it arrives. */
  readonly copies?: () => number;
  /** Called for each message, either way: how long it takes, in milliseconds. */
  readonly delayMs?: () => number;
}

const RECOVERY_LIMIT = 5;
const HISTORY_PAGE = 3;

/** The end of a socket that the browser would have. */
class Socket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 3;
  readyState = Socket.CONNECTING;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  readonly sent: string[] = [];
  readonly subscriptions = new Set<string>();
  readonly server: Server;
  readonly url: string;

  constructor(server: Server, url: string) {
    super();
    this.server = server;
    this.url = url;
    server.arrive(() => this.open());
  }

  open(): void {
    if (this.server.down) return this.end();
    if (this.readyState !== Socket.CONNECTING) return;
    this.readyState = Socket.OPEN;
    this.onopen?.();
  }

  send(text: string): void {
    this.sent.push(text);
    this.server.arrive(() => this.readyState === Socket.OPEN && this.server.handle(this, text));
  }

  close(): void {
    this.end();
  }

  /** The server's side speaks. */
  say(message: unknown): void {
    const text = typeof message === "string" ? message : JSON.stringify(message);
    this.server.arrive(() => this.readyState === Socket.OPEN && this.onmessage?.({ data: text }));
  }

  /** It ends: for the browser's side, as when the network goes. */
  end(): void {
    if (this.readyState === Socket.CLOSED) return;
    this.readyState = Socket.CLOSED;
    this.server.sockets.delete(this);
    queueMicrotask(() => this.onclose?.());
  }
}

export class Server {
  readonly sockets = new Set<Socket>();
  readonly opened: Socket[] = [];
  readonly requests: Frame[] = [];
  readonly streams = new Map<string, { epoch: string; log: Publication[]; kept: number }>();
  /** Requests of a type may be answered by something else here, by nothing (`null`), or as ever (`undefined`). */
  readonly instead = new Map<string, (request: Frame) => unknown>();
  down = false;
  readonly #network: Network;

  constructor(network: Network = {}) {
    this.#network = network;
  }

  /** A class to be used as `WebSocket`. */
  get WebSocket(): typeof WebSocket {
    const server = this;
    class Bound extends Socket {
      constructor(url: string) {
        super(server, url);
        server.sockets.add(this);
        server.opened.push(this);
      }
    }
    return Bound as unknown as typeof WebSocket;
  }

  get last(): Socket {
    return this.opened.at(-1) as Socket;
  }

  asked(type: string): Frame[] {
    return this.requests.filter((request) => request["type"] === type);
  }

  arrive(happens: () => unknown): void {
    const delayMs = this.#network.delayMs?.() ?? 0;
    if (delayMs === 0) queueMicrotask(happens);
    else setTimeout(happens, delayMs);
  }

  cutAll(): void {
    for (const socket of [...this.sockets]) socket.end();
  }

  stream(channel: string): { epoch: string; log: Publication[]; kept: number } {
    const stream = this.streams.get(channel) ?? { epoch: "e1", log: [], kept: Infinity };
    this.streams.set(channel, stream);
    return stream;
  }

  /** Publish from the server's side. */
  publish(channel: string, fields: Partial<Publication> = {}): Publication {
    const { epoch, log } = this.stream(channel);
    const priority = fields.priority ?? "normal";
    const prev_offset = log.findLast((entry) => entry.priority === priority)?.offset ?? 0;
    const entry = publication(log.length + 1, { ...fields, channel, epoch, priority, prev_offset });
    log.push(entry);
    this.push(channel, { type: "event", ...entry });
    return entry;
  }

  push(channel: string, event: Event): void {
    for (const socket of this.sockets) {
      if (!socket.subscriptions.has(channel)) continue;
      for (let copies = this.#network.copies?.() ?? 1; copies > 0; copies--) socket.say(event);
    }
  }

  handle(socket: Socket, text: string): void {
    const message = JSON.parse(text) as Frame | Frame[];
    const failed = new Map<unknown, unknown>(); // a publish that may be tried again, by channel: none overtakes it
    const replies = [message].flat().flatMap((request) => this.#reply(socket, request, failed));
    if (replies.length > 0) socket.say(Array.isArray(message) ? replies : replies[0]);
  }

  #reply(socket: Socket, request: Frame, failed: Map<unknown, unknown>): Frame[] {
    this.requests.push(request);
    const { type, channel } = request;
    const before = type === "publish" ? failed.get(channel) : undefined;
    const instead = before ? { error: before } : this.instead.get(type as string)?.(request);
    const answer = instead === undefined ? this.#answer(socket, request) : instead;
    if (answer === null) return [];
    const { error } = answer as { error?: Frame };
    if (type === "publish" && error?.["retryable"]) failed.set(channel, error);
    return [{ type: "reply", id: request["id"], ...(error ? { error } : { result: answer }) }];
  }

  #answer(socket: Socket, request: Frame): unknown {
    const channel = request["channel"] as string;
    switch (request["type"]) {
      case "hello":
        return HELLO;
      case "subscribe":
        socket.subscriptions.add(channel);
        return this.#subscribe(channel, request);
      case "unsubscribe":
        socket.subscriptions.delete(channel);
        return {};
      case "publish":
        return this.#publish(request);
      case "history":
        return this.#history(channel, request);
      case "refresh":
        return { expires_at_ms: Date.now() + 3_600_000 };
      case "sync":
        return { behind: this.#behind(request["positions"] as Record<string, Position>) };
      default:
        return { error: wireError({ code: 1001, retryable: false }) };
    }
  }

  #subscribe(channel: string, { since, history }: { since?: Position; history?: number }): unknown {
    const { epoch, log, kept } = this.stream(channel);
    const position = { epoch, offset: log.length };
    const missed = since ? log.slice(since.offset) : [];
    if (since && since.epoch === epoch && missed.length <= Math.min(RECOVERY_LIMIT, kept)) {
      const publications = missed.slice(0, HISTORY_PAGE);
      const more = publications.length < missed.length ? { more: true } : {};
      return { channel, position, recovered: true, publications, ...more };
    }
    return { channel, position, recovered: false, publications: history ? log.slice(-history) : [] };
  }

  #publish(request: Frame): unknown {
    const { channel, name, data, message_id, priority } = request as unknown as Publication;
    if (!this.stream(channel).log.some((entry) => entry.message_id === message_id)) {
      this.publish(channel, { name, data, message_id, ...(priority ? { priority } : {}) });
    }
    return { message_id, status: "accepted" };
  }

  #history(channel: string, request: { since?: Position; reverse?: boolean; limit?: number }): unknown {
    const { epoch, log, kept } = this.stream(channel);
    const position = { epoch, offset: log.length };
    if (request.since && request.since.epoch !== epoch) return { publications: [], position, more: false };
    const oldest = Math.max(0, log.length - kept);
    const after = log.slice(Math.max(oldest, request.since?.offset ?? 0));
    if (request.reverse) return { publications: log.slice(-(request.limit ?? 50)).reverse(), position, more: false };
    return { publications: after.slice(0, HISTORY_PAGE), position, more: after.length > HISTORY_PAGE };
  }

  #behind(positions: Record<string, Position>): Record<string, Position> {
    const behind: Record<string, Position> = {};
    for (const [channel, known] of Object.entries(positions)) {
      const { epoch, log } = this.stream(channel);
      if (known.epoch !== epoch || known.offset < log.length) behind[channel] = { epoch, offset: log.length };
    }
    return behind;
  }
}
