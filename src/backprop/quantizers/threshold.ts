/**
 * Ternary by threshold: sign(w) where |w| > Δ, else 0, with the identity as gradient. The rules
 * differ in Δ alone:
 *
 * - absmean, BitNet b1.58 (Ma et al. 2024, "The era of 1-bit LLMs"): round(w/γ) clipped to ±1 with
 *   γ = mean|w|, so Δ = ½·mean|w|; 31% zeros for Gaussian weights.
 * - twn, Ternary Weight Networks (Li & Liu 2016): Δ = 0.7·mean|w|; 42% zeros.
 * - lloyd-max, the three-level quantizer of least squared error (Lloyd 1982, Max 1960) for a
 *   Gaussian: Δ = 0.612·σ with σ = rms(w); 46% zeros.
 * - sparse: Δ = threshold·σ, threshold as configured; what a small file is made of.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../kernels/fused.js';
import { straightThrough } from '../ops/gradient.js';
import type { Quantizer } from './quantizer.js';

/** Δ as a factor of mean|w| or of rms(w). */
export interface ThresholdRule {
  readonly factor: number;
  readonly of: 'mean' | 'rms';
}

export const ABSMEAN: ThresholdRule = { factor: 0.5, of: 'mean' };
export const TWN: ThresholdRule = { factor: 0.7, of: 'mean' };
export const LLOYD_MAX: ThresholdRule = { factor: 0.612, of: 'rms' };

/** The quantizer of a rule. */
export function thresholdQuantizer(rule: ThresholdRule): Quantizer {
  return {
    quantize: (shadow) => ({ weights: ternarize(shadow, rule) }),
  };
}

/**
 * [M, N] trits in float32.
 * @example ternarize(tf.tensor2d([[0.1, -1, 1]]), ABSMEAN) // [[0, −1, 1]]: Δ = 0.35
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
