// What the panels get that show metrics.

import type { MetricsAnswer } from "../generated/answers.js";

export interface Measured {
  readonly metrics: MetricsAnswer | undefined;
  /** It is of another span than was asked for, or not there yet. */
  readonly busy: boolean;
}
