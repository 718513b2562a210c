/**
 * Muon (Jordan et al. 2024): the momentum of a matrix, made nearly orthogonal by five
 * Newton–Schulz steps, so that all its directions move alike. Parameters that are no matrices
 * go by AdamW.
 */

import * as tf from '@tensorflow/tfjs-core';
import { AdamW, type AdamWOptions } from './adamw.js';
import { bounded, type Optimizer, type Parameter, type StepSize, zerosLike } from './optimizer.js';

/** Coefficients of the quintic that drives singular values to one, from Muon's source. */
const [A, B, C] = [3.4445, -4.775, 2.0315];
const NEWTON_SCHULZ_STEPS = 5;
const TINY = 1e-7;

export interface MuonOptions extends AdamWOptions {
  readonly momentum: number;
}

export class Muon implements Optimizer {
  readonly #matrices: readonly { parameter: Parameter; index: number; momentum: tf.Variable }[];
  readonly #others: readonly number[];
  readonly #adamw: AdamW;
  readonly #momentum: number;

  constructor(parameters: readonly Parameter[], { momentum, ...adam }: MuonOptions) {
    this.#momentum = momentum;
    const indices = parameters.map((_, index) => index);
    this.#matrices = indices
      .filter((index) => isMatrix(parameters[index]))
      .map((index) => ({ parameter: parameters[index], index, momentum: zerosLike(parameters[index]) }));
    this.#others = indices.filter((index) => !isMatrix(parameters[index]));
    this.#adamw = new AdamW(
      this.#others.map((index) => parameters[index]),
      adam,
    );
  }

  get steps(): number {
    return this.#adamw.steps;
  }

  set steps(steps: number) {
    this.#adamw.steps = steps;
  }

  get state(): readonly tf.Variable[] {
    return [...this.#matrices.map(({ momentum }) => momentum), ...this.#adamw.state];
  }

  step(gradients: readonly tf.Tensor[], size: StepSize): void {
    for (const { parameter, index, momentum } of this.#matrices) {
      tf.tidy(() => {
        const gradient = gradients[index] as tf.Tensor2D;
        momentum.assign(tf.add(tf.mul(momentum, this.#momentum), gradient));
        const nesterov = tf.add(gradient, tf.mul(momentum, this.#momentum)) as tf.Tensor2D;
        const [rows, columns] = gradient.shape;
        const rate = size.learningRate * Math.sqrt(Math.max(1, rows / columns));
        const keep = 1 - size.learningRate * (parameter.decays ? size.weightDecay : 0);
        const { variable, limit } = parameter;
        const moved = tf.sub(tf.mul(variable, keep), tf.mul(orthogonalize(nesterov), rate));
        variable.assign(bounded(moved, limit));
      });
    }
    this.#adamw.step(
      this.#others.map((index) => gradients[index]),
      size,
    );
  }

  dispose(): void {
    for (const variable of this.state) variable.dispose();
  }
}

function isMatrix({ variable: { shape } }: Parameter): boolean {
  return shape.length === 2 && shape.every((dimension) => dimension > 1);
}

/**
 * A matrix with the same singular vectors and singular values near one.
 * @param matrix - [M, N]
 */
export function orthogonalize(matrix: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const tall = matrix.shape[0] > matrix.shape[1]; // the smaller product is the cheaper one
    let x = tall ? (tf.transpose(matrix) as tf.Tensor2D) : matrix;
    x = tf.div(x, tf.add(tf.norm(x), TINY));
    for (let step = 0; step < NEWTON_SCHULZ_STEPS; step++) {
      const a = tf.matMul(x, tf.transpose(x));
      const b = tf.add(tf.mul(a, B), tf.mul(tf.matMul(a, a), C)) as tf.Tensor2D;
      x = tf.add(tf.mul(x, A), tf.matMul(b, x));
    }
    return (tall ? tf.transpose(x) : x) as tf.Tensor2D;
  });
}
