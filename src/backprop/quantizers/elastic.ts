/**
 * Learned scale: ParetoQ's stretched elastic quantizer for three levels (Liu et al. 2025,
 * models/utils_quant.py). With a learnt α for each row:
 *
 *   q = round(clip(w/α, ±0.99) · 1.5)         a trit, thirds of ±α
 *   dw = g where |w/α| < 0.99, else 0          g: gradient by α·q/1.5
 *   dα = Σ_row g·(q/1.5 − w/α), or g·sign(w) where clipped, divided by √(rows·columns)
 *
 * α is also the row's scale in the network.
 */

import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../gradient.js';
import type { Quantizer } from './quantizer.js';
import { relativeScales } from './symmetric.js';

const CLIP = 0.99;
const STRETCH = 1.5;
/** α stays above this. */
const ALPHA_MIN = 1e-5;

export const elasticQuantizer: Quantizer = {
  initial: (shadow) => tf.max(tf.abs(shadow), 1, true), // [M, 1]
  quantize(shadow, learnt) {
    const alpha = tf.maximum(learnt as tf.Tensor, ALPHA_MIN) as tf.Tensor2D;
    return { weights: stretched(shadow, learnt as tf.Tensor2D), rowScales: relativeScales(alpha) };
  },
};

function stretched(shadow: tf.Tensor2D, learnt: tf.Tensor2D): tf.Tensor2D {
  return withGradient<tf.Tensor2D, [tf.Tensor, tf.Tensor, tf.Tensor]>(
    [shadow, learnt],
    () => {
      const alpha = tf.maximum(learnt, ALPHA_MIN);
      const ratio = tf.div(shadow, alpha);
      const value = tf.round(tf.mul(tf.clipByValue(ratio, -CLIP, CLIP), STRETCH)) as tf.Tensor2D;
      return { value, saved: [value, ratio, alpha] };
    },
    (dq, trits, ratio, alpha) => {
      const g = tf.div(tf.mul(dq, STRETCH), alpha);
      const inside = tf.step(tf.sub(CLIP, tf.abs(ratio)));
      const slope = tf.where(tf.cast(inside, 'bool'), tf.sub(tf.div(trits, STRETCH), ratio), tf.sign(ratio));
      const dalpha = tf.div(tf.sum(tf.mul(g, slope), 1, true), Math.sqrt(shadow.size));
      return [tf.mul(g, inside), dalpha];
    },
  );
}
