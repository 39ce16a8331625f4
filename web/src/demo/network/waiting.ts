// What was given to the client and is not answered yet. The client queues it; this only counts.

export interface WaitingState {
  readonly count: number;
  /** How many have been answered well since the page was loaded. */
  readonly settled: number;
}

export class Waiting {
  readonly #listeners = new Set<() => void>();
  #state: WaitingState = { count: 0, settled: 0 };

  /** Count it while it is under way; returns the same promise. */
  readonly track = <T>(promise: Promise<T>): Promise<T> => {
    this.#add(1, 0);
    promise.then(
      () => this.#add(-1, 1),
      () => this.#add(-1, 0),
    );
    return promise;
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly getSnapshot = (): WaitingState => this.#state;

  #add(count: number, settled: number): void {
    this.#state = { count: this.#state.count + count, settled: this.#state.settled + settled };
    this.#listeners.forEach((tell) => tell());
  }
}

/** The page's. */
export const waiting = new Waiting();
