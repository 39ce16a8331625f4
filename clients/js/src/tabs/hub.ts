// One connection for many tabs: gives each of them what it would have from a connection of its own.
//
// A tab's end is known by a lock that it holds as long as it lives; no message tells it, since a page may die without.

import type { ConnectionOptions } from "../connection.js";
import { uncertain, type TidewireError } from "../errors.js";
import type { HelloResult, Push } from "../generated/frames.js";
import type { Asked } from "../link.js";
import type { Locks, Port, ToTab } from "./port.js";

/** The connection that is shared, as the hub uses it. */
export interface SharedConnection {
  open(): void;
  wake(): void;
  close(): void;
  ask(requests: readonly Asked[], timeoutMs?: number): Promise<unknown>[];
}

export type MakeConnection = (
  callbacks: Pick<ConnectionOptions, "token" | "report" | "onPush" | "onState" | "onConnected">,
) => SharedConnection;

export interface HubOptions {
  readonly locks: Locks;
  readonly makeConnection: MakeConnection;
  readonly report: (error: unknown) => void;
}

interface Frame {
  readonly type: string;
  readonly id?: unknown;
  readonly channel?: unknown;
  readonly [field: string]: unknown;
}

type Subscription = Extract<Asked, { type: "subscribe" | "unsubscribe" }>;

interface Tab {
  readonly port: Port;
  /** By channel: the `subscribe` by which it has it. */
  readonly subscriptions: Map<string, Frame>;
  there: boolean;
  /** The id of a hello that waits for the connection. */
  hello?: unknown;
  /** Takes the token that it was asked for. */
  onToken?: (token: unknown) => void;
}

// The server sees nobody leave for as long after a connection has ended: who loads a page anew is not seen to go.
const GRACE_MS = 10_000;
const TOKEN_TIMEOUT_MS = 5_000;
// Longer than any command may take: the tab that has asked knows how long it waits.
const COMMAND_TIMEOUT_MS = 30_000;
const BATCH_MAX_FRAMES = 100;

export class Hub {
  readonly id = crypto.randomUUID();
  readonly #options: HubOptions;
  readonly #connection: SharedConnection;
  readonly #end = new AbortController();
  readonly #tabs = new Map<string, Tab>();
  #late: Tab[] = []; // those that have gone within the time of grace: what they wanted is wanted still
  readonly #told = new Map<string, string>(); // by channel: the interests that the server knows; "" if that is uncertain
  readonly #turns = new Map<string, Promise<unknown>>(); // by channel: ends when what was asked last is answered
  #hello: HelloResult | undefined; // while connected
  #offered: unknown; // a token that came with a hello which waits
  #asking: Promise<unknown> = Promise.resolve(); // ends when the tabs are not being asked for a token
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#connection = options.makeConnection({
      token: (fresh) => this.#token(fresh),
      report: options.report,
      onPush: (push) => this.#push(push),
      onState: (state, error) => {
        if (state === "connected") return;
        // Of a connection that never stood nobody has anything yet: they wait on.
        if (state === "closed" || this.#hello) this.#lost(state === "closed" ? error : undefined);
      },
      onConnected: (hello) => this.#connected(hello),
    });
  }

  /** A tab has come, which holds the lock `id`. */
  add(id: string, port: Port): void {
    if (this.#tabs.has(id)) return port.close(); // it has said so twice
    const tab: Tab = { port, subscriptions: new Map(), there: true };
    this.#tabs.set(id, tab);
    port.onmessage = ({ data }) => {
      if (typeof data === "string") this.#receive(tab, data);
      else if (data?.kind === "token") tab.onToken?.(data.token);
      else if (data?.kind === "wake") this.#connection.wake();
    };
    send(tab, { kind: "open", hub: this.id });
    const { signal } = this.#end;
    this.#options.locks
      .request(id, { signal }, () => this.#leave(id))
      .catch((error: unknown) => signal.aborted || this.#options.report(error));
  }

  /** End it: every tab has to find another hub. */
  close(): void {
    this.#end.abort();
    this.#lost();
    this.#connection.close();
    clearTimeout(this.#timer);
  }

  /** A tab has gone, or has to come again. */
  #leave(id: string): undefined {
    const tab = this.#tabs.get(id);
    if (!tab) return;
    this.#tabs.delete(id);
    this.#late.push(tab);
    send(tab, { kind: "close" });
    tab.there = false;
    tab.port.close();
    tab.onToken?.(undefined);
    this.#tidyLater();
  }

  /** The connection was lost: each tab comes again, and subscribes from where it was. With an error: it was for good. */
  #lost(error?: TidewireError): void {
    this.#hello = undefined;
    for (const [id, tab] of this.#tabs) {
      if (error)
        say(tab, { type: "system", event: "disconnect", code: error.code, name: error.kind, reconnect: false });
      this.#leave(id);
    }
  }

  /** The connection stands, or was moved without a loss. */
  #connected(hello: HelloResult): void {
    // Session and renewal are the hub's own affair.
    const { session_id, ...shown } = hello;
    this.#hello = { ...shown, connection_max_age_s: 0, subscriptions: [] } as unknown as HelloResult;
    this.#offered = undefined;
    for (const tab of this.#tabs.values()) {
      reply(tab, tab.hello, { result: this.#hello });
      tab.hello = undefined;
      for (const channel of tab.subscriptions.keys()) {
        say(tab, { type: "system", event: "resubscribe", channel, reason: "moved" });
      }
    }
    this.#tidyLater();
  }

  #greet(tab: Tab, { id, token }: Frame): void {
    if (this.#hello) return reply(tab, id, { result: this.#hello });
    tab.hello = id;
    this.#offered = token;
    this.#connection.open();
  }

  /** The hub has no token of its own. It asks for one at a time: an answer does not say what it answers. */
  #token(fresh: boolean): Promise<string> {
    const answer = this.#asking.then(() => this.#askForToken(fresh));
    this.#asking = answer.catch(() => undefined);
    return answer;
  }

  async #askForToken(fresh: boolean): Promise<string> {
    const offered = this.#offered;
    this.#offered = undefined;
    if (!fresh && offered && typeof offered === "string") return offered;
    for (const tab of this.#tabs.values()) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const token = await new Promise<unknown>((resolve) => {
        timer = setTimeout(resolve, TOKEN_TIMEOUT_MS); // it may be frozen
        tab.onToken = resolve;
        send(tab, { kind: "token", fresh });
      });
      clearTimeout(timer);
      if (typeof token === "string") return token;
    }
    throw uncertain("no tab has a token");
  }

  #push(push: Push, but?: Tab): void {
    const { type, channel } = push as unknown as Frame;
    // A receipt is for who has published, whether or not it is subscribed.
    const all = typeof channel !== "string" || type === "receipt" || /^(user|broadcast):/.test(channel);
    const text = JSON.stringify(push);
    for (const tab of this.#tabs.values()) {
      if (tab !== but && (all || tab.subscriptions.has(channel))) send(tab, text);
    }
  }

  #receive(tab: Tab, text: string): void {
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return; // no frame of ours
    }
    const others = [message]
      .flat()
      .filter(isFrame)
      .filter((frame) => {
        if (frame.type === "hello") this.#greet(tab, frame);
        else if (frame.type === "ping") say(tab, { type: "pong", id: frame.id });
        else return true;
        return false;
      });
    if (others.length > 0) this.#pass(tab, others);
  }

  /** Ask for a tab, one frame or one batch as it came. */
  #pass(tab: Tab, frames: readonly Frame[]): void {
    this.#inTurn(
      frames.flatMap((frame) => (isSubscription(frame) ? [frame.channel] : [])),
      () => {
        if (!tab.there) return [];
        const before = frames.map(({ channel }) => tab.subscriptions.get(channel as string));
        const requests = frames.map((frame) => this.#request(tab, frame));
        const answers = this.#ask(requests.filter((request) => request !== undefined));
        return frames.map((frame, i) => this.#answer(tab, frame, before[i], requests[i] && answers.shift()));
      },
    );
  }

  /** What is to be asked for a tab's frame; nothing if the others want what it gives up. */
  #request(tab: Tab, frame: Frame): Asked | undefined {
    if (!isSubscription(frame)) return frame as unknown as Asked;
    const { type, channel, state } = frame;
    if (type === "unsubscribe") {
      tab.subscriptions.delete(channel);
      return this.#tell(channel);
    }
    tab.subscriptions.set(channel, frame);
    this.#told.delete(channel);
    // With what the others want, or they would be told no more; but of documents what the asker lacks.
    return { ...frame, ...this.#tell(channel), ...(state ? { state } : {}) } as unknown as Asked;
  }

  async #answer(tab: Tab, frame: Frame, before: Frame | undefined, answer?: Promise<unknown>): Promise<void> {
    const { type, id, channel, key } = frame;
    try {
      const result = (await answer) as { version?: unknown } | undefined;
      reply(tab, id, { result: type === "unsubscribe" ? {} : result });
      if (type.startsWith("state.") && typeof result?.version === "number") {
        // The server tells the connection that writes nothing but this answer, and the other tabs are on it too.
        const by = { updated_by: this.#hello?.user_id, updated_at_ms: Date.now() };
        this.#push({ ...result, ...by, type: "state", channel, key } as unknown as Push, tab);
      }
    } catch (thrown) {
      const error = thrown as TidewireError;
      if (isSubscription(frame)) {
        this.#told.set(frame.channel, "");
        if (type === "subscribe" && !error.retryable) {
          tab.subscriptions.delete(frame.channel);
          if (before) tab.subscriptions.set(frame.channel, before);
        }
      }
      reply(tab, id, { error });
    }
  }

  #ask(requests: readonly Asked[]): Promise<unknown>[] {
    if (requests.length === 0) return [];
    const command = requests.some(({ type }) => type === "command");
    return this.#connection.ask(requests, command ? COMMAND_TIMEOUT_MS : undefined);
  }

  /** Ask when all that was asked of these channels before is answered: of two frames the server may handle the later one first. */
  #inTurn(channels: readonly string[], ask: () => Promise<unknown>[]): void {
    const before = channels.flatMap((channel) => this.#turns.get(channel) ?? []);
    const asked = (): Promise<unknown> => Promise.all(ask());
    const turn = before.length > 0 ? Promise.all(before).then(asked) : asked();
    for (const channel of channels) {
      this.#turns.set(channel, turn);
      void turn.then(() => this.#turns.get(channel) === turn && this.#turns.delete(channel));
    }
  }

  /** What all tabs together want of a channel, as text; `undefined`: nobody wants it. */
  #wanted(channel: string): string | undefined {
    const all = [...this.#tabs.values(), ...this.#late].flatMap((tab) => tab.subscriptions.get(channel) ?? []);
    if (all.length === 0) return undefined;
    const interests = ["presence", "state"].filter((interest) => all.some((frame) => frame[interest]));
    return JSON.stringify(Object.fromEntries(interests.map((interest) => [interest, true])));
  }

  /** What is to be asked so that the server sends what is wanted; nothing if it does. */
  #tell(channel: string): Subscription | undefined {
    const wanted = this.#wanted(channel);
    if (wanted === undefined) {
      this.#told.delete(channel);
      return { type: "unsubscribe", channel };
    }
    if (wanted === this.#told.get(channel)) return undefined;
    this.#told.set(channel, wanted);
    return { type: "subscribe", channel, ...(JSON.parse(wanted) as object) };
  }

  #tidyLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tidy(), GRACE_MS);
  }

  /** Give up what only those wanted who have gone; without a tab, the connection. */
  #tidy(): void {
    this.#late = [];
    if (this.#tabs.size === 0) {
      this.#told.clear();
      return this.#connection.close();
    }
    if (!this.#hello) return; // it is done when the connection stands
    const all = [...this.#told].flatMap(([name, told]) => (this.#wanted(name) === told ? [] : name));
    const channels = all.slice(0, BATCH_MAX_FRAMES);
    if (all.length > channels.length) this.#tidyLater();
    this.#inTurn(channels, () => {
      const requests = channels.flatMap((channel) => this.#tell(channel) ?? []);
      return this.#ask(requests).map((answer, i) =>
        answer.catch((error: TidewireError) => {
          this.#told.set((requests[i] as Subscription).channel, "");
          if (error.retryable) this.#tidyLater();
          else this.#options.report(error);
        }),
      );
    });
  }
}

function send(tab: Tab, message: ToTab): void {
  if (tab.there) tab.port.postMessage(message);
}

function say(tab: Tab, frame: object): void {
  send(tab, JSON.stringify(frame));
}

function reply(tab: Tab, id: unknown, answer: object): void {
  if (id !== undefined) say(tab, { type: "reply", id, ...answer });
}

function isFrame(frame: unknown): frame is Frame {
  return typeof (frame as Frame | null)?.type === "string";
}

function isSubscription(frame: Frame): frame is Frame & { readonly channel: string } {
  return /^(un)?subscribe$/.test(frame.type) && typeof frame.channel === "string";
}
