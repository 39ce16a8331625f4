// The ways to a deployment, and where it is.

import type { Ways } from "./connection.js";
import { httpTransport } from "./transports/http.js";
import type { Endpoints } from "./transports/transport.js";
import { webSocketTransport } from "./transports/websocket.js";

/** The best first: what they are called in `GET /v1/config`. */
export const WAYS = ["websocket", "sse", "stream", "long_poll", "short_poll"] as const;
export type Way = (typeof WAYS)[number];

/** Where a deployment is, as far as its user says. */
export interface Deployment {
  /** Origin of the HTTP API; the page's own unless given. */
  readonly httpUrl?: string | undefined;
  /** Where the WebSocket is; asked of `GET /v1/config` unless given. */
  readonly websocketUrl?: string | undefined;
  /** Ways that may be taken, in any order; all unless given. */
  readonly transports?: readonly Way[] | undefined;
}

const CONFIG_TIMEOUT_MS = 10_000;

/** Returns what tells where the deployment is; asked of it once. */
export function finder(deployment: Deployment, fetch_: typeof fetch): () => Promise<Endpoints> {
  let found: Endpoints | undefined;
  return async () => {
    if (found) return found;
    const { websocketUrl, httpUrl = globalThis.location?.origin } = deployment;
    if (websocketUrl) return (found = { websocketUrl, httpUrl, streamUrl: httpUrl });
    const response = await fetch_(`${httpUrl}/v1/config`, { signal: AbortSignal.timeout(CONFIG_TIMEOUT_MS) });
    if (!response.ok) throw new Error(`GET /v1/config answered ${response.status}`);
    const config = (await response.json()) as Record<"websocket_url" | "http_url" | "stream_url", string>;
    const { websocket_url, http_url = httpUrl, stream_url = http_url } = config;
    return (found = { websocketUrl: websocket_url, httpUrl: http_url, streamUrl: stream_url });
  };
}

/** Returns the ways that may be taken. */
export function realWays({ transports = WAYS }: Deployment, fetch_: typeof fetch, Socket?: typeof WebSocket): Ways {
  const ways: Record<string, Ways[string]> = {};
  for (const way of WAYS) {
    if (!transports.includes(way)) continue;
    ways[way] = way === "websocket" ? webSocketTransport(Socket ?? WebSocket) : httpTransport(way, fetch_);
  }
  return ways;
}
