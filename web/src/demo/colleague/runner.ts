// Plays the script: what comes next, and when. It knows neither a browser nor a connection.

import type { Point } from "../board/pointers.js";
import type { Beat, Script } from "./script.js";

/** What the colleague can do. */
export interface Stage {
  readonly say: (text: string) => void;
  readonly type: (active: boolean) => void;
  readonly point: (at: Point) => void;
  /** Returns where on the board that has happened; `undefined`: there was nothing to do it to. */
  readonly board: (beat: Extract<Beat, { do: "add" | "move" | "rename" }>) => Point | undefined;
  readonly rest: (resting: boolean) => void;
}

export interface Clock {
  /** In milliseconds. */
  readonly now: () => number;
  /** Returns a function that takes it back. */
  readonly after: (ms: number, then: () => void) => () => void;
}

const TYPING_MS = { least: 900, letter: 28, most: 2_800 };
const ANSWER_MS = 700;
const AWAY_MS = 1_200; // between two words to somebody who is not there
const TOUR_MS = { least: 2_500, more: 2_000 };
const IDLE_MS = { least: 6_000, more: 6_000 };
export const REST_AFTER_MS = 240_000;
const GLIDE = { steps: 14, everyMs: 90 };

export class Runner {
  readonly #script: Script;
  readonly #stage: Stage;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #answers: string[] = [];
  #tour = 0; // counts what was done
  #idle = 0;
  #otherwise = 0;
  #awayLines = 0;
  #away = false;
  #seenMs: number;
  #resting = false;
  #at: Point = { x: 0.5, y: 0.5 };
  #cancel: () => void = () => undefined;
  #busy = false; // something has begun that is not to be broken off

  constructor(script: Script, stage: Stage, clock: Clock, random: () => number) {
    this.#script = script;
    this.#stage = stage;
    this.#clock = clock;
    this.#random = random;
    this.#seenMs = clock.now();
  }

  start(): void {
    this.#next(ANSWER_MS);
  }

  /** It stops where it is. */
  stop(): void {
    this.#cancel();
    this.#stage.type(false);
  }

  /** The user has said this. */
  heard(text: string): void {
    const { answers, otherwise } = this.#script;
    const fitting = answers.find(({ to }) => to.test(text))?.say;
    const answer = fitting ?? otherwise[this.#otherwise++ % otherwise.length];
    if (answer) this.#answers.push(answer);
    this.#hurry();
    this.seen();
  }

  /** The user has done something. */
  seen(): void {
    this.#seenMs = this.#clock.now();
    if (!this.#resting) return;
    this.#resting = false;
    this.#stage.rest(false);
    this.#next(ANSWER_MS);
  }

  /** The user has lost the connection, or is back. */
  away(away: boolean): void {
    if (away === this.#away) return;
    this.#away = away;
    if (away) this.#awayLines = 0;
    else if (this.#awayLines > 0) this.#answers.push(this.#script.back);
    this.#hurry();
  }

  /** It is in another room now. */
  followed(): void {
    this.#answers.unshift(this.#script.followed);
    this.#hurry();
  }

  #hurry(): void {
    if (!this.#busy && !this.#resting) this.#next(ANSWER_MS);
  }

  /** Go on after so long; sooner if there is something to be answered. */
  #next(ms: number): void {
    this.#busy = false;
    this.#cancel();
    this.#cancel = this.#clock.after(this.#answers.length > 0 ? ANSWER_MS : ms, () => this.#act());
  }

  #act(): void {
    const { tour, idle, away } = this.#script;
    const answer = this.#answers.shift();
    if (answer !== undefined) return this.#say(answer, TOUR_MS.least);
    if (this.#away) {
      const line = away[this.#awayLines];
      if (line === undefined) return this.#next(AWAY_MS);
      this.#awayLines++;
      return this.#say(line, AWAY_MS);
    }
    if (this.#clock.now() - this.#seenMs >= REST_AFTER_MS) {
      this.#resting = true;
      return this.#stage.rest(true);
    }
    const beat = tour[this.#tour++] ?? idle[this.#idle++ % idle.length];
    if (beat) this.#do(beat, this.#tour < tour.length ? TOUR_MS : IDLE_MS);
  }

  #do(beat: Beat, pause: { readonly least: number; readonly more: number }): void {
    const pauseMs = pause.least + pause.more * this.#random();
    if (beat.do === "say") return this.#say(beat.text, pauseMs);
    if (beat.do === "wander") return this.#glide({ x: this.#somewhere(), y: this.#somewhere() }, pauseMs);
    const at = this.#stage.board(beat);
    if (at) this.#glide(at, pauseMs);
    else this.#next(ANSWER_MS);
  }

  #say(text: string, pauseMs: number): void {
    const typingMs = Math.min(TYPING_MS.most, TYPING_MS.least + text.length * TYPING_MS.letter);
    this.#busy = true;
    this.#stage.type(true);
    this.#cancel = this.#clock.after(typingMs, () => {
      this.#stage.type(false);
      this.#stage.say(text);
      this.#next(pauseMs);
    });
  }

  #somewhere(): number {
    return 0.1 + 0.8 * this.#random();
  }

  /** Move the pointer as a hand does: slow, fast, slow. */
  #glide(to: Point, pauseMs: number, step = 1, from = this.#at): void {
    const share = (1 - Math.cos((Math.PI * step) / GLIDE.steps)) / 2;
    this.#at = { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
    this.#stage.point(this.#at);
    if (step === GLIDE.steps) return this.#next(pauseMs);
    this.#busy = true;
    this.#cancel = this.#clock.after(GLIDE.everyMs, () => this.#glide(to, pauseMs, step + 1, from));
  }
}
