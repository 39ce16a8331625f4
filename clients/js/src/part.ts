// What a channel may have beside its events: documents, presence. Each rides on the channel's subscription.

import type { TidewireError } from "./errors.js";
import type { Push, Subscribe, SubscribeResult } from "./generated/frames.js";

export interface ChannelPart {
  /** Awaited before the channel is subscribed to. */
  prepare?(): Promise<void>;
  /** `subscribe` is about to be sent: return what to ask with it. What is pushed from now on may be newer than its answer. */
  subscribing(): Partial<Pick<Subscribe, "presence" | "state">>;
  /** `subscribe` has been answered. */
  subscribed(result: SubscribeResult): void;
  /** Something of this channel was pushed. */
  push(push: Push): void;
  /** The page or the network has woken, or it is time for the heartbeat: the loss of a last push shows in nothing else. */
  check(): void;
  /** The connection has gone: nothing can be asked until `subscribed`. */
  disconnected(): void;
  /** The channel was left, or the client was closed: what waits is refused. It may be subscribed to again later. */
  closed(error: TidewireError): void;
}
