// Web Locks as far as the store needs them.

/** Web Locks of all pages; each page has its own view, whose locks end with it. */
export class FakeLocks {
  readonly held = new Map<string, FakePage>();

  page(): FakePage {
    return new FakePage(this);
  }
}

export class FakePage {
  readonly #all: FakeLocks;

  constructor(all: FakeLocks) {
    this.#all = all;
  }

  async request(name: string, work: () => Promise<void>): Promise<void> {
    await Promise.resolve();
    if (this.#all.held.has(name)) throw new Error(`${name} is held`);
    this.#all.held.set(name, this);
    await work();
    this.#all.held.delete(name);
  }

  async query(): Promise<{ held: { name: string }[] }> {
    await Promise.resolve();
    return { held: [...this.#all.held.keys()].map((name) => ({ name })) };
  }

  /** The page goes: the browser releases its locks. */
  go(): void {
    for (const [name, page] of [...this.#all.held]) if (page === this) this.#all.held.delete(name);
  }
}
