/**
 * What users import: the client with everything.
 * @module tidewire
 */

export type { Event, Events, PublishOptions } from "./channel.js";
export type { StateListener } from "./client.js";
export { CommandError, type CommandContext, type CommandHandler, type CommandOptions } from "./commands.js";
export type { ConnectionState } from "./connection.js";
export type { Conflict, Document, MergePatch, WriteOptions, WriteResult } from "./documents.js";
export { TidewireError } from "./errors.js";
export type { HistoryResult, Member, Position, Publication, PublishResult, Receipt } from "./generated/frames.js";
export type { Presence, Said } from "./presence.js";
export { LiveChannel as Channel, Tidewire, type TidewireOptions } from "./tidewire.js";
export type { Way } from "./ways.js";
