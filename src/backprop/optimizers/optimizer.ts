/** What an optimizer of the ste trainer is, and the clipping of gradients that comes before it. */

import * as tf from '@tensorflow/tfjs-core';

/** A trained tensor. */
export interface Parameter {
  readonly name: string;
  readonly variable: tf.Variable;
  /** Whether weight decay applies. */
  readonly decays: boolean;
  /** Values stay within ±limit; Infinity: no bound. */
  readonly limit: number;
}

/** How far one step goes. */
export interface StepSize {
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** Moves parameters against their gradients. */
export interface Optimizer {
  /**
   * One step.
   * @param gradients - one for each parameter, in their order and shapes; not disposed
   */
  step(gradients: readonly tf.Tensor[], size: StepSize): void;
  /** State tensors in a fixed order, to save and to restore; all in place. */
  readonly state: readonly tf.Variable[];
  /** Steps so far; set when a run is restored. */
  steps: number;
  dispose(): void;
}

/**
 * Scales gradients so that their norm over all parameters is at most `norm` (Pascanu et al. 2013).
 * @returns new tensors
 */
export function clipByGlobalNorm(gradients: readonly tf.Tensor[], norm: number): tf.Tensor[] {
  return tf.tidy(() => {
    const total = tf.sqrt(tf.addN(gradients.map((gradient) => tf.sum(tf.square(gradient)))));
    const factor = tf.minimum(tf.div(norm, tf.add(total, 1e-6)), 1);
    return gradients.map((gradient) => tf.mul(gradient, factor));
  });
}

/** A variable of zeros like a parameter. */
export function zerosLike({ variable }: Parameter): tf.Variable {
  return tf.tidy(() => tf.variable(tf.zerosLike(variable), false));
}

/** Values within ±limit; Infinity: as they are. */
export function bounded(values: tf.Tensor, limit: number): tf.Tensor {
  return Number.isFinite(limit) ? tf.clipByValue(values, -limit, limit) : values;
}
