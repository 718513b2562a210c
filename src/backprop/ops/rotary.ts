/**
 * Rotary positions (Su et al. 2021) on queries and keys, in integers: sums are brought to seven bits finer
 * than an activation, each pair of units is turned by the Q14 tables, and rounded once.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../kernels/fused.js';
import { withGradient } from './gradient.js';
import { ACTIVATION_LIMIT, clipped, type Rescaling, rescaled, unclipped } from './requantize.js';
import { roundShift } from './rounding.js';

/** Fraction bits of a table's entry. */
export const ROTATION_BITS = 14;
/** By so many bits is what is rotated finer than what comes out. */
export const FINE_BITS = 7;

/** The rotation of every position as tensors. */
export interface RotationTables {
  /** [T, headSize] integers in float32: the cosine of each pair, twice. */
  readonly cosines: tf.Tensor2D;
  /** [T, headSize]: −sine for the first of a pair, sine for the second. */
  readonly sines: tf.Tensor2D;
}

/**
 * The tables on the device.
 * @param cosines - [T, headSize/2], in 2^-14
 * @param sines - [T, headSize/2]
 */
export function rotationTables(cosines: Int16Array, sines: Int16Array, headSize: number): RotationTables {
  const shape: [number, number] = [(2 * cosines.length) / headSize, headSize];
  const each = (value: (pair: number, second: boolean) => number) =>
    tf.tensor2d(
      Float32Array.from({ length: 2 * cosines.length }, (_, i) => value(i >> 1, (i & 1) === 1)),
      shape,
    );
  return {
    cosines: each((pair) => cosines[pair]),
    sines: each((pair, second) => (second ? sines[pair] : -sines[pair])),
  };
}

/**
 * y = clip(roundShift(rotation of roundShift(sums · multiplier, shift), 21)).
 * @param sums - [B · T, heads · headSize], windows one after another
 */
export function rotate(
  sums: tf.Tensor2D,
  { multiplier, shift }: Rescaling,
  { cosines, sines }: RotationTables,
): tf.Tensor2D {
  return withGradient<tf.Tensor2D, [tf.Tensor2D]>(
    [sums],
    () => {
      const inputs = { sums, cosines, sines };
      const fused = runFused<tf.Tensor2D>(FUSED.rotate, inputs, { multiplier, shift });
      if (fused) return { value: fused, saved: [fused] };
      const value = tf.tidy(() => {
        const fine = tf.cast(rescaled(sums, { multiplier, shift }), 'float32') as tf.Tensor2D;
        const turned = tf.cast(turn(fine, cosines, sines), 'int32');
        return clipped(roundShift(turned, ROTATION_BITS + FINE_BITS), ACTIVATION_LIMIT);
      });
      return { value, saved: [value] };
    },
    (dy, y) => {
      const factor = multiplier / 2 ** (shift + ROTATION_BITS + FINE_BITS);
      const fused = runFused<tf.Tensor2D>(FUSED.rotateGradient, { dy, y, cosines, sines }, { factor });
      return [fused ?? tf.mul(turn(unclipped(dy, y), cosines, tf.neg(sines)), factor)];
    },
  );
}

/** Each pair (a, b) of units as (a·cos + b·s₀, b·cos + a·s₁). */
function turn(x: tf.Tensor2D, cosines: tf.Tensor2D, sines: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const [context, headSize] = cosines.shape;
    const heads = tf.reshape(x, [x.shape[0] / context, context, x.shape[1] / headSize, headSize]);
    const pairs = tf.reshape(x, [x.size / 2, 2]);
    const other = tf.reshape(tf.reverse(pairs, 1), heads.shape);
    const table = (values: tf.Tensor2D) => tf.reshape(values, [1, context, 1, headSize]);
    const turned = tf.add(tf.mul(heads, table(cosines)), tf.mul(other, table(sines)));
    return tf.reshape(turned, x.shape) as tf.Tensor2D;
  });
}
