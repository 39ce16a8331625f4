/** Milliseconds that only go forward, whatever happens to the machine's clock. */
export function now(): number {
  return performance.now();
}
