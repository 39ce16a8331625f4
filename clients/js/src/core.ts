// What users import who count bytes: connection, channels, every transport; no documents, presence, commands or tabs.

export { Channel, type Event, type Events, type PublishOptions } from "./channel.js";
export { Client as Tidewire, type ClientOptions as TidewireOptions, type StateListener } from "./client.js";
export type { ConnectionState } from "./connection.js";
export { TidewireError } from "./errors.js";
export type { HistoryResult, Position, Publication, PublishResult, Receipt } from "./generated/frames.js";
export type { Way } from "./ways.js";
