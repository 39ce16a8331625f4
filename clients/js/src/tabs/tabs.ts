// A tab's side of one connection for all tabs: the transport to the hub, and the tab's turn to run the hub itself.
//
// The hub is in a SharedWorker, if the user has given its script; else in the page that holds the lock of the name. The
// others wait for that lock, so that the next one has it as soon as a page has gone.

import type { OpenTransport, Transport } from "../transports/transport.js";
import { Hub, type MakeConnection } from "./hub.js";
import type { Locks, Port, ToHub, ToTab } from "./port.js";

export interface TabsOptions {
  /** The deployment's URL and the user: only tabs with the same name share. */
  readonly name: string;
  /** The script of the package's `worker.js`; without it one of the pages has the connection. */
  readonly sharedWorker?: string | URL | undefined;
  /** What the worker is to make its connection of: plain data. */
  readonly config: unknown;
  /** A token; `fresh` asks for a new one, since the last was refused. */
  readonly token: (fresh: boolean) => Promise<string>;
  /** Makes the connection that is shared, where it is this page that has it. */
  readonly makeConnection: MakeConnection;
  readonly report: (error: unknown) => void;
}

/** What is needed of the browser. */
export interface Browser {
  readonly navigator?: { readonly locks?: Locks };
  readonly BroadcastChannel?: new (name: string) => Port;
  readonly SharedWorker?: new (
    script: string | URL,
    options: { name: string; type: "module" },
  ) => { readonly port: Port; onerror: (() => void) | null };
}

interface TabTransport extends Transport {
  /** Returns whether there is a hub to take it. */
  post(message: ToHub): boolean;
  /** A hub has begun. */
  heard(hub: string): void;
}

// Pages of before and after a release may be open together: another number here keeps them apart.
const PREFIX = "tidewire-1-";
// Whose page has the hub and does not answer within this is frozen or stuck.
const LEADER_TIMEOUT_MS = 3_000;

/** Returns `undefined` where tabs can't share: each has a connection of its own then. */
export function shareTabs(options: TabsOptions, browser = globalThis as Browser): Tabs | undefined {
  const { navigator, BroadcastChannel } = browser;
  return navigator?.locks && BroadcastChannel && new Tabs(options, browser, navigator.locks, BroadcastChannel);
}

export class Tabs {
  readonly #options: TabsOptions;
  readonly #browser: Browser;
  readonly #locks: Locks;
  readonly #Channel: new (name: string) => Port;
  readonly #name: string;
  readonly #transports = new Set<TabTransport>();
  /** The page's rules forbid it: nobody is shared with. */
  forbidden = false;
  #noWorker = false; // it could not be started
  #woken = false; // and no hub has been told
  #lobby: Port | undefined; // where hubs say that they have begun, and tabs that they have come
  #standing: AbortController | undefined; // for the hub's place; ends waiting for it as well as having it

  /** @internal see {@link shareTabs} */
  constructor(options: TabsOptions, browser: Browser, locks: Locks, Channel: new (name: string) => Port) {
    this.#options = options;
    this.#browser = browser;
    this.#locks = locks;
    this.#Channel = Channel;
    this.#name = PREFIX + options.name;
  }

  /** The way to the server through the hub. Where the hub's connection is, is the hub's affair. */
  readonly open: OpenTransport = (_: unknown, handlers) => {
    const id = PREFIX + crypto.randomUUID();
    const worker = this.#worker();
    const port: Port = worker?.port ?? new this.#Channel(id);
    let ended = false;
    let hub: string | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let unlock = (): void => undefined;

    const knock = (): void => {
      if (worker) return port.postMessage({ id, config: this.#options.config });
      this.#join();
      this.#lobby?.postMessage({ tab: id });
      clearTimeout(timer);
      timer = setTimeout(() => this.#stand(true), LEADER_TIMEOUT_MS);
    };
    const close = (): void => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      this.#transports.delete(transport);
      port.close();
      unlock();
      handlers.close();
    };
    const post = (message: ToHub): boolean => {
      const open = hub !== undefined && !ended;
      if (open) port.postMessage(message);
      return open;
    };
    const transport: TabTransport = {
      post,
      send: post,
      close,
      heard: (begun) => {
        if (hub === undefined) knock();
        else if (hub !== begun) close();
      },
    };
    port.onmessage = ({ data }: { data: ToTab | null | undefined }) => {
      if (ended) return;
      if (typeof data === "string") handlers.message(data);
      else if (data?.kind === "close") close();
      else if (data?.kind === "token") void this.#token(data.fresh).then((token) => post({ kind: "token", token }));
      else if (data?.kind === "open" && hub === undefined) {
        hub = data.hub;
        clearTimeout(timer);
        if (this.#woken) this.wake();
        handlers.open();
      }
    };
    if (worker) {
      worker.onerror = () => {
        this.#failed(new Error(`${String(this.#options.sharedWorker)} could not be started`));
        close();
      };
    }
    this.#transports.add(transport);
    // Held until the transport ends, or the page.
    const held = (): Promise<void> | undefined => {
      if (ended) return;
      knock();
      return new Promise((resolve) => (unlock = resolve));
    };
    this.#locks.request(id, {}, held).catch((error: unknown) => {
      this.forbidden ||= hub === undefined;
      this.#options.report(error);
      close();
    });
    return transport;
  };

  /** The page or the network has woken: the shared connection is not to wait for its next attempt. */
  wake(): void {
    this.#woken = ![...this.#transports].some((transport) => transport.post({ kind: "wake" }));
  }

  /**
   * Let go of everything, as when the client is closed, or the page is put aside (with locks or channels it could not
   * be kept). If the hub is here, the next tab takes its place. `open` begins anew.
   */
  close(): void {
    this.#standing?.abort();
    this.#lobby?.close();
    this.#standing = this.#lobby = undefined;
    this.#transports.forEach((transport) => transport.close());
  }

  #worker(): InstanceType<NonNullable<Browser["SharedWorker"]>> | undefined {
    const { sharedWorker } = this.#options;
    const { SharedWorker } = this.#browser;
    if (!sharedWorker || !SharedWorker || this.#noWorker) return undefined;
    try {
      return new SharedWorker(sharedWorker, { name: this.#name, type: "module" });
    } catch (error) {
      this.#failed(error); // the page's rules forbid it
      return undefined;
    }
  }

  #failed(error: unknown): void {
    if (!this.#noWorker) this.#options.report(error);
    this.#noWorker = true;
  }

  async #token(fresh: boolean): Promise<unknown> {
    try {
      return await this.#options.token(fresh);
    } catch (error) {
      this.#options.report(error);
      return undefined;
    }
  }

  #join(): void {
    if (this.#lobby) return;
    this.#lobby = new this.#Channel(this.#name);
    this.#lobby.onmessage = ({ data }) => {
      if (typeof data?.hub === "string") this.#transports.forEach((transport) => transport.heard(data.hub));
    };
    this.#stand();
  }

  /** Stand for the hub's place. */
  #stand(steal = false): void {
    this.#standing?.abort();
    const { signal } = (this.#standing = new AbortController());
    const again = (): void => {
      if (!signal.aborted) this.#stand();
    };
    this.#locks
      .request(this.#name, steal ? { steal } : { signal }, () => (signal.aborted ? undefined : this.#lead(signal)))
      .then(again, (error: unknown) => {
        if ((error as Error).name === "AbortError")
          again(); // stolen
        else this.#options.report(error);
      });
  }

  /** Be the one whose page has the hub, until `signal`, or until another is. */
  #lead(signal: AbortSignal): Promise<void> {
    const hub = new Hub({ ...this.#options, locks: this.#locks });
    const lobby = new this.#Channel(this.#name); // another than the tab's, so that the two hear each other
    return new Promise((resolve) => {
      const end = (): void => {
        lobby.close();
        hub.close();
        resolve();
      };
      signal.addEventListener("abort", end);
      lobby.onmessage = ({ data }) => {
        if (typeof data?.tab === "string") hub.add(data.tab, new this.#Channel(data.tab));
        else if (typeof data?.hub === "string") end();
      };
      lobby.postMessage({ hub: hub.id });
    });
  }
}
