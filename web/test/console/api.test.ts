// What comes of a call whose answer is read by halves.

import { afterEach, expect, test, vi } from "vitest";
import { ask, Refusal } from "../../src/console/api.js";

afterEach(() => vi.unstubAllGlobals());

/** A server whose body ends, or doesn't, as the test has it. */
function answering(status: number, start: (body: ReadableStreamDefaultController<Uint8Array>) => void): void {
  vi.stubGlobal("fetch", (_path: string, { signal }: RequestInit) => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        signal?.addEventListener("abort", () => controller.error(signal.reason));
        start(controller);
      },
    });
    return Promise.resolve(new Response(body, { status }));
  });
}

test("a call that is given up while its refusal is read is given up, not refused", async () => {
  const over = new AbortController();
  answering(401, () => undefined);
  const asked = ask("/v1/metrics", { signal: over.signal });
  await Promise.resolve();
  over.abort();
  await expect(asked).rejects.toBe(over.signal.reason);
});

test("an answer that breaks off never came", async () => {
  answering(401, (body) => body.error(new TypeError("terminated")));
  await expect(ask("/v1/metrics", {})).rejects.toEqual(new Refusal(0, "the server can’t be reached"));
});

test("what is no JSON is told by its status", async () => {
  answering(502, (body) => {
    body.enqueue(new TextEncoder().encode("<html>"));
    body.close();
  });
  await expect(ask("/v1/metrics", {})).rejects.toMatchObject({ status: 502, message: "the server answered 502" });
});
