// What a connection needs of a transport; WebSocket is the first of them.

export interface TransportHandlers {
  /** Frames may be sent from now on. */
  open(): void;
  /** One message has come: a frame or a batch, still as text. */
  message(text: string): void;
  /** It has ended; nothing comes after this, and it is called once. */
  close(): void;
}

export interface Transport {
  send(text: string): void;
  close(): void;
}

/** Starts a transport; it never throws, but calls `close` if it can't be had. */
export type OpenTransport = (url: string, handlers: TransportHandlers) => Transport;
