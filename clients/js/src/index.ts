// What users import.

import type { Channel, Events } from "./channel.js";
import { Client } from "./client.js";

export { Channel, type Event, type Events, type PublishOptions } from "./channel.js";
export type { StateListener, TidewireOptions, Way } from "./client.js";
export type { ConnectionState } from "./connection.js";
export { TidewireError } from "./errors.js";
export type { HistoryResult, Position, Publication, PublishResult, Receipt } from "./generated/frames.js";

export class Tidewire extends Client {
  override channel<E extends Events = Events>(name: string): Channel<E> {
    return super.channel(name) as Channel<E>;
  }
}
