/** The steps of a log, kept: a replay uses the coefficients' array again for the next. */

import type { ReadStep } from '../../src/artifact/seed-log.js';

export function keptSteps(log: { replaySteps(): Iterable<ReadStep> }): ReadStep[] {
  return Array.from(log.replaySteps(), (step) => ({ ...step, coefficients: step.coefficients.slice() }));
}
