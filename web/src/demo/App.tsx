// First the entrance; then the workspace, over a connection of this window's own.

import { useState } from "react";
import { Tidewire } from "tidewire";
import { TidewireProvider } from "tidewire/react";
import { Entrance } from "./Entrance.js";
import { Network } from "./network/network.js";
import { enter, guestToken } from "./session.js";
import { Workspace } from "./Workspace.js";

interface Visit {
  readonly name: string;
  readonly userId: string;
  readonly network: Network;
  readonly client: Tidewire;
  /** How often it has begun anew. */
  readonly turn: number;
}

export function App() {
  const [visit, setVisit] = useState<Visit>();
  if (!visit) return <Entrance onEnter={(name) => void enter(name).then((userId) => setVisit(begin(name, userId)))} />;
  const { name, userId, network, client, turn } = visit;
  // All begins anew with another client: what the one before was asked when it had ended has failed for good.
  const again = (): void => setVisit(begin(name, userId, network, turn + 1));
  return (
    <TidewireProvider client={client} key={turn}>
      <Workspace name={name} userId={userId} network={network} onAgain={again} />
    </TidewireProvider>
  );
}

function begin(name: string, userId: string, network = new Network(), turn = 0): Visit {
  const client: Tidewire = new Tidewire({
    getToken: () => guestToken(userId, network.fetch),
    fetch: network.fetch,
    WebSocket: network.WebSocket,
    get transports() {
      return network.transports; // asked before each round of attempts
    },
    shareTabs: false, // each window is another user
    // Of an end for good the page tells; of all that fails with it nobody needs to hear.
    onError: (error) => client.state === "closed" || console.error(error),
  });
  return { name, userId, network, client, turn };
}
