// The four ways over HTTP: a session that is posted to, and read as SSE, as lines of JSON, or by polling.

import { now } from "../clock.js";
import { TidewireError } from "../errors.js";
import type { Hello } from "../generated/frames.js";
import { HttpSession } from "./session.js";
import type { OpenTransport } from "./transport.js";

export type HttpWay = "sse" | "stream" | "long_poll" | "short_poll";

// The server says something every 15 s, and answers a poll within 25.
const SILENT_MS = 40_000;
const STREAM_AGAIN_MS = 1_000;
// What a poll without news is followed by, twice as long each time; and when it was held as long as asked.
const POLL_MIN_MS = 200;
const POLL_MAX_MS = 2_000;
const POLL_WAIT_S = 25;
const FIRST_WAIT_S = 1; // whether it comes back at all has to show before hello is answered

/** What a read may bring: where it ended, and frames as text. */
interface Read {
  readonly cursor: unknown;
  readonly frames?: string;
}

/** Returns a transport that reads in this way. */
export function httpTransport(way: HttpWay, fetch_: typeof fetch): OpenTransport {
  return ({ httpUrl, streamUrl }, handlers) => {
    const reading = new AbortController();
    let ended = false;
    let session: HttpSession | undefined;
    let greeted: Promise<HttpSession> | undefined;
    let cursor: string | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined; // of what it waits for: an answer, or its next question
    const stop = (): void => {
      clearTimeout(timer);
      reading.abort();
    };
    const end = (): void => {
      if (ended) return;
      ended = true;
      stop();
      handlers.close();
    };
    const wait = (ms: number, then: () => void): void => {
      clearTimeout(timer);
      if (!reading.signal.aborted) timer = setTimeout(then, ms);
    };
    /** Resolves after so long; never, if it has ended by then. */
    const pause = (ms: number): Promise<void> => new Promise((resolve) => wait(ms, resolve));
    /** Tell what has come, unless it has ended meanwhile. */
    const say = (text: string): void => {
      if (!ended && text !== "[]") handlers.message(text);
    };
    const take = (read: Read): void => {
      if (typeof read.cursor === "string") cursor = read.cursor;
      if (read.frames) say(read.frames);
    };

    /** Say hello. It is answered when the reading side stands: a proxy that holds streams back has to show by then. */
    const begin = async (text: string): Promise<void> => {
      const { id, type: _, ...hello } = JSON.parse(text) as Hello;
      try {
        const opened = await (greeted = HttpSession.open(httpUrl, hello, fetch_));
        session = opened;
        const stands = (): void => say(JSON.stringify({ type: "reply", id, result: opened.hello }));
        await (way === "sse" || way === "stream" ? stream : poll)(opened, stands);
        if (!reading.signal.aborted) end();
      } catch (error) {
        if (reading.signal.aborted) return; // it was ended, or is to read no more
        if (session || !(error instanceof TidewireError)) return end();
        say(JSON.stringify({ type: "reply", id, error }));
      }
    };

    const read = (path: string, accept: string): Promise<Response> => {
      wait(SILENT_MS, end);
      const at = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      return (session as HttpSession).get(path + at, accept, reading.signal);
    };

    const stream = async ({ id }: HttpSession, stands: () => void): Promise<void> => {
      const accept = way === "sse" ? "text/event-stream" : "application/x-ndjson";
      const parse = way === "sse" ? sseParser(take) : (line: string) => line && take(lineRead(line));
      // It ends after some minutes, as every stream does, and is asked for again: once a second at most.
      while (!reading.signal.aborted) {
        const began = now();
        let silent = true;
        const response = await read(`${streamUrl}/v1/stream/sessions/${id}?`, accept);
        const type = response.headers.get("Content-Type") ?? "";
        if (!response.ok || !response.body || !type.startsWith(accept)) return; // no stream was given
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = "";
        for (;;) {
          const { done, value = "" } = await reader.read();
          if (done) break;
          wait(SILENT_MS, end);
          silent = false;
          stands();
          stands = () => undefined;
          const lines = (rest + value).split("\n");
          rest = lines.pop() as string;
          lines.forEach(parse);
        }
        if (silent) return;
        await pause(began + STREAM_AGAIN_MS - now());
      }
    };

    const poll = async ({ frames }: HttpSession, stands: () => void): Promise<void> => {
      let pauseMs = POLL_MIN_MS;
      let waitS = way === "long_poll" ? FIRST_WAIT_S : 0;
      while (!reading.signal.aborted) {
        const began = now();
        const origin = waitS ? streamUrl : httpUrl; // to be held costs less there
        const response = await read(`${origin}${frames}?wait_s=${waitS}`, "application/json");
        if (!response.ok) return;
        const got = lineRead(await response.text());
        stands();
        stands = () => undefined;
        take(got);
        if (waitS === FIRST_WAIT_S) {
          waitS = POLL_WAIT_S;
          continue;
        }
        // A long poll comes back with nothing at once where the server can't hold it.
        const fruitful = got.frames || now() - began > 1_000;
        pauseMs = fruitful ? POLL_MIN_MS : Math.min(POLL_MAX_MS, pauseMs * 2);
        if (waitS === 0 || !fruitful) await pause(pauseMs);
      }
    };

    queueMicrotask(() => ended || handlers.open());
    return {
      send: (text) => {
        if (!greeted) void begin(text);
        else if (session) void session.post(text).then(say);
      },
      retire: stop,
      close: (forGood) => {
        if (forGood) void greeted?.then((opened) => opened.end()).catch(() => undefined);
        end();
      },
    };
  };
}

/** `{"cursor": …, "frames": […]}`: a line of a stream, or the answer to a poll. */
function lineRead(text: string): Read {
  const { cursor, frames } = JSON.parse(text) as { cursor: unknown; frames: unknown[] };
  return frames.length > 0 ? { cursor, frames: JSON.stringify(frames) } : { cursor };
}

/** Returns what takes a stream of server-sent events line by line. Ours have one line of data each. */
function sseParser(take: (read: Read) => void): (line: string) => void {
  let cursor: string | undefined;
  let data = "";
  return (line) => {
    if (line.startsWith("id:")) cursor = line.slice(3).trim();
    else if (line.startsWith("data:")) data = line.slice(5).trim();
    else if (line.trim() === "" && data) {
      take({ cursor, frames: data });
      data = "";
    }
  };
}
