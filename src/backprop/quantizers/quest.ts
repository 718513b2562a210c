/**
 * QuEST (Panferov et al. 2025; IST-DASLab/QuEST, base_linear.py): a uniform quantizer fitted to a
 * Gaussian, whose gradient passes only where quantization moved a value little ("trust").
 * With σ = rms of a row (weights) or of an example (activations), scale = a_b·σ and
 * step = 2·scale / (2^b − 1), after an optional Hadamard transform h of the row:
 *
 *   q = clip-and-round(h) to the 2^b levels ±step/2, ±3·step/2, …, ±scale
 *   trust where |q − h| ≤ σ·a_b / (2^b − 1);  the gradient by h is that by q there, else 0
 *
 * At three levels the published formula has no zero level. The right one is the Gaussian's
 * Lloyd-Max quantizer: {−1.224, 0, 1.224}·σ, thresholds and trust radius 0.612·σ. One bit takes
 * the mask of the published W1A1 runs instead: trust where |h| ≤ 1.25·scale.
 */

import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../gradient.js';
import { hadamard } from './hadamard.js';
import type { Quantizer } from './quantizer.js';
import { relativeScales } from './symmetric.js';

/** Widths in bits; 'ternary' is log₂ 3. */
export type QuestBits = 'ternary' | 1 | 2 | 3 | 4 | 8;

/** a_b: the largest level of the best uniform quantizer of a unit Gaussian, from QuEST's source. */
export const QUEST_SCALES = {
  1: 0.7978845587140913,
  2: 1.4935346200015913,
  3: 2.051068354131873,
  4: 2.513930578568423,
  8: 3.884938678807525,
  ternary: 1.2240089519030855,
} as const satisfies Record<QuestBits, number>;

/** W1A1's clip mask reaches this many scales. */
const ONE_BIT_CLIP = 1.25;
const TINY = 1e-12;

/** The largest integer: levels are 0 and ±1, or the odd integers up to it. */
function levelsOf(bits: QuestBits): number {
  return bits === 'ternary' ? 1 : 2 ** bits - 1;
}

interface Parts {
  /** [R, N] integers: level = integer · unit. */
  readonly integers: tf.Tensor2D;
  /** [R, 1] real size of one. */
  readonly unit: tf.Tensor2D;
  /** [R, N] 1 where the gradient passes. */
  readonly trust: tf.Tensor2D;
}

/** Quantizes the rows of h. */
function quantizeRows(h: tf.Tensor2D, bits: QuestBits): Parts {
  return tf.tidy(() => {
    const sigma = tf.maximum(tf.sqrt(tf.mean(tf.square(h), 1, true)), TINY);
    const scale = tf.mul(sigma, QUEST_SCALES[bits]);
    const levels = levelsOf(bits);
    const clipped = tf.clipByValue(tf.div(h, scale), -1, 1); // in scales
    const integers =
      bits === 'ternary'
        ? tf.round(clipped)
        : tf.sub(tf.mul(tf.round(tf.add(tf.mul(clipped, levels / 2), 0.5)), 2), 1); // odd
    const unit = tf.div(scale, levels);
    const distance = tf.abs(tf.sub(tf.mul(integers, unit), h));
    const beyond =
      bits === 1
        ? tf.sub(tf.abs(h), tf.mul(scale, ONE_BIT_CLIP))
        : tf.sub(distance, bits === 'ternary' ? tf.div(scale, 2) : unit);
    const trust = tf.sub(1, tf.step(beyond)); // tfjs-wasm compares a row with one value fifty times slower
    return { integers, unit, trust } as unknown as tf.TensorContainer;
  }) as unknown as Parts;
}

/**
 * The network's integers: trits, ±1 for one bit, odd integers up to 3 for two and 15 for four,
 * with a scale a row.
 */
export function questQuantizer(bits: 'ternary' | 1 | 2 | 4): Quantizer {
  return {
    quantize(shadow) {
      const { integers, unit, trust } = quantizeRows(shadow, bits);
      const weights = trusted(shadow, trust, () => integers.clone());
      return { weights, rowScales: relativeScales(unit) };
    },
  };
}

/**
 * Rows as QuEST trains with them: rotated, quantized, scaled back (but not rotated back), with the
 * trust gradient. For networks in floats; the integer network has no rotation.
 * @param x - [R, N] weights or activations
 * @returns [R, N]
 */
export function questFake(x: tf.Tensor2D, bits: QuestBits, rotate: boolean): tf.Tensor2D {
  const h = rotate ? hadamard(x) : x;
  const { integers, unit, trust } = quantizeRows(h, bits);
  return trusted(h, trust, () => tf.mul(integers, unit));
}

/** A value whose gradient passes where `trust` is 1. */
function trusted(input: tf.Tensor2D, trust: tf.Tensor2D, value: () => tf.Tensor2D): tf.Tensor2D {
  return withGradient<tf.Tensor2D, [tf.Tensor2D]>(
    [input],
    () => ({ value: value(), saved: [trust] }),
    (dq, passes) => [tf.mul(dq, passes)],
  );
}
