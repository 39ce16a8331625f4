// What users import.

export { Channel, type Listener, type PublishOptions } from "./channel.js";
export { Tidewire, type StateListener, type TidewireOptions } from "./client.js";
export type { ConnectionState } from "./connection.js";
export { TidewireError } from "./errors.js";
export type { Event, HistoryResult, Position, Publication, PublishResult } from "./generated/frames.js";
