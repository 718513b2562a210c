/** What becomes of alignments: the rules by which noise-step moves weights. */

import type { Alignment, Evaluation, Placed } from '../../backend/backend.js';
import type { DirectionSet } from '../../random/directions.js';
import type { Key } from '../../random/philox.js';
import type { Graph } from '../../ternary/graph.js';
import type { RunState } from '../../artifact/checkpoint.js';
import type { LogEntry } from '../../train/trainer.js';

/** What a rule works on. */
export interface Scene {
  readonly graph: Graph;
  readonly placed: Placed;
  readonly key: Key;
  /** Aligns by node perturbation, with the probes of the configuration. */
  align(step: number, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>>;
}

/** How weights move. */
export interface Rule {
  /** Directions of each tensor, as a header has them. */
  readonly counts: readonly number[];
  /**
   * Aligns on the loaded batch, and moves the weights.
   * @param step - counted from 1
   * @returns the evaluation before the move, and of a log what it must keep
   */
  step(step: number): Promise<{ readonly evaluation: Evaluation; readonly log?: LogEntry }>;
  state(): Omit<RunState, 'step'>;
  /**
   * Continues from a state after a step.
   * @throws {RangeError} when it is not one of this configuration
   */
  restore(state: RunState): Promise<void>;
}

/** Mean loss of a batch in 2⁻¹⁶ bits, as a log keeps it and stages look at it: exact. */
export function meanUnits({ losses }: Evaluation): number {
  return Math.floor(losses.reduce((sum, loss) => sum + loss, 0) / losses.length);
}

/** The share of a rate that a step has: 1 up to `hold` of the steps, then less, linearly to 0. */
export function shareOf(
  step: number,
  { hold, steps }: { readonly hold: number; readonly steps: number },
): number {
  const done = (step - 1) / steps;
  return done < hold ? 1 : (1 - done) / (1 - hold);
}
