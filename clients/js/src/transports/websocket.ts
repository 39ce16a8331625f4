// WebSocket, as the browser has it.

import type { OpenTransport } from "./transport.js";

// API Gateway takes frames of 32,000 bytes.
const FRAME_MAX_BYTES = 30_000;

/** Returns a transport over `WebSocketClass`: the browser's own, or another with its shape. */
export function webSocketTransport(WebSocketClass: typeof WebSocket): OpenTransport {
  return ({ websocketUrl }, handlers) => {
    let ended = false;
    const end = (): void => {
      if (!ended) {
        ended = true;
        handlers.close();
      }
    };
    let socket: WebSocket;
    try {
      socket = new WebSocketClass(websocketUrl);
    } catch {
      // A URL that is none, or one that the page's rules forbid: it counts as a connection that failed.
      queueMicrotask(end);
      return { send: () => undefined, close: end };
    }
    socket.onopen = () => handlers.open();
    socket.onmessage = (event: MessageEvent) => {
      if (!ended && typeof event.data === "string") handlers.message(event.data);
    };
    socket.onclose = end;
    return {
      maxBytes: FRAME_MAX_BYTES,
      send: (text) => {
        if (socket.readyState === WebSocketClass.OPEN) socket.send(text);
      },
      close: () => {
        socket.close(1000);
        end(); // a peer that has gone answers no close; nobody waits for it
      },
    };
  };
}
