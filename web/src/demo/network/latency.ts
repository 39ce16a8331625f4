// How long a publication takes to the server and back: in a channel of the page's own, where it bothers nobody.

import type { Tidewire } from "tidewire";
import { channelOf } from "../room.js";

export interface LatencyState {
  /** The latest round trips in milliseconds, the last one last. */
  readonly samples: readonly number[];
}

const EVERY_MS = 4_000;
const LOST_MS = 8_000;
const SAMPLES = 30;

export class Latency {
  readonly #client: Tidewire;
  readonly #listeners = new Set<() => void>();
  #state: LatencyState = { samples: [] };
  #aheadMs = 0;
  #bestMs = Infinity; // the round trip by which that was found: the shorter, the nearer
  #sent: { readonly id: string; readonly atMs: number } | undefined;

  constructor(client: Tidewire) {
    this.#client = client;
  }

  /** How far the server's clock is ahead of this computer's, near enough. */
  get aheadMs(): number {
    return this.#aheadMs;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly getSnapshot = (): LatencyState => this.#state;

  /** Measure every few seconds, and with each new connection. Returns a function that ends it. */
  start(): () => void {
    const channel = this.#client.channel(channelOf(`latency.${crypto.randomUUID()}`));
    const ping = (): void => {
      if (this.#client.state !== "connected" || document.hidden) return;
      if (this.#sent && performance.now() - this.#sent.atMs < LOST_MS) return;
      const id = crypto.randomUUID();
      this.#sent = { id, atMs: performance.now() };
      channel.publish("ping", { id }, { ephemeral: true }).catch(() => (this.#sent = undefined)); // no sample this time
    };
    const stops = [
      channel.on("ping", ({ data, published_at_ms }) => this.#came(data, published_at_ms)),
      this.#client.onState((state) => {
        this.#sent = undefined;
        // What others wait for goes first.
        if (state === "connected") setTimeout(ping, 300);
      }),
    ];
    channel.subscribe().then(ping, () => undefined); // closed meanwhile: nothing is measured
    const timer = setInterval(ping, EVERY_MS);
    return () => {
      clearInterval(timer);
      stops.forEach((stop) => stop());
      channel.unsubscribe().catch(() => undefined); // the server forgets it with the connection
    };
  }

  #came(data: unknown, publishedAtMs: number): void {
    const sent = this.#sent;
    if (!sent || (data as { id?: unknown } | null)?.id !== sent.id) return;
    this.#sent = undefined;
    const tookMs = performance.now() - sent.atMs;
    if (tookMs <= this.#bestMs) this.#aheadMs = publishedAtMs - (Date.now() - tookMs / 2);
    this.#bestMs = Math.min(this.#bestMs, tookMs);
    this.#state = { samples: [...this.#state.samples, tookMs].slice(-SAMPLES) };
    this.#listeners.forEach((tell) => tell());
  }
}
