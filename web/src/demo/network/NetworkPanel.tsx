// What the network does, and what it is made to do.

import type { Network } from "./network.js";

export function NetworkPanel(_: { network: Network }) {
  return <h2>Network</h2>;
}
