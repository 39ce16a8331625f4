// The script of the SharedWorker: has the hub for all tabs of a browser with the same user.

import { Connection } from "../connection.js";
import { webSocketTransport } from "../transports/websocket.js";
import { Hub, type MakeConnection } from "./hub.js";
import type { Locks, Port } from "./port.js";

interface Config {
  readonly httpUrl: string;
  readonly websocketUrl?: string;
}

interface Introduction {
  readonly id: string;
  readonly config: Config;
}

/** THE ONE PLACE where the worker's connection is made: the page's `makeConnection` for plain configuration. */
const makeConnection =
  ({ httpUrl, websocketUrl }: Config): MakeConnection =>
  (callbacks) => {
    const connection = new Connection({
      ...callbacks,
      url: async () => {
        if (websocketUrl !== undefined) return websocketUrl;
        const response = await fetch(`${httpUrl}/v1/config`, { signal: AbortSignal.timeout(10_000) });
        if (!response.ok) throw new Error(`GET /v1/config answered ${response.status}`);
        return ((await response.json()) as { websocket_url: string }).websocket_url;
      },
      open: webSocketTransport(WebSocket),
    });
    return {
      open: () => connection.open(),
      wake: () => connection.hurry(),
      close: () => connection.close(),
      ask: (requests) => connection.ask(requests),
    };
  };

let hub: Hub | undefined;

addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0] as Port;
  port.onmessage = ({ data: { id, config } }: { readonly data: Introduction }) => {
    hub ??= new Hub({
      locks: navigator.locks as Locks,
      makeConnection: makeConnection(config),
      report: (error) => console.error(error),
    });
    hub.add(id, port);
  };
});
