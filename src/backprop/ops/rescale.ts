/**
 * What a layer of wider weights does to its sums (docs/arithmetic.md, "Linear"): a shift by the
 * weights' fraction bits, then the rows' scales. Exact in int32; the gradient passes through the
 * roundings. Row scales are constants here: what learns them is the quantizer's business.
 */

import * as tf from '@tensorflow/tfjs-core';
import { SCALE_BITS } from '../../ternary/precision.js';
import { FUSED, runFused } from '../kernels/fused.js';
import { withGradient } from './gradient.js';
import { roundShift } from './rounding.js';

/**
 * @param sums - [B, M] integers
 * @param shift - fraction bits of the weights
 * @param rowScales - [M] integers 1…127
 */
export function rescale(sums: tf.Tensor2D, shift: number, rowScales?: tf.Tensor1D): tf.Tensor2D {
  if (shift === 0 && !rowScales) return sums;
  const factor = rowScales ? tf.div(rowScales, 2 ** (SCALE_BITS + shift)) : tf.scalar(1 / 2 ** shift);
  return withGradient<tf.Tensor2D, [tf.Tensor]>(
    [sums],
    () => ({
      value: tf.tidy(() => {
        const inputs = { sums, scales: rowScales ?? sums };
        const fused = runFused<tf.Tensor2D>(FUSED.rescale, inputs, {
          shift,
          scaled: rowScales !== undefined,
        });
        if (fused) return fused;
        let scaled = roundShift(tf.cast(sums, 'int32'), shift);
        if (rowScales) scaled = roundShift(tf.mul(scaled, tf.cast(rowScales, 'int32')), SCALE_BITS);
        return tf.cast(scaled, 'float32') as tf.Tensor2D;
      }),
      saved: [factor],
    }),
    (dz, share) => [tf.mul(dz, share)],
  );
}
