/**
 * The client in React: what a component shows is subscribed to while it is mounted.
 * @module tidewire/react
 */
"use client";

import {
  createContext,
  createElement,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
  type ReactElement,
  type ReactNode,
} from "react";
import type { Event, Events, PublishOptions } from "./channel.js";
import type { ConnectionState } from "./connection.js";
import type { Document, MergePatch, WriteOptions, WriteResult } from "./documents.js";
import { isPassing } from "./errors.js";
import type { Member, PublishResult } from "./generated/frames.js";
import type { Said } from "./presence.js";
import type { LiveChannel, Tidewire } from "./tidewire.js";
import type { Way } from "./ways.js";

/** An event that has come, or was read from the history. */
export type Message<E extends Events = Events> =
  Event<E> extends infer M ? (M extends unknown ? Omit<M, "type"> : never) : never;

export interface UseChannelOptions<E extends Events = Events> {
  /** Called with each event from now on. */
  readonly onEvent?: ((event: Event<E>) => void) | undefined;
  /** How many of the latest events `messages` has, with those from before, less the ephemeral; none unless given. */
  readonly history?: number;
}

export interface ChannelView<E extends Events = Events> {
  /** The latest events, oldest first; always the same array until there are others. */
  readonly messages: readonly Message<E>[];
  /** Why it is not subscribed to, or its history could not be read. */
  readonly error: Error | undefined;
  /** As {@link LiveChannel.publish}. */
  readonly publish: <N extends keyof E & string>(
    name: N,
    data: E[N],
    options?: PublishOptions,
  ) => Promise<PublishResult>;
}

export interface PresenceView {
  /** Who is there; always the same array until that changes. */
  readonly members: readonly Member[];
  readonly count: number;
  /** Ids of the other users who type now. */
  readonly typing: readonly string[];
  /** Why the user is not there. */
  readonly error: Error | undefined;
  /** Say how the user is. */
  readonly update: (said: Said) => Promise<void>;
  /** The user types: call it with each key; with `false` when it is done. */
  readonly type: (active?: boolean) => void;
}

export interface DocumentView<T> {
  /** Frozen, and always the same until it changes; `undefined` if it is not there, or not known yet. */
  readonly value: T | undefined;
  /** The server's version that `value` rests on; 0 if none is known. */
  readonly version: number;
  /** How many own writes are not settled yet. */
  readonly pending: number;
  /** Why it can't be read. */
  readonly error: Error | undefined;
  readonly set: (value: T, options?: WriteOptions) => Promise<WriteResult<T>>;
  readonly patch: (patch: MergePatch<T> & object, options?: WriteOptions) => Promise<WriteResult<T>>;
  readonly delete: (options?: WriteOptions) => Promise<WriteResult<T>>;
}

const Context = createContext<Tidewire | undefined>(undefined);

/** Gives the client to all hooks below. Whoever has made it closes it. */
export function TidewireProvider(props: { readonly client: Tidewire; readonly children?: ReactNode }): ReactElement {
  return createElement(Context.Provider, { value: props.client }, props.children);
}

/** The client. */
export function useTidewire(): Tidewire {
  const client = useContext(Context);
  if (!client) throw new Error("there is no TidewireProvider above");
  return client;
}

/** The state of the connection, and the way to the server that is in use, or was last. */
export function useConnection(): { readonly state: ConnectionState; readonly transport: Way | "tabs" | undefined } {
  const client = useTidewire();
  const subscribe = useCallback((tell: () => void) => client.onState(tell), [client]);
  return {
    state: useSyncExternalStore(
      subscribe,
      () => client.state,
      () => "idle",
    ),
    transport: useSyncExternalStore(
      subscribe,
      () => client.transport,
      () => undefined,
    ),
  };
}

/** A channel: its events go to a listener, and the latest of them are in `messages` if `history` says how many. */
export function useChannel<E extends Events = Events>(
  name: string,
  given: ((event: Event<E>) => void) | UseChannelOptions<E> = {},
): ChannelView<E> {
  const { onEvent, history = 0 } = typeof given === "function" ? { onEvent: given } : given;
  const client = useTidewire();
  const latest = useRef(onEvent);
  useEffect(() => {
    latest.current = onEvent;
  });
  useEffect(() => client.channel<E>(name).on("*", (event) => latest.current?.(event)), [client, name]);
  const { messages, error } = useSource(client, `events ${history} ${name}`, () =>
    eventsOf(client, name, history),
  ).shown;
  const publish = useCallback<ChannelView<E>["publish"]>(
    (...publication) => client.channel<E>(name).publish(...publication),
    [client, name],
  );
  return { messages: messages as readonly Message<E>[], error, publish };
}

/** Who is in a channel; the user is while a component that uses this is mounted. */
export function usePresence(name: string): PresenceView {
  const client = useTidewire();
  const { shown } = useSource(client, `presence ${name}`, () => presenceOf(client, name));
  const words = useMemo(
    () => ({
      update: (said: Said) => client.channel(name).presence.update(said),
      type: (active?: boolean) => client.channel(name).presence.type(active),
    }),
    [client, name],
  );
  return { ...shown, ...words };
}

/** A channel's state document. */
export function useDocument<T = unknown>(name: string, key: string): DocumentView<T> {
  const client = useTidewire();
  const { shown, source } = useSource(client, `document ${name} ${key}`, () => documentOf<T>(client, name, key));
  const writes = useMemo(() => {
    const write = (how: (document: Document<T>) => Promise<WriteResult<T>>): Promise<WriteResult<T>> => {
      const channel = client.channel(name);
      const release = hold(channel); // left meanwhile, it would be refused
      const result = how(channel.document<T>(key));
      const settled = (): void => {
        source.tell();
        release();
      };
      source.tell();
      result.then(settled, settled);
      return result;
    };
    return {
      set: (value: T, options?: WriteOptions) => write((document) => document.set(value, options)),
      patch: (patch: MergePatch<T> & object, options?: WriteOptions) =>
        write((document) => document.patch(patch, options)),
      delete: (options?: WriteOptions) => write((document) => document.delete(options)),
    };
  }, [client, name, key, source]);
  return { ...shown, ...writes };
}

/** What a source is while somebody sees it. */
interface Running<S> {
  readonly read: () => S;
  readonly end: () => void;
}

/** Something outside of React that components show: begun with the first of them, ended after the last. */
class Source<S extends object> {
  readonly nothing: S;
  readonly #begin: (tell: () => void) => Running<S>;
  readonly #listeners = new Set<() => void>();
  #running: Running<S> | undefined;
  #shown: S;

  /** @param nothing what is shown before it has begun, and by a server */
  constructor(nothing: S, begin: (tell: () => void) => Running<S>) {
    this.nothing = this.#shown = nothing;
    this.#begin = begin;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#running ??= this.#begin(this.tell);
    return () => {
      this.#listeners.delete(listener);
      // Not at once: StrictMode mounts everything twice, and what is mounted next may show the same.
      queueMicrotask(() => {
        if (this.#listeners.size > 0) return;
        this.#running?.end();
        this.#running = undefined;
      });
    };
  };

  /** The same object until something in it has changed. */
  readonly get = (): S => {
    const now = this.#running?.read() ?? this.nothing;
    const names = Object.keys(now) as (keyof S)[];
    if (names.some((name) => now[name] !== this.#shown[name])) this.#shown = now;
    return this.#shown;
  };

  readonly tell = (): void => this.#listeners.forEach((listener) => listener());
}

// All components show the same one: what is mounted later has everything at once.
const sources = new WeakMap<Tidewire, Map<string, unknown>>();

function useSource<S extends object>(client: Tidewire, key: string, make: () => Source<S>) {
  const ofClient = sources.get(client) ?? new Map<string, unknown>();
  sources.set(client, ofClient);
  const source = (ofClient.get(key) ?? make()) as Source<S>;
  ofClient.set(key, source);
  const shown = useSyncExternalStore(source.subscribe, source.get, () => source.nothing);
  return { source, shown };
}

const users = new WeakMap<LiveChannel, number>();

/** Be one for whom the channel stays subscribed to. Returns a function that ends it: after the last it is left. */
function hold(channel: LiveChannel): () => void {
  // What the application has subscribed to itself is not ours to leave.
  users.set(channel, (users.get(channel) || Number(channel.subscribed)) + 1);
  return () => {
    const left = (users.get(channel) as number) - 1;
    users.set(channel, left);
    if (left === 0) channel.unsubscribe().catch(report);
  };
}

function eventsOf(client: Tidewire, name: string, history: number) {
  type View = { messages: readonly Omit<Event, "type">[]; error: Error | undefined };
  const nothing: View = { messages: [], error: undefined };
  return new Source(nothing, (tell) => {
    const channel = client.channel(name);
    const release = hold(channel);
    let view = nothing;
    let reading = 0; // counts: of one that was begun before, the answer is of no use
    const show = (change: Partial<View>): void => {
      view = { ...view, ...change };
      tell();
    };
    const begin = (): void => {
      const turn = ++reading;
      show({ messages: nothing.messages });
      channel.subscribe({ history }).then(
        (before) => {
          if (turn !== reading) return;
          const known = new Set<unknown>(before.map(({ offset }) => offset));
          const since = view.messages.filter(({ offset }) => !known.has(offset));
          show({ messages: [...before, ...since].slice(-history), error: undefined });
        },
        (error: Error) => turn === reading && show({ error }),
      );
    };
    const stops = [
      channel.on(
        "*",
        (event) => history && !event.ephemeral && show({ messages: [...view.messages, event].slice(-history) }),
      ),
      channel.onReset(begin),
    ];
    begin();
    return {
      read: () => view,
      end: () => {
        stops.forEach((stop) => stop());
        release();
      },
    };
  });
}

function presenceOf(client: Tidewire, name: string) {
  type View = Pick<PresenceView, "members" | "count" | "typing" | "error">;
  return new Source<View>({ members: [], count: 0, typing: [], error: undefined }, (tell) => {
    const channel = client.channel(name);
    const { presence } = channel;
    const release = hold(channel);
    const stop = presence.onChange(tell);
    const failed = failure(presence.join(), tell);
    return {
      read: () => ({ members: presence.members, count: presence.count, typing: presence.typing, error: failed() }),
      end: () => {
        stop();
        release(); // first: who leaves the channel needs not ask for the rest of it once more
        presence.leave().catch(report);
      },
    };
  });
}

function documentOf<T>(client: Tidewire, name: string, key: string) {
  type View = Pick<DocumentView<T>, "value" | "version" | "pending" | "error">;
  return new Source<View>({ value: undefined, version: 0, pending: 0, error: undefined }, (tell) => {
    const channel = client.channel(name);
    const release = hold(channel);
    const document = channel.document<T>(key);
    const stop = document.onChange(tell);
    const failed = failure(Promise.all([channel.subscribe(), document.ready()]), tell);
    return {
      read: () => ({
        value: document.value,
        version: document.version,
        pending: document.pending,
        error: failed(),
      }),
      end: () => {
        stop();
        release();
      },
    };
  });
}

/** Returns what has become of it: the error, if it failed. It is told when it is done. */
function failure(done: Promise<unknown>, tell: () => void): () => Error | undefined {
  let failed: Error | undefined;
  const settled = (error?: Error): void => {
    failed = error;
    tell();
  };
  done.then(() => settled(), settled);
  return () => failed;
}

function report(error: unknown): void {
  if (!isPassing(error)) reportError(error);
}
