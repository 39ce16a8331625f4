// The page: enter a name, talk in rooms, see how the connection is.

import { Tidewire, type ConnectionState } from "tidewire";
import { avatar, element, messageItem } from "./message.js";
import { Room, roomNameProblem } from "./room.js";
import { devToken, enter, lastName } from "./session.js";

const FIRST_ROOMS = ["lobby", "tide-pool"];
const SAME_SPEAKER_MS = 5 * 60_000;
const STATES: Record<ConnectionState, string> = {
  idle: "Not connected",
  connecting: "Connecting …",
  connected: "Connected",
  reconnecting: "Reconnecting …",
  closed: "Disconnected",
};

function get<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

class Page {
  readonly #name: string;
  readonly #userId: string;
  readonly #client: Tidewire;
  readonly #rooms = new Map<string, Room>();
  #current: Room;

  constructor(name: string, userId: string) {
    this.#name = name;
    this.#userId = userId;
    this.#client = new Tidewire({ getToken: () => devToken(userId) });
    this.#client.onState((state, error) => this.#showState(state, error?.message));
    for (const room of FIRST_ROOMS) this.#open(room);
    this.#current = this.#open(decodeURIComponent(location.hash.slice(1)) || (FIRST_ROOMS[0] as string));
    get("me-name").textContent = name;
    get("me-avatar").replaceWith(avatar(name));
    get("room-form").addEventListener("submit", (event) => this.#openRoom(event));
    get("compose").addEventListener("submit", (event) => this.#send(event));
    get("text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#send(event);
    });
    this.#showState(this.#client.state);
    this.#show(this.#current);
  }

  #open(name: string): Room {
    const valid = roomNameProblem(name) ? (FIRST_ROOMS[0] as string) : name;
    let room = this.#rooms.get(valid);
    if (!room) {
      room = new Room(this.#client, valid, this.#userId, () => this.#render());
      this.#rooms.set(valid, room);
    }
    return room;
  }

  #show(room: Room): void {
    this.#current = room;
    history.replaceState(null, "", `#${encodeURIComponent(room.name)}`);
    this.#render();
    get("text").focus();
  }

  #openRoom(event: Event): void {
    event.preventDefault();
    const input = get<HTMLInputElement>("room");
    const name = input.value.trim();
    const problem = roomNameProblem(name);
    get("room-error").textContent = problem ?? "";
    input.setAttribute("aria-invalid", String(problem !== undefined));
    if (problem === undefined) {
      input.value = "";
      this.#show(this.#open(name));
    }
  }

  #send(event: Event): void {
    event.preventDefault();
    const input = get<HTMLTextAreaElement>("text");
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    void this.#current.say(text, this.#name);
  }

  #showState(state: ConnectionState, problem?: string): void {
    get("state").dataset["state"] = state;
    get("state-text").textContent = problem && state === "closed" ? `${STATES[state]}: ${problem}` : STATES[state];
  }

  #render(): void {
    if (!this.#current) return; // a room's first answer before the page stands
    this.#current.unread = 0;
    get("rooms").replaceChildren(...[...this.#rooms.values()].map((room) => this.#roomItem(room)));
    get("room-title").textContent = this.#current.name;
    const list = get("messages");
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    list.replaceChildren(...this.#items());
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  #items(): HTMLElement[] {
    const { messages, problem } = this.#current;
    if (problem) return [element("li", "empty", problem)];
    if (messages.length === 0) return [element("li", "empty", "Nothing has been said here yet. Begin.")];
    return messages.map((message, index) => {
      const before = messages[index - 1];
      const follows = before?.userId === message.userId && message.atMs - before.atMs < SAME_SPEAKER_MS;
      return messageItem(message, message.userId === this.#userId, follows);
    });
  }

  #roomItem(room: Room): HTMLLIElement {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.append(element("span", "room-name", room.name));
    if (room === this.#current) button.setAttribute("aria-current", "true");
    if (room.unread > 0) {
      const badge = element("span", "badge", String(room.unread));
      badge.setAttribute("aria-label", `${room.unread} unread`);
      button.append(badge);
    }
    button.addEventListener("click", () => this.#show(room));
    item.append(button);
    return item;
  }
}

function begin(event: Event): void {
  event.preventDefault();
  const name = get<HTMLInputElement>("name").value.trim();
  get("name-error").textContent = name ? "" : "Please give a name.";
  if (!name) return;
  get("enter").remove();
  get("chat").hidden = false;
  new Page(name, enter(name));
}

get<HTMLInputElement>("name").value = lastName();
get("name").focus();
get("enter-form").addEventListener("submit", begin);
