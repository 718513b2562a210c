/**
 * The seed pool as a function of its coefficients: weight i of a tensor is
 * trit(initial + round(c[direction]) · sign), and the gradient by a coefficient is the sum over
 * its direction of sign · gradient by the weight. Rounding and the trit pass gradients through.
 */

import * as tf from '@tensorflow/tfjs-core';
import { type DirectionSet, directionOfWeight, Signs } from '../random/directions.js';
import { initLatents } from '../random/latents.js';
import type { Tensor } from '../ternary/model.js';
import { FUSED, runFused } from './kernels/fused.js';
import { withGradient } from './gradient.js';

/** What a tensor's directions look like on the device; nothing of it changes while one trains. */
export class PoolTensor {
  /** [size] int32, the direction of each weight. */
  readonly #direction: tf.Tensor1D;
  /** [M, N] ±1. */
  readonly #sign: tf.Tensor2D;
  /** [M, N] initial latents. */
  readonly #initial: tf.Tensor2D;
  /** [n · K] int32: the weights direction by direction, n-th of each after n-th; `size` where a direction has no n-th. */
  readonly #members: tf.Tensor1D;

  constructor(
    readonly set: DirectionSet,
    { rows, columns }: Tensor,
    readonly cut: number,
  ) {
    const { size, directions, key, group } = set;
    const latents = new Int8Array(size);
    initLatents(key, group, cut, latents);
    const signs = new Signs(set);
    const sign = Float32Array.from({ length: size }, (_, i) => signs.at(i));
    const direction = Int32Array.from({ length: size }, (_, i) => directionOfWeight(set, i));
    const most = Math.ceil(size / directions);
    const members = new Int32Array(most * directions).fill(size);
    const seen = new Int32Array(directions);
    direction.forEach((k, i) => {
      members[seen[k] * directions + k] = i;
      seen[k] += 1;
    });
    this.#direction = tf.tensor1d(direction, 'int32');
    this.#sign = tf.tensor2d(sign, [rows, columns]);
    this.#initial = tf.tensor2d(Float32Array.from(latents), [rows, columns]);
    this.#members = tf.tensor1d(members, 'int32');
  }

  /**
   * The weights that coefficients stand for.
   * @param coefficients - [K] real
   * @returns [M, N] trits in float32
   */
  expand(coefficients: tf.Tensor1D): tf.Tensor2D {
    return withGradient<tf.Tensor2D>(
      [coefficients],
      () => ({ value: this.#forward(coefficients) }),
      (dq) => [this.gradient(dq)],
    );
  }

  dispose(): void {
    tf.dispose([this.#direction, this.#sign, this.#initial, this.#members]);
  }

  #forward(c: tf.Tensor1D): tf.Tensor2D {
    const inputs = { c, direction: this.#direction, sign: this.#sign, initial: this.#initial };
    const fused = runFused<tf.Tensor2D>(FUSED.expandPool, inputs, { cut: this.cut });
    if (fused) return fused;
    return tf.tidy(() => {
      const moves = tf.reshape(tf.gather(roundHalfAway(c), this.#direction), this.#sign.shape);
      const latents = tf.add(this.#initial, tf.mul(moves, this.#sign));
      const above = tf.cast(tf.greater(latents, this.cut), 'float32');
      return tf.sub(above, tf.cast(tf.less(latents, -this.cut), 'float32')) as tf.Tensor2D;
    });
  }

  /** The gradient by the coefficients, from that by the weights. */
  gradient(dq: tf.Tensor2D): tf.Tensor1D {
    const { directions } = this.set;
    const inputs = { dq, direction: this.#direction, sign: this.#sign };
    const fused = runFused<tf.Tensor1D>(FUSED.poolGradient, inputs, { directions });
    if (fused) return fused;
    return tf.tidy(() => {
      const signed = tf.concat([tf.reshape(tf.mul(dq, this.#sign), [-1]), tf.zeros([1])]);
      const byDirection = tf.reshape(tf.gather(signed, this.#members), [-1, directions]);
      return tf.sum(byDirection, 0) as tf.Tensor1D;
    });
  }
}

/** Rounded half away from zero, as the pool's coefficients are. */
export function roundHalfAway(values: tf.Tensor): tf.Tensor {
  return tf.mul(tf.sign(values), tf.floor(tf.add(tf.abs(values), 0.5)));
}
