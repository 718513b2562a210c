/**
 * The transformer's normalization of the residual stream by its root mean square (docs/transformer.md),
 * to the bit, with the gradient of the real one where activations are not clipped.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../kernels/fused.js';
import { withGradient } from './gradient.js';

/**
 * n[R, W] of the stream x[R, W].
 * @param unit - the activation of a value of one root mean square
 */
export function rootMeanSquare(x: tf.Tensor2D, unit: number): tf.Tensor2D {
  const one = Math.floor(unit * Math.sqrt(x.shape[1]) + 0.5);
  return withGradient<tf.Tensor2D, [tf.Tensor2D, tf.Tensor2D]>(
    [x],
    () => {
      const value = runFused<tf.Tensor2D>(FUSED.rootMeanSquare, { x }, { one })!;
      return { value, saved: [x, value] };
    },
    (dn, stream, n) => {
      return [runFused<tf.Tensor2D>(FUSED.rootMeanSquareGradient, { dn, x: stream, n }, { unit })!];
    },
  );
}
