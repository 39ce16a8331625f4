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
}

export function App() {
  const [visit, setVisit] = useState<Visit>();
  if (!visit) return <Entrance onEnter={(name) => setVisit(begin(name))} />;
  return (
    <TidewireProvider client={visit.client}>
      <Workspace {...visit} />
    </TidewireProvider>
  );
}

function begin(name: string): Visit {
  const userId = enter(name);
  const network = new Network();
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
  return { name, userId, network, client };
}
