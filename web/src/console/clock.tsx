// The time, once a second, for what says how long ago something was.

import { useSyncExternalStore } from "react";
import { age, timeOfDay } from "./format.js";

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => listeners.forEach((tell) => tell()), 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** How long ago a time was, in Unix milliseconds. */
export function Age({ of }: { readonly of: number }) {
  const seconds = useSyncExternalStore(subscribe, () => Math.floor((Date.now() - of) / 1000));
  return (
    <time dateTime={new Date(of).toISOString()} title={timeOfDay(of)}>
      {age(seconds * 1000)}
    </time>
  );
}
