// The workspace: on a desk everything at once, on a phone one view at a time.

import { useCallback, useEffect, useState } from "react";
import { useConnection } from "tidewire/react";
import { Board } from "./board/Board.js";
import { Chat } from "./Chat.js";
import { ConnectionMark, Notice } from "./Connection.js";
import { Face } from "./Face.js";
import type { Network } from "./network/network.js";
import { NetworkPanel } from "./network/NetworkPanel.js";
import { Faces, People } from "./People.js";
import { STATUSES, usePeople, useSelf, type Status } from "./presence.js";
import { RoomList } from "./RoomList.js";
import { useRooms } from "./rooms.js";
import { usePageVisible, useWide, Views, type View } from "./Views.js";

interface WorkspaceProps {
  readonly name: string;
  readonly userId: string;
  readonly network: Network;
  /** The user wants to connect again after an end for good. */
  readonly onAgain: () => void;
}

export function Workspace({ name, userId, network, onAgain }: WorkspaceProps) {
  const { rooms, all, current } = useRooms(userId);
  const [status, setStatus] = useState<Status>("online");
  const [view, setView] = useState<View>("chat");
  const people = usePeople(current.name, userId);
  useSelf(current.name, name, status);
  const ended = useConnection().state === "closed";

  const wide = useWide();
  const attended = usePageVisible() && (wide || view === "chat");
  useEffect(() => rooms.attend(attended), [rooms, attended]);
  const unread = all.reduce((sum, room) => sum + room.unread, 0);
  useEffect(() => {
    document.title = `${unread ? `(${unread}) ` : ""}${current.name} · Tidewire`;
  }, [unread, current.name]);

  const say = useCallback(
    (text: string, messageId?: string) => void rooms.current.say(text, name, messageId),
    [rooms, name],
  );

  return (
    <div className="workspace" data-view={view}>
      <header>
        <div className="bar">
          <a className="brand" href="/">
            <img src="/icon.svg" alt="" width="28" height="28" />
            Tidewire
          </a>
          <h1>{current.name}</h1>
          <Faces {...people} />
          <ConnectionMark />
          <Me name={name} status={status} onStatus={setStatus} />
        </div>
        <Notice onAgain={onAgain} />
      </header>
      <main inert={ended}>
        <div className="side">
          <RoomList all={all} current={current.name} onShow={(room) => rooms.show(room)} />
          <People {...people} name={name} status={status} />
        </div>
        <div className="view-board">
          <Board room={current.name} name={name} key={current.name} />
        </div>
        <div className="view-network">
          <NetworkPanel network={network} rooms={all} />
        </div>
        <Chat {...people} room={current} name={name} userId={userId} attended={attended} onSay={say} />
      </main>
      <Views view={view} unread={unread} onView={setView} />
    </div>
  );
}

interface MeProps {
  readonly name: string;
  readonly status: Status;
  readonly onStatus: (status: Status) => void;
}

function Me({ name, status, onStatus }: MeProps) {
  return (
    <div className="me">
      <Face name={name} status={status} />
      <span className="me-name">{name}</span>
      <select aria-label="Your status" value={status} onChange={(event) => onStatus(event.target.value as Status)}>
        {Object.entries(STATUSES).map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </div>
  );
}
