// What the ways to the server are called for people.

import type { Way } from "tidewire";

export const WAY_NAMES: Readonly<Record<Way, string>> = {
  websocket: "WebSocket",
  sse: "SSE",
  stream: "HTTP stream",
  long_poll: "Long polling",
  short_poll: "Short polling",
};

/** The best first. */
export const WAYS = Object.keys(WAY_NAMES) as Way[];
