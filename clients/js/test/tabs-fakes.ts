// A browser with pages that share locks and channels, and that may freeze or die; and what a hub is to be tried with.

import type { ConnectionState } from "../src/connection.js";
import type { TidewireError } from "../src/errors.js";
import type { HelloResult, Push } from "../src/generated/frames.js";
import type { Asked } from "../src/link.js";
import type { MakeConnection, SharedConnection } from "../src/tabs/hub.js";
import type { Locks, Port } from "../src/tabs/port.js";
import type { Browser } from "../src/tabs/tabs.js";
import { HELLO, type Frame } from "./fakes.js";

type Listener = ((event: MessageEvent) => void) | null;

interface LockRequest {
  readonly name: string;
  readonly page: Page;
  readonly granted: () => Promise<void> | undefined;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** What the pages of one browser have in common. */
export class FakeBrowser {
  readonly held = new Map<string, LockRequest>();
  readonly channels = new Set<FakeChannel>();
  queue: LockRequest[] = [];
  /** Runs the script of a SharedWorker: gets its end of each pipe. Without it there are no SharedWorkers. */
  onWorker: ((port: Port) => void) | undefined;
  workerFails = false;

  page(): Page {
    return new Page(this);
  }

  grant(): void {
    for (const request of [...this.queue]) {
      const { name } = request;
      if (this.held.has(name) || !this.queue.includes(request)) continue;
      this.queue = this.queue.filter((other) => other !== request);
      this.hold(request);
    }
  }

  hold(request: LockRequest): void {
    this.held.set(request.name, request);
    queueMicrotask(() => {
      if (request.page.dead) return;
      const end = (settle: () => void): void => {
        if (this.held.get(request.name) === request) this.held.delete(request.name);
        settle();
        this.grant();
      };
      let result: Promise<void> | undefined;
      try {
        result = request.granted();
      } catch (error) {
        return end(() => request.reject(error));
      }
      void Promise.resolve(result).then((value) => end(() => request.resolve(value)));
    });
  }
}

export class Page {
  dead = false;
  readonly #browser: FakeBrowser;
  #frozen: (() => void)[] | undefined;

  constructor(browser: FakeBrowser) {
    this.#browser = browser;
  }

  get locks(): Locks {
    const [page, browser] = [this as Page, this.#browser];
    return {
      request: (name, { signal, steal }, granted) =>
        new Promise((resolve, reject) => {
          if (page.dead) return;
          if (signal?.aborted) return reject(signal.reason);
          const abort = (): void => {
            if (!browser.queue.includes(request)) return;
            browser.queue = browser.queue.filter((other) => other !== request);
            reject(signal?.reason);
          };
          const request: LockRequest = {
            name,
            page,
            granted: () => {
              signal?.removeEventListener("abort", abort);
              return granted();
            },
            resolve,
            reject,
          };
          if (steal) {
            const former = browser.held.get(name);
            browser.hold(request);
            if (former) former.page.run(() => former.reject(new DOMException("stolen", "AbortError")));
            return;
          }
          signal?.addEventListener("abort", abort);
          browser.queue.push(request);
          browser.grant();
        }),
    };
  }

  get browser(): Browser {
    const [page, browser] = [this as Page, this.#browser];
    return {
      navigator: { locks: this.locks },
      BroadcastChannel: class extends FakeChannel {
        constructor(name: string) {
          super(browser, page, name);
        }
      },
      ...(browser.onWorker && {
        SharedWorker: class {
          readonly port: Port;
          onerror: (() => void) | null = null;
          constructor(_script: string | URL, { name }: { name: string }) {
            const pipe = `${name} ${crypto.randomUUID()}`;
            this.port = new FakeChannel(browser, page, pipe);
            if (browser.workerFails) queueMicrotask(() => this.onerror?.());
            else browser.onWorker?.(new FakeChannel(browser, browser.page(), pipe));
          }
        },
      }),
    };
  }

  /** Something happens in the page: at once, or, if it is frozen, when it thaws. */
  run(happens: () => void): void {
    if (this.dead) return;
    if (this.#frozen) this.#frozen.push(happens);
    else happens();
  }

  freeze(): void {
    this.#frozen = [];
  }

  thaw(): void {
    const waiting = this.#frozen ?? [];
    this.#frozen = undefined;
    waiting.forEach((happens) => this.run(happens));
  }

  /** Without a word. */
  die(): void {
    this.dead = true;
    const browser = this.#browser;
    for (const channel of browser.channels) if (channel.page === this) browser.channels.delete(channel);
    browser.queue = browser.queue.filter(({ page }) => page !== this);
    for (const [name, { page }] of browser.held) if (page === this) browser.held.delete(name);
    browser.grant();
  }
}

/** A BroadcastChannel; two of a name alone are as good as a pair of MessagePorts. */
export class FakeChannel implements Port {
  onmessage: Listener = null;
  readonly page: Page;
  readonly name: string;
  readonly #browser: FakeBrowser;

  constructor(browser: FakeBrowser, page: Page, name: string) {
    this.#browser = browser;
    this.page = page;
    this.name = name;
    if (!page.dead) browser.channels.add(this);
  }

  postMessage(message: unknown): void {
    if (this.page.dead) return;
    if (!this.#browser.channels.has(this)) throw new DOMException("closed", "InvalidStateError");
    const data = structuredClone(message);
    for (const channel of this.#browser.channels) {
      if (channel === this || channel.name !== this.name) continue;
      queueMicrotask(() =>
        channel.page.run(() => {
          if (this.#browser.channels.has(channel)) channel.onmessage?.({ data } as MessageEvent);
        }),
      );
    }
  }

  close(): void {
    this.#browser.channels.delete(this);
  }
}

/** The one connection, which the test answers by hand. */
export class FakeConnection implements SharedConnection {
  readonly asked: {
    request: Frame;
    timeoutMs: number | undefined;
    answer: (result: unknown) => void;
    refuse: (error: TidewireError) => void;
  }[] = [];
  readonly batches: Frame[][] = [];
  state: ConnectionState = "idle";
  opened = 0;
  woken = 0;
  callbacks!: Parameters<MakeConnection>[0];

  readonly make: MakeConnection = (callbacks) => {
    this.callbacks = callbacks;
    return this;
  };

  open(): void {
    if (this.state === "idle" || this.state === "closed") {
      this.opened++;
      this.enter("connecting");
    }
  }

  wake(): void {
    this.woken++;
  }

  close(error?: TidewireError): void {
    if (this.state !== "closed") this.enter("closed", error);
  }

  ask(requests: readonly Asked[], timeoutMs?: number): Promise<unknown>[] {
    this.batches.push(structuredClone(requests) as unknown as Frame[]);
    return requests.map(
      (request) =>
        new Promise((answer, refuse) => {
          this.asked.push({ request: request as unknown as Frame, timeoutMs, answer, refuse });
        }),
    );
  }

  // the test's side

  connect(hello: object = {}): void {
    this.enter("connected");
    this.callbacks.onConnected({ ...HELLO, ...hello } as unknown as HelloResult);
  }

  enter(state: ConnectionState, error?: TidewireError): void {
    this.state = state;
    this.callbacks.onState(state, error);
  }

  push(push: object): void {
    this.callbacks.onPush(push as Push);
  }

  /** What was asked last and is not answered. */
  get last(): (typeof this.asked)[number] {
    const found = this.asked.at(-1);
    if (!found) throw new Error("nothing was asked");
    return found;
  }
}
