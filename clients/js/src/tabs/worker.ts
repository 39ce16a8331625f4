// The script of the SharedWorker: has the hub for all tabs of a browser with the same user.

import { Connection } from "../connection.js";
import { finder, realWays, type Deployment } from "../ways.js";
import { Hub } from "./hub.js";
import type { Locks, Port } from "./port.js";

interface Introduction {
  readonly id: string;
  readonly config: Deployment;
}

let hub: Hub | undefined;

addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0] as Port;
  port.onmessage = ({ data: { id, config } }: { readonly data: Introduction }) => {
    hub ??= new Hub({
      locks: navigator.locks as Locks,
      makeConnection: (callbacks) => {
        const ways = realWays(config, fetch.bind(globalThis));
        return new Connection({ ...callbacks, endpoints: finder(config, fetch), ways: () => ways, fetch });
      },
      report: (error) => console.error(error),
    });
    hub.add(id, port);
  };
});
