// A set of offsets, kept as ranges: what covers many offsets is never walked through one by one.

type Range = readonly [first: number, last: number];

export class OffsetSet {
  #ranges: Range[] = []; // ascending and apart from each other, both ends inclusive

  get empty(): boolean {
    return this.#ranges.length === 0;
  }

  /** Whether every offset from `first` to `last` is in it. */
  covers(first: number, last: number): boolean {
    return this.#ranges.some(([start, end]) => start <= first && last <= end);
  }

  /** Put in every offset from `first` to `last`; none if `last` is before `first`. */
  add(first: number, last: number): void {
    if (last < first) return;
    const apart: Range[] = [];
    for (const [start, end] of this.#ranges) {
      if (end < first - 1 || start > last + 1) apart.push([start, end]);
      else [first, last] = [Math.min(first, start), Math.max(last, end)];
    }
    this.#ranges = [...apart, [first, last] as const].sort(([a], [b]) => a - b);
  }

  /** Take out what follows `offset` without a hole; return the end of that, or `offset`. */
  advance(offset: number): number {
    for (let next = this.#ranges[0]; next && next[0] <= offset + 1; next = this.#ranges[0]) {
      offset = Math.max(offset, next[1]);
      this.#ranges.shift();
    }
    return offset;
  }
}
