/** What every trainer is to those who run it, keep its files, and write the artifact. */

import type { RunState } from '../artifact/checkpoint.js';
import type { Batch } from '../backend/batch.js';
import type { Key } from '../random/philox.js';
import type { Graph } from '../ternary/graph.js';

/** The settings that all trainers have. */
export interface RunConfig {
  /** What is kept: the coefficients of every step, one coefficient a fixed direction, or the weights. */
  readonly artifact: 'log' | 'pool' | 'packed';
  readonly seed: string;
  readonly steps: number;
  readonly batch: number;
}

/** What a seed log keeps of a step. */
export interface LogEntry {
  /** Nonzeros of each direction. */
  readonly nonzeros: number;
  /** [Σ K] trits. */
  readonly coefficients: Int8Array;
}

/** What one step did. */
export interface StepRecord {
  /** Counted from 1. */
  readonly step: number;
  /** Mean cross-entropy of the batch before the update, in nats. */
  readonly loss: number;
  /** Share of the batch's rows that were predicted rightly before the update. */
  readonly accuracy: number;
  /** Forward passes of one example or window that the step is worth, by the estimator's definition. */
  readonly forwardPasses: number;
  /** The loss in 2⁻¹⁶ bits, rounded down, where it is exact. */
  readonly lossUnits?: number;
  /** Of a log: what it must keep of the step. */
  readonly log?: LogEntry;
  /** Of backprop. */
  readonly learningRate?: number;
}

/** The batches of a run. */
export interface BatchSource extends Batch {
  /** Makes itself the batch of a step, counted from 0. */
  load(step: number): void;
}

export interface Trainer<Config extends RunConfig = RunConfig> {
  readonly config: Config;
  readonly graph: Graph;
  /** Of every random decision. */
  readonly key: Key;
  /** Directions of each tensor, as a header has them; none of packed weights. */
  readonly counts: readonly number[];
  /** |latent| above this gives ±1. */
  readonly cut: number;
  /** Steps done. */
  readonly step: number;
  /** Forward passes of one example or window that every step is worth, by the estimator's definition. */
  readonly forwardPassesPerStep: number;
  /** One step. Steps that overlap take turns. */
  next(): Promise<StepRecord>;
  /** The values of all tensors, in model order. */
  values(): Promise<Int8Array>;
  /**
   * The coefficients of a pool as the model has them.
   * @throws {TypeError} when there is none
   */
  poolCoefficients(): Promise<Int16Array>;
  /** What `restore` needs. Arrays may be the trainer's own: write them before the next step. */
  state(): Promise<RunState>;
  /**
   * Continues from a state; a log's steps go through `replay` instead.
   * @throws {RangeError} when it is not one of this configuration
   */
  restore(state: RunState): Promise<void>;
  /**
   * Applies a step that a log holds, as if it had just been trained.
   * @throws {TypeError} when it trains none
   */
  replay(entry: LogEntry): Promise<void>;
  /** Frees the model, and stops what computes for it. */
  release(): Promise<void>;
}
