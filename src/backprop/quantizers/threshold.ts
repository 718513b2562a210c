/**
 * Ternary by threshold: sign(w) where |w| > Δ, else 0, with the identity as gradient. The rules differ
 * in Δ alone, and are told in quantize/rules.ts; beside them `sparse`: Δ = threshold·σ, threshold as
 * configured; what a small file is made of.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { ThresholdRule } from '../../quantize/rules.js';
import { FUSED, runFused } from '../kernels/fused.js';
import { straightThrough } from '../gradient.js';
import type { Quantizer } from './quantizer.js';

/** The quantizer of a rule. */
export function thresholdQuantizer(rule: ThresholdRule): Quantizer {
  return {
    straightThrough: true,
    quantize: (shadow) => ({ weights: ternarize(shadow, rule) }),
  };
}

/**
 * [M, N] trits in float32.
 * @example ternarize(tf.tensor2d([[0.1, -1, 1]]), ABSMEAN).arraySync() // [[0, -1, 1]]
 */
export function ternarize(shadow: tf.Tensor2D, rule: ThresholdRule): tf.Tensor2D {
  const attributes = { factor: rule.factor, rms: rule.of === 'rms' };
  return straightThrough(
    shadow,
    () => runFused(FUSED.ternarize, { w: shadow }, attributes) ?? compose(shadow, rule),
  );
}

function compose(shadow: tf.Tensor2D, { factor, of }: ThresholdRule): tf.Tensor2D {
  return tf.tidy(() => {
    const size = of === 'rms' ? tf.sqrt(tf.mean(tf.square(shadow))) : tf.mean(tf.abs(shadow));
    const beyond = tf.cast(tf.greater(tf.abs(shadow), tf.mul(size, factor)), 'float32');
    return tf.mul(tf.sign(shadow), beyond);
  });
}
