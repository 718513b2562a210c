/**
 * The linear layer: z = x·qᵀ of u7 or i8 activations by integer weights. All values are integers
 * below 2^24, so float32 sums are exact in any order and every backend gives the same z.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../kernels/fused.js';
import { withGradient } from './gradient.js';

/** What `linear` may rely on. */
export interface LinearOptions {
  /** x is the network's input and needs no gradient. */
  readonly isInput: boolean;
  /** The weights have more values than trits. */
  readonly wide: boolean;
  /** Activations are −127…127, not 0…127. */
  readonly signed?: boolean;
}

/**
 * z[B, M] = x[B, N] · q[M, N]ᵀ, differentiable by q, and by x unless it is the network's input.
 * TensorFlow.js's own gradient multiplies transposed matrices, for which tfjs-wasm has only a
 * scalar loop; here transposes are made explicitly (`product`), which is about ten times faster.
 */
export function linear(x: tf.Tensor2D, q: tf.Tensor2D, options: LinearOptions): tf.Tensor2D {
  if (options.isInput) {
    return withGradient(
      [q],
      () => ({ value: forward(x, q, options) }),
      (dz) => [weightGradient(dz, x)],
    );
  }
  return withGradient<tf.Tensor2D, [tf.Tensor2D, tf.Tensor2D]>(
    [x, q],
    () => ({ value: forward(x, q, options), saved: [x, q] }),
    (dz, activations, weights) => [inputGradient(dz, weights), weightGradient(dz, activations)],
  );
}

/** z[B, M] = x·qᵀ. */
function forward(x: tf.Tensor2D, q: tf.Tensor2D, { wide, signed }: LinearOptions): tf.Tensor2D {
  const name = signed ? FUSED.signedLinear : FUSED.linear;
  return runFused(name, { x, q }, { wide }) ?? tf.matMul(x, tf.transpose(q));
}

/** dq[M, N] = dzᵀ·x. */
function weightGradient(dz: tf.Tensor2D, x: tf.Tensor2D): tf.Tensor2D {
  return runFused(FUSED.weightGradient, { dz, x }) ?? tf.matMul(tf.transpose(dz), x);
}

/** dx[B, N] = dz·q. */
function inputGradient(dz: tf.Tensor2D, q: tf.Tensor2D): tf.Tensor2D {
  return runFused(FUSED.inputGradient, { dz, q }) ?? tf.matMul(dz, q);
}
