// A connection over fake transports, for the tests of what it does.

import { vi } from "vitest";
import { Connection, type ConnectionState } from "../src/connection.js";
import type { TidewireError } from "../src/errors.js";
import type { Push } from "../src/generated/frames.js";
import { ENDPOINTS, HELLO, fakeTransports, noFetch, settled } from "./fakes.js";

export const RETRY_MS = 250; // the first wait, with random() = 0

export function setUp({ token = async (_fresh: boolean): Promise<string> => "good", random = (): number => 0 } = {}) {
  const transports = fakeTransports();
  const states: ConnectionState[] = [];
  const errors: (TidewireError | undefined)[] = [];
  const pushes: Push[] = [];
  const report = vi.fn();
  const tokens = vi.fn(token);
  const onConnected = vi.fn();
  const onState = vi.fn((state: ConnectionState, error?: TidewireError) => {
    states.push(state);
    errors.push(error);
  });
  const connection = new Connection({
    endpoints: async () => ENDPOINTS,
    token: tokens,
    ways: () => ({ websocket: transports.open }),
    fetch: noFetch,
    random,
    report,
    onPush: (push) => pushes.push(push),
    onState,
    onConnected,
  });
  return { connection, transports, states, errors, pushes, report, tokens, onConnected, onState };
}

export type SetUp = ReturnType<typeof setUp>;

/** Open, and answer hello. */
export async function connected(options: Parameters<typeof setUp>[0] = {}): Promise<SetUp> {
  const set = setUp(options);
  set.connection.open();
  await greet(set);
  return set;
}

export async function greet({ transports }: SetUp): Promise<void> {
  await settled();
  transports.last().open();
  transports.last().reply(transports.last().request("hello"), HELLO);
  await settled();
}

export function failure(promise: Promise<unknown> | undefined): Promise<TidewireError> {
  return (promise as Promise<unknown>).then(
    () => Promise.reject(new Error("it was answered")),
    (error: TidewireError) => error,
  );
}
