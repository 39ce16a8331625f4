// The rooms that this window has opened, and which of them it shows.

import { useEffect, useState, useSyncExternalStore } from "react";
import type { Tidewire } from "tidewire";
import { useTidewire } from "tidewire/react";
import { Room, roomNameProblem, type RoomView } from "./room.js";

const FIRST = ["lobby", "tide-pool"] as const;

interface RoomsView {
  readonly all: readonly RoomView[];
  readonly current: RoomView;
}

export class Rooms {
  readonly #client: Tidewire;
  readonly #userId: string;
  readonly #rooms = new Map<string, Room>();
  readonly #listeners = new Set<() => void>();
  #current: Room;
  #attended = false;
  #view: RoomsView | undefined;

  constructor(client: Tidewire, userId: string) {
    this.#client = client;
    this.#userId = userId;
    for (const name of FIRST) this.#open(name);
    this.#current = this.#open(linked() ?? FIRST[0]);
    this.show(this.#current.view.name);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** The same object until something in it has changed. */
  readonly view = (): RoomsView =>
    (this.#view ??= { all: [...this.#rooms.values()].map(({ view }) => view), current: this.#current.view });

  get current(): Room {
    return this.#current;
  }

  /** Show the room of that name, which is one; it is opened if it is not yet. */
  show(name: string): void {
    this.#current = this.#open(name);
    history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    this.#changed();
  }

  /** Somebody looks at the current room's messages from now on, or no longer. */
  attend(attended: boolean): void {
    this.#attended = attended;
    this.#changed();
  }

  /** Show the room that the address names, if it names one. */
  readonly followAddress = (): void => {
    const name = linked();
    if (name) this.show(name);
  };

  #open(name: string): Room {
    let room = this.#rooms.get(name);
    if (!room) {
      room = new Room(this.#client, name, this.#userId, () => this.#changed());
      this.#rooms.set(name, room);
    }
    return room;
  }

  #changed(): void {
    this.#view = undefined;
    if (this.#attended && this.#current.view.unread > 0)
      this.#current.read(); // comes back here
    else this.#listeners.forEach((listener) => listener());
  }
}

/** The rooms, and how they are now. */
export function useRooms(userId: string): RoomsView & { readonly rooms: Rooms } {
  const client = useTidewire();
  const [rooms] = useState(() => new Rooms(client, userId));
  useEffect(() => {
    addEventListener("hashchange", rooms.followAddress);
    return () => removeEventListener("hashchange", rooms.followAddress);
  }, [rooms]);
  const view = useSyncExternalStore(rooms.subscribe, rooms.view);
  return { ...view, rooms };
}

/** The room that the address names, if it names one. */
function linked(): string | undefined {
  try {
    const name = decodeURIComponent(location.hash.slice(1));
    return roomNameProblem(name) === undefined ? name : undefined;
  } catch {
    return undefined; // somebody has typed a lone %
  }
}
