// What a link needs of a transport. Each of the five looks the same: text goes out, text comes in.

export interface TransportHandlers {
  /** Frames may be sent from now on, `hello` first. */
  open(): void;
  /** One message has come: a frame or a batch, still as text. */
  message(text: string): void;
  /** It has ended; nothing comes after this, and it is called once. */
  close(): void;
}

export interface Transport {
  /** The most that it takes, in bytes of UTF-8; what is larger goes by HTTP. */
  readonly maxBytes?: number;
  send(text: string): void;
  /** Its session is another's now: a read would take it back. What was sent is answered still. */
  retire?(): void;
  /** `forGood`: nobody will come back to its session. */
  close(forGood?: boolean): void;
}

/** Where a deployment is: what `GET /v1/config` says. */
export interface Endpoints {
  readonly websocketUrl: string;
  readonly httpUrl: string;
  readonly streamUrl: string;
}

/** Starts a transport; it never throws, but calls `close` if it can't be had. */
export type OpenTransport = (endpoints: Endpoints, handlers: TransportHandlers) => Transport;
