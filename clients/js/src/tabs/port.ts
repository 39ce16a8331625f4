// What goes between a tab and the hub, and over what.

/** One end of a pipe: a `MessagePort`, or a `BroadcastChannel` whose name only the two know. */
export interface Port {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

/** To the hub: frames as text; the token that it asked for, if there is one; that the page or the network has woken. */
export type ToHub = string | { readonly kind: "token"; readonly token: unknown } | { readonly kind: "wake" };

/** To a tab: frames as text; the hub has heard of it; what it has is over, come again; give me a token. */
export type ToTab =
  | string
  | { readonly kind: "open"; readonly hub: string }
  | { readonly kind: "close" }
  | { readonly kind: "token"; readonly fresh: boolean };

/** Web Locks, as far as they are used. */
export interface Locks {
  request(
    name: string,
    options: { readonly signal?: AbortSignal; readonly steal?: boolean },
    granted: () => Promise<void> | undefined,
  ): Promise<unknown>;
}
