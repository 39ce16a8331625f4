// The workspace.

import type { Tidewire } from "tidewire";
import { Board } from "./board/Board.js";
import { Colleague } from "./colleague/Colleague.js";
import type { Network } from "./network/network.js";
import { NetworkPanel } from "./network/NetworkPanel.js";
import { useRooms } from "./rooms.js";

interface WorkspaceProps {
  readonly name: string;
  readonly userId: string;
  readonly network: Network;
  readonly client: Tidewire;
}

export function Workspace({ userId, network }: WorkspaceProps) {
  const { current } = useRooms(userId);
  return (
    <main>
      <h1>{current.name}</h1>
      <Colleague room={current.name} />
      <Board room={current.name} />
      <NetworkPanel network={network} />
    </main>
  );
}
