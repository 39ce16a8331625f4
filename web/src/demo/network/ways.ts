// What the ways to the server are called for people.

import type { Way } from "tidewire";

const NAMES: Readonly<Record<Way | "tabs", string>> = {
  websocket: "WebSocket",
  sse: "SSE",
  stream: "HTTP stream",
  long_poll: "Long polling",
  short_poll: "Short polling",
  tabs: "Another tab",
};

/** The best first. */
export const WAYS = ["websocket", "sse", "stream", "long_poll", "short_poll"] as const satisfies readonly Way[];

export function nameOfWay(way: Way | "tabs"): string {
  return NAMES[way];
}
