/**
 * Symmetric integers, 8 or 4 bits, by the largest magnitude (absmax; Jacob et al. 2018, without a
 * zero point): w ≈ s·q, s = max|w| / L, q = round(w/s), L = 127 or 7; the maximum over the tensor
 * or over each row. The gradient passes straight through.
 */

import * as tf from '@tensorflow/tfjs-core';
import { LEVELS, ROW_SCALE_MAX } from '../../quantize/rules.js';
import { straightThrough } from '../gradient.js';
import type { Quantizer } from './quantizer.js';

const TINY = 1e-12;

/** The quantizer of a width, with one scale or one a row. */
export function symmetricQuantizer(width: 'int4' | 'int8', perRow: boolean): Quantizer {
  const levels = LEVELS[width];
  return {
    straightThrough: true,
    quantize(shadow) {
      const largest = perRow ? tf.max(tf.abs(shadow), 1, true) : tf.max(tf.abs(shadow));
      const step = tf.div(tf.maximum(largest, TINY), levels);
      const weights = straightThrough(shadow, () => tf.round(tf.div(shadow, step)));
      return perRow ? { weights, rowScales: relativeScales(largest as tf.Tensor2D) } : { weights };
    },
  };
}

/**
 * Row scales as the network has them: integers 1…127, the largest row's 127.
 * @param scales - [M, 1] real, ≥ 0
 */
export function relativeScales(scales: tf.Tensor2D): tf.Tensor1D {
  return tf.tidy(() => {
    const share = tf.div(scales, tf.maximum(tf.max(scales), TINY));
    const integers = tf.round(tf.mul(share, ROW_SCALE_MAX));
    return tf.reshape(tf.maximum(integers, 1), [scales.shape[0]]) as tf.Tensor1D;
  });
}
