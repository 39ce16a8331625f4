// The connection, kept up: finds a way to the server, comes back after a loss, moves on to a new link in time.

import { ASKED_MAX_MS, TIMER_MAX_MS, backoffMs } from "./backoff.js";
import { Breaker } from "./breaker.js";
import { now } from "./clock.js";
import { TidewireError, closed, uncertain } from "./errors.js";
import type { HelloResult, Push } from "./generated/frames.js";
import { Link, type Asked } from "./link.js";
import type { Endpoints, OpenTransport } from "./transports/transport.js";

export type ConnectionState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

/** The ways to the server by name, the best first. */
export type Ways = Readonly<Record<string, OpenTransport>>;

export interface ConnectionOptions {
  /** Where the server is; asked before each round of attempts. */
  readonly endpoints: () => Promise<Endpoints>;
  /** A token; `fresh` asks for a new one, since the last was refused, or ends. */
  readonly token: (fresh: boolean) => Promise<string>;
  /** Asked in each round of attempts, when there is a token. */
  readonly ways: () => Ways;
  readonly fetch: typeof fetch;
  /** The way that worked when somebody last looked, and its keeping. */
  readonly remembered?: { readonly get: () => string | null; readonly set: (way: string) => void };
  readonly random?: () => number;
  /** Is told of what `token` throws while the connection stands: no state tells of that. */
  readonly report: (error: unknown) => void;
  /** Called for every push, after `connected`. */
  readonly onPush: (push: Push) => void;
  readonly onState: (state: ConnectionState, error?: TidewireError) => void;
  /** Called after each hello: subscribe, send what waits. Also where a new link has followed the last without a loss. */
  readonly onConnected: (hello: HelloResult) => void;
}

// The first round of attempts; in each later one they get twice the time, for a server that starts from cold.
const CONNECT_TIMEOUT_MS = 4_000;
const CONNECT_TIMEOUT_MAX_MS = 30_000;
// A link that ends sooner is taken for one that could not be had: some proxies let connect, and cut.
const STEADY_MS = 10_000;
// On a lesser way: how often the better ones are tried. The server's age limit is approached up to this share of it.
const UPWARD_MS = 60_000;
const ROLLOVER_FROM = 0.8;
const ROLLOVER_TO = 0.95;
const ROLLOVER_AGAIN_MS = 60_000;
// How long answers are waited for on a link that another has followed.
const RETIRED_MS = 10_000;
const SESSION_UNKNOWN = 1011;
const RECONNECT_FROM = 3000; // up to the next: it may come back
const TOKEN_EXPIRED = 3500;
const TOO_LATE = 3503; // hello was; as when the page slept meanwhile, or the server had to start

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #breakers = new Map<string, Breaker>();
  #state: ConnectionState = "idle";
  #link: Link | undefined; // the one that is up
  #way: string | undefined; // its way, or that of the last
  #upAtMs = 0; // when it was adopted
  #trying: Link | undefined;
  #retired: Link | undefined;
  #round = 0; // counts rounds of attempts for good: what belongs to an earlier one is ignored
  #attempt = 0; // rounds that failed, or brought nothing that lasted
  #sessionId: string | undefined;
  #refused = false; // a token was not accepted, and with a fresh one nothing has been answered yet
  #refreshing = false;
  #wakeRefresh: (() => void) | undefined; // it waits for its next attempt
  #aheadMs = 0; // how far the server's clock is ahead of ours
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #upwardTimer: ReturnType<typeof setTimeout> | undefined;
  #rolloverTimer: ReturnType<typeof setTimeout> | undefined;
  #retiredTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The way that is in use, or was last. */
  get way(): string | undefined {
    return this.#way;
  }

  /** What time it is for the server, in Unix milliseconds. */
  now(): number {
    return Date.now() + this.#aheadMs;
  }

  /** Connect, if it is not connected or trying to. */
  open(): void {
    if (this.#state !== "idle" && this.#state !== "closed") return;
    this.#attempt = 0;
    this.#refused = false;
    this.#enter("connecting");
    if (this.state === "connecting") void this.#seek(); // unless a listener has closed it
  }

  /** The page or the network has woken: do not wait for the next attempt; see whether the link is alive. */
  wake(): void {
    this.#breakers.forEach((breaker) => breaker.forgive());
    if (this.#link) this.#link.probe();
    else if (this.#state === "reconnecting" && !this.#trying) void this.#seek();
  }

  /** Let go of the link, and do nothing until `wake`: the page is put aside. */
  suspend(): void {
    if (this.#state === "idle" || this.#state === "closed") return;
    this.#drop(uncertain(), () => this.#enter("reconnecting"));
  }

  /** End it; requests under way are refused. */
  close(error = closed()): void {
    if (this.#state === "closed") return;
    this.#sessionId = undefined;
    this.#drop(error, () => this.#enter("closed", error));
  }

  /** As {@link Link.ask}; refused at once where there is no link. */
  ask(requests: readonly Asked[], timeoutMs?: number): Promise<unknown>[] {
    // Before hello is answered the server would refuse it, or, in the handshake, it would be lost.
    if (this.#link) return this.#link.ask(requests, timeoutMs);
    const error = this.#state === "closed" ? closed() : uncertain("not connected");
    return requests.map(() => Promise.reject(error));
  }

  /** Try the ways, or some, one after another; the first that stands is taken. Without a link, again later. */
  async #seek(some?: string[]): Promise<void> {
    clearTimeout(this.#retryTimer);
    const round = ++this.#round;
    let endpoints: Endpoints;
    let token: string;
    try {
      [endpoints, token] = await Promise.all([this.#options.endpoints(), this.#options.token(this.#refused)]);
    } catch (error) {
      if (round === this.#round) this.#notFound(undefined, uncertain(String(error)));
      return;
    }
    if (round !== this.#round) return; // closed meanwhile, and perhaps opened again
    const ways = this.#options.ways(); // whose they are may be known by the token alone
    this.#try(some ?? this.#order(ways), ways, endpoints, token);
  }

  #try([way, ...others]: string[], ways: Ways, endpoints: Endpoints, token: string): void {
    if (way === undefined) return this.#notFound();
    const open = ways[way];
    if (!open) return this.#try(others, ways, endpoints, token); // it was one when the round was called for
    const { fetch, onPush } = this.#options;
    const breaker = this.#breaker(way);
    let upAtMs: number | undefined;
    let link: Link | undefined = undefined;
    link = this.#trying = new Link({
      open,
      endpoints,
      fetch,
      token,
      sessionId: this.#sessionId,
      connectTimeoutMs: Math.min(CONNECT_TIMEOUT_MAX_MS, CONNECT_TIMEOUT_MS * 2 ** this.#attempt),
      onUp: (hello) => {
        upAtMs = now();
        this.#adopt(link as Link, way, hello);
      },
      onPush: (push) => {
        if (push.type === "system" && this.#system(link as Link, push as unknown as Record<string, unknown>)) return;
        // What two links both bring is known by its place; what has none is taken from the newer one.
        if (link === this.#link || !(push.type === "event" && push.ephemeral)) onPush(push);
      },
      onUnauthenticated: (error) => {
        if (this.#link === undefined || this.#link === link) return this.#unauthenticated(error);
        this.#refused = true; // the next one says hello with a fresh token; the one that is up has its own
        if (link === this.#trying) this.#trying = undefined;
        link?.close(uncertain()); // what waits there was not done: it is asked again on the other
        this.#notFound();
      },
      onAnswer: () => {
        this.#refused = false;
      },
      onDown: (error) => {
        if (upAtMs === undefined) {
          this.#trying = undefined;
          if (error?.code === SESSION_UNKNOWN && this.#sessionId !== undefined) {
            this.#sessionId = undefined;
            return this.#try([way, ...others], ways, endpoints, token);
          }
          if (error && !error.retryable && !this.#link) return this.close(error);
          if (error) return this.#notFound(error.retryAfterMs, error);
          breaker.failed(now());
          return this.#try(others, ways, endpoints, token);
        }
        if (now() - upAtMs < STEADY_MS) breaker.failed(now());
        else breaker.succeeded();
        if (link === this.#link) this.#lost();
      },
    });
  }

  /** The link stands: it follows the one before, which is let go of when it has answered what it was asked. */
  #adopt(link: Link, way: string, hello: HelloResult): void {
    this.#retire();
    [this.#link, this.#trying, this.#way] = [link, undefined, way];
    this.#upAtMs = now();
    this.#sessionId = hello.session_id;
    this.#aheadMs = hello.server_time_ms - Date.now();
    this.#options.remembered?.set(way);
    this.#schedule(way, hello);
    this.#enter("connected");
    if (this.#link === link) this.#options.onConnected(hello); // unless a listener has closed it
  }

  #retire(): void {
    const old = this.#link;
    if (!old) return;
    clearTimeout(this.#retiredTimer);
    this.#retired?.close(uncertain());
    this.#retired = old;
    old.retire();
    const end = (): void => {
      old.close(uncertain());
      this.#retired = undefined;
    };
    this.#retiredTimer = setTimeout(end, old.idle ? 0 : RETIRED_MS);
  }

  /** When the better ways are tried, and when a new link is to follow this one. */
  #schedule(way: string, { connection_max_age_s: ageS }: HelloResult): void {
    clearTimeout(this.#upwardTimer);
    clearTimeout(this.#rolloverTimer);
    const names = Object.keys(this.#options.ways());
    const better = names.slice(0, names.indexOf(way));
    const upward = (): void => {
      this.#upwardTimer = setTimeout(upward, UPWARD_MS);
      const open = better.filter((name) => !this.#breaker(name).isOpen(now()));
      if (open.length > 0 && !this.#trying) void this.#seek(open);
    };
    if (better.length > 0) this.#upwardTimer = setTimeout(upward, UPWARD_MS);
    if (!(ageS > 0)) return;
    const rollover = (): void => {
      this.#rolloverTimer = setTimeout(rollover, ROLLOVER_AGAIN_MS);
      if (!this.#trying) void this.#seek([way]);
    };
    const share = ROLLOVER_FROM + (this.#options.random ?? Math.random)() * (ROLLOVER_TO - ROLLOVER_FROM);
    this.#rolloverTimer = setTimeout(rollover, Math.min(ageS * 1000 * share, TIMER_MAX_MS));
  }

  /** The ways to be tried: that which worked last, then the others from the best down, but for those that fail. */
  #order(ways: Ways): string[] {
    const first = this.#way ?? this.#options.remembered?.get();
    const order = Object.keys(ways).sort((a, b) => Number(b === first) - Number(a === first));
    const left = order.filter((name) => !this.#breaker(name).isOpen(now()));
    return left.length > 0 ? left : order;
  }

  #breaker(way: string): Breaker {
    const breaker = this.#breakers.get(way) ?? new Breaker();
    this.#breakers.set(way, breaker);
    return breaker;
  }

  #lost(): void {
    this.#drop(uncertain(), () => this.#later());
  }

  /** No way leads there. Where there is a link, it goes on with that. */
  #notFound(waitMs?: number, error?: TidewireError): void {
    if (!this.#link) this.#later(waitMs, error);
    else if (this.#link.ended) this.#lost();
  }

  /** Try again, after what the server asks for: but who is sent away each time comes more and more seldom all the same. */
  #later(atLeastMs = 0, error?: TidewireError): void {
    clearTimeout(this.#retryTimer);
    const waitMs = Math.max(Math.min(atLeastMs, ASKED_MAX_MS), backoffMs(this.#attempt++, this.#options.random));
    this.#retryTimer = setTimeout(() => void this.#seek(), waitMs);
    this.#enter("reconnecting", error);
  }

  /** The token was refused, or has ended, and with it the subscriptions: one more try, with a fresh one. */
  #unauthenticated(error: TidewireError): void {
    if (this.#refused) return this.close(error);
    this.#refused = true;
    this.#lost();
  }

  /**
   * The token ends then: replace it on the connection that stands. What fails is tried again as long as there is time;
   * after it the server ends the connection, and who has no good token is told by the next one.
   */
  async #refresh(endsAtMs: number): Promise<void> {
    if (this.#refreshing) return;
    this.#refreshing = true;
    let refused: string | undefined;
    let attempt = 0;
    do {
      let token: string | undefined;
      try {
        token = await this.#options.token(true);
        if (token !== refused) {
          await this.#link?.refresh(token);
          break;
        }
      } catch (error) {
        if (!(error instanceof TidewireError)) this.#options.report(error);
        else if (token && !error.retryable) refused = token;
      }
      if (!this.#link) break;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, backoffMs(attempt++, this.#options.random));
        this.#wakeRefresh = () => (clearTimeout(timer), resolve());
      });
    } while (this.#link && this.now() < endsAtMs);
    this.#refreshing = false;
  }

  /** Let go of all links. What waits is refused when the loss was told, since who hears of it may close for good. */
  #drop(error: TidewireError, tell: () => void): void {
    this.#round++;
    if (this.#link && now() - this.#upAtMs >= STEADY_MS) this.#attempt = 0;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#upwardTimer);
    clearTimeout(this.#rolloverTimer);
    clearTimeout(this.#retiredTimer);
    this.#wakeRefresh?.(); // and finds no link
    const links = [this.#trying, this.#retired, this.#link];
    this.#trying = this.#retired = this.#link = undefined;
    tell();
    const forGood = this.#state === "closed";
    const reason = forGood && error.retryable ? closed() : error;
    links.forEach((link) => link?.close(reason, forGood));
  }

  /** Returns whether it was the connection's own affair. */
  #system(link: Link, frame: Record<string, unknown>): boolean {
    const { event, code: said, after_ms: afterMs } = frame;
    if (event === "superseded") {
      // Its successor may be told later that it is one.
      if (link !== this.#link || this.#trying) link.close(uncertain());
      else {
        // Somebody else reads this session, as a page does that was copied: it is theirs.
        this.#sessionId = undefined;
        this.#lost();
      }
    } else if (event === "token_expiring") void this.#refresh(Number(frame["expires_at_ms"]));
    else if (event !== "disconnect") return false;
    else if (this.#link && link !== this.#link) {
      // The one that is up is told for itself.
      if (link === this.#trying) this.#trying = undefined;
      link.close(uncertain());
    } else {
      const code = Number(said);
      const name = String(frame["name"] ?? "disconnected");
      const error = new TidewireError({ code, name, message: `the server ended it: ${name}`, retryable: false });
      if (code === TOKEN_EXPIRED) this.#unauthenticated(error);
      else if ((code >= RECONNECT_FROM && code < TOKEN_EXPIRED) || (code === TOO_LATE && !this.#link)) {
        this.#drop(uncertain(), () => this.#later(Number(afterMs) || 0));
      } else this.close(error);
    }
    return true;
  }

  #enter(state: ConnectionState, error?: TidewireError): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onState(state, error);
  }
}
