// What is asked for again and again while the page is to be seen; a call that fails leaves the last answer.

import { useCallback, useEffect, useRef, useState } from "react";
import { Refusal } from "./api.js";

/** After a failure. */
const AGAIN_MS = 10_000;

export interface Polled<T> {
  /** The last answer. */
  readonly value: T | undefined;
  /** It is the answer to what was asked before, such as another span. */
  readonly stale: boolean;
  /** When it came, in Unix milliseconds. */
  readonly at: number | undefined;
  /** Why there is no newer one. */
  readonly failure: string | undefined;
  readonly refresh: () => void;
}

type Call<T> = (signal: AbortSignal) => Promise<T>;

interface Answer<T> {
  readonly call?: Call<T>;
  readonly value?: T;
  readonly at?: number;
  readonly failure?: string | undefined;
}

/** @param call the same until something else is to be asked */
export function usePolled<T>(call: Call<T>, everyMs: number): Polled<T> {
  const [answer, setAnswer] = useState<Answer<T>>({});
  const again = useRef<() => void>(undefined);
  useEffect(() => {
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let asking = false;
    let wanted = false; // once more, as soon as this one is answered
    const ask = async (): Promise<void> => {
      clearTimeout(timer);
      timer = undefined;
      wanted = asking;
      if (document.hidden || asking) return;
      asking = true;
      let waitMs = everyMs;
      try {
        const value = await call(over.signal);
        if (!over.signal.aborted) setAnswer({ call, value, at: Date.now() });
      } catch (error) {
        if (over.signal.aborted) return;
        if (!(error instanceof Refusal)) throw error;
        setAnswer((last) => ({ ...last, failure: error.message }));
        waitMs = Math.min(everyMs, AGAIN_MS);
      } finally {
        asking = false;
      }
      if (!over.signal.aborted) timer = setTimeout(() => void ask(), wanted ? 0 : waitMs);
    };
    const shown = (): void => {
      if (timer === undefined) void ask();
    };
    again.current = () => void ask();
    document.addEventListener("visibilitychange", shown);
    void ask();
    return () => {
      over.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [call, everyMs]);
  const refresh = useCallback(() => again.current?.(), []);
  const { value, at, failure } = answer;
  return { value, at, failure, stale: value !== undefined && answer.call !== call, refresh };
}
