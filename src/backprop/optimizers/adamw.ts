/**
 * AdamW: Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019):
 *
 *   m = β₁m + (1 − β₁)g;  v = β₂v + (1 − β₂)g²
 *   w = w − rate·decay·w − rate · (m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)
 */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../kernels/fused.js';
import { bounded, type Optimizer, type Parameter, type StepSize, zerosLike } from './optimizer.js';

const EPSILON = 1e-8;

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
}

export class AdamW implements Optimizer {
  steps = 0;
  readonly #parameters: readonly Parameter[];
  readonly #options: AdamWOptions;
  readonly #means: readonly tf.Variable[];
  readonly #squares: readonly tf.Variable[];

  constructor(parameters: readonly Parameter[], options: AdamWOptions) {
    this.#parameters = parameters;
    this.#options = options;
    this.#means = parameters.map(zerosLike);
    this.#squares = parameters.map(zerosLike);
  }

  get state(): readonly tf.Variable[] {
    return [...this.#means, ...this.#squares];
  }

  step(gradients: readonly tf.Tensor[], size: StepSize): void {
    this.steps += 1;
    this.#parameters.forEach((parameter, i) => {
      this.#move(parameter, gradients[i], this.#means[i], this.#squares[i], size);
    });
  }

  dispose(): void {
    for (const variable of this.state) variable.dispose();
  }

  #move(
    { variable, decays, limit }: Parameter,
    gradient: tf.Tensor,
    mean: tf.Variable,
    square: tf.Variable,
    { learningRate, weightDecay }: StepSize,
  ): void {
    const { beta1, beta2 } = this.#options;
    const rate = learningRate / (1 - beta1 ** this.steps);
    const correction2 = 1 / (1 - beta2 ** this.steps);
    const keep = 1 - learningRate * (decays ? weightDecay : 0);
    const inputs = { w: variable, g: gradient, m: mean, v: square };
    // Complements come from here: in float32, 1 − β would be off where β is near one.
    const complements = { complement1: 1 - beta1, complement2: 1 - beta2 };
    const attributes = { beta1, beta2, ...complements, rate, correction2, keep, epsilon: EPSILON, limit };
    if (runFused(FUSED.adamw, inputs, attributes)) return; // in place
    tf.tidy(() => {
      mean.assign(tf.add(tf.mul(mean, beta1), tf.mul(gradient, 1 - beta1)));
      square.assign(tf.add(tf.mul(square, beta2), tf.mul(tf.square(gradient), 1 - beta2)));
      const root = tf.add(tf.sqrt(tf.mul(square, correction2)), EPSILON);
      const moved = tf.sub(tf.mul(variable, keep), tf.mul(tf.div(mean, root), rate));
      variable.assign(bounded(moved, limit));
    });
  }
}
