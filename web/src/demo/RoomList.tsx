// The rooms: what is new in each, and a field to open another one.

import { useEffect, useRef, useState, type FormEvent } from "react";
import { roomNameProblem, type RoomView } from "./room.js";

interface RoomListProps {
  readonly all: readonly RoomView[];
  readonly current: string;
  readonly onShow: (name: string) => void;
}

export function RoomList({ all, current, onShow }: RoomListProps) {
  const list = useRef<HTMLUListElement>(null);
  // On a phone the rooms are one line, longer than the screen.
  useEffect(() => {
    list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [current]);
  return (
    <nav className="rooms" aria-labelledby="rooms-title">
      <h2 id="rooms-title">Rooms</h2>
      <ul ref={list}>
        {all.map(({ name, unread }) => (
          <li key={name}>
            <button type="button" aria-current={name === current || undefined} onClick={() => onShow(name)}>
              <span className="room-name">{name}</span>
              <Badge count={unread} />
            </button>
          </li>
        ))}
      </ul>
      <OpenRoom onOpen={onShow} />
    </nav>
  );
}

export function Badge({ count }: { readonly count: number }) {
  if (count === 0) return null;
  return (
    <span className="badge">
      {count > 99 ? "99+" : count}
      <span className="hidden"> unread</span>
    </span>
  );
}

function OpenRoom({ onOpen }: { readonly onOpen: (name: string) => void }) {
  const [name, setName] = useState("");
  const [problem, setProblem] = useState<string>();
  const [wanted, setWanted] = useState(false); // where there is little space, it shows when asked for
  const field = useRef<HTMLInputElement>(null);

  useEffect(() => {
    if (wanted) field.current?.focus();
  }, [wanted]);

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const given = name.trim();
    const wrong = roomNameProblem(given);
    setProblem(wrong);
    if (wrong !== undefined) return field.current?.focus();
    setName("");
    setWanted(false);
    onOpen(given);
  };

  return (
    <>
      <button
        type="button"
        className="more-rooms"
        aria-label="Another room"
        aria-expanded={wanted}
        onClick={() => setWanted(!wanted)}
      >
        +
      </button>
      <form className="open-room" data-wanted={wanted} onSubmit={submit} noValidate>
        <label htmlFor="room">Open a room</label>
        <div className="row">
          <input
            id="room"
            ref={field}
            value={name}
            onChange={(event) => {
              setName(event.target.value);
              setProblem(undefined);
            }}
            placeholder="its name"
            autoComplete="off"
            aria-invalid={problem !== undefined}
            aria-describedby="room-error"
          />
          <button type="submit" aria-label="Open the room">
            Open
          </button>
        </div>
        <p id="room-error" className="error" role="alert">
          {problem}
        </p>
      </form>
    </>
  );
}
