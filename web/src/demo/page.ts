// Everything around the conversation: the rooms, the field to write in, and how the connection is.

import { Tidewire, type ConnectionState, type TidewireError } from "tidewire";
import { element, get, setChildren } from "./dom.js";
import { MessageLog } from "./log.js";
import { avatar } from "./message.js";
import { Room, roomNameProblem } from "./room.js";

const LOBBY = "lobby";
const FIRST_ROOMS = [LOBBY, "tide-pool"];
const LOST_NOTICE_MS = 1_500; // most losses are mended before anybody has read about them
const STATES: Record<ConnectionState, string> = {
  idle: "Not connected",
  connecting: "Connecting …",
  connected: "Connected",
  reconnecting: "Reconnecting …",
  closed: "Disconnected",
};

export class Page {
  readonly #name: string;
  readonly #userId: string;
  readonly #client: Tidewire;
  readonly #rooms = new Map<string, Room>();
  readonly #log: MessageLog;
  #current: Room;
  #everConnected = false;
  #noticeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string, userId: string, getToken: () => Promise<string>) {
    this.#name = name;
    this.#userId = userId;
    this.#log = new MessageLog(userId, (text) => void this.#current.say(text, name));
    this.#client = new Tidewire({ getToken });
    this.#client.onState((state, error) => this.#showState(state, error));
    const rooms = FIRST_ROOMS.map((room) => this.#open(room));
    this.#current = this.#linked() ?? (rooms[0] as Room);
    get("me-name").textContent = name;
    get("me-avatar").replaceWith(avatar(name));
    this.#listen();
    this.#showState(this.#client.state);
    this.#show(this.#current);
  }

  #listen(): void {
    get("room-form").addEventListener("submit", (event) => this.#openRoom(event));
    get("room").addEventListener("input", () => this.#roomProblem(undefined));
    get("compose").addEventListener("submit", (event) => this.#send(event));
    get("text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#send(event);
    });
    get("connect-again").addEventListener("click", () => this.#client.connect());
    addEventListener("hashchange", () => {
      const room = this.#linked();
      if (room) this.#show(room);
    });
  }

  /** The room that the address names, if it names one. */
  #linked(): Room | undefined {
    let name: string;
    try {
      name = decodeURIComponent(location.hash.slice(1));
    } catch {
      return undefined; // somebody has typed a lone %
    }
    return roomNameProblem(name) ? undefined : this.#open(name);
  }

  #open(name: string): Room {
    let room = this.#rooms.get(name);
    if (!room) {
      room = new Room(this.#client, name, this.#userId, () => this.#render());
      this.#rooms.set(name, room);
    }
    return room;
  }

  #show(room: Room): void {
    this.#current = room;
    history.replaceState(null, "", `#${encodeURIComponent(room.name)}`);
    this.#render();
    // On a phone the rooms are one line, longer than the screen.
    document.querySelector("#rooms li:has([aria-current])")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    get("text").focus();
  }

  #openRoom(event: Event): void {
    event.preventDefault();
    const input = get<HTMLInputElement>("room");
    const name = input.value.trim();
    const problem = roomNameProblem(name);
    this.#roomProblem(problem);
    if (problem !== undefined) return input.focus();
    input.value = "";
    this.#show(this.#open(name));
  }

  #roomProblem(problem: string | undefined): void {
    get("room-error").textContent = problem ?? "";
    get("room").setAttribute("aria-invalid", String(problem !== undefined));
  }

  #send(event: Event): void {
    event.preventDefault();
    const input = get<HTMLTextAreaElement>("text");
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    void this.#current.say(text, this.#name);
  }

  #showState(state: ConnectionState, error?: TidewireError): void {
    get("state").dataset["state"] = state;
    get("state-text").textContent = STATES[state];
    clearTimeout(this.#noticeTimer);
    if (state === "connected") this.#everConnected = true;
    if (state === "closed") this.#notice(`The connection has ended: ${error?.message ?? "it was closed"}.`);
    else if (state !== "reconnecting") this.#notice("");
    else if (!this.#everConnected) this.#notice("The server does not answer. Is it running? Trying again …");
    else {
      const lost = "The connection is lost. What you write is sent as soon as it is back.";
      this.#noticeTimer = setTimeout(() => this.#notice(lost), LOST_NOTICE_MS);
    }
    get("connect-again").hidden = state !== "closed";
  }

  #notice(text: string): void {
    get("notice-text").textContent = text;
    get("notice").hidden = text === "";
  }

  #render(): void {
    if (!this.#current) return; // a room's first answer before the page stands
    this.#current.unread = 0;
    const rooms = [...this.#rooms.values()];
    setChildren(
      get("rooms"),
      rooms.map((room) => this.#roomItem(room)),
    );
    get("room-title").textContent = this.#current.name;
    const unread = rooms.reduce((sum, room) => sum + room.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ""}${this.#current.name} · Tidewire chat`;
    this.#log.show(this.#current);
  }

  #roomItem(room: Room): HTMLElement {
    const item = element("li", "");
    const button = element("button", "") as HTMLButtonElement;
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
