/**
 * What a transformer does to the sums of a product (docs/transformer.md): multiply by the tensor's
 * scale, round into the unit of where they go, and clip to an activation, or add to the residual stream.
 * Exact integers in float32; the gradient passes through roundings and stops where an activation is clipped.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../kernels/fused.js';
import { withGradient } from './gradient.js';
import { roundShift } from './rounding.js';

/** A scale between two units: value = roundShift(sum · multiplier, shift). */
export interface Rescaling {
  readonly multiplier: number;
  readonly shift: number;
}

/** The largest activation of a transformer. */
export const ACTIVATION_LIMIT = 127;
/** The residual stream stays within ±(2^23 − 1), which float32 holds exactly. */
export const STREAM_LIMIT = 2 ** 23 - 1;

/** y = clip(roundShift(sums · multiplier, shift)), −127…127, of sums [R, M]. */
export function requantize(sums: tf.Tensor2D, { multiplier, shift }: Rescaling): tf.Tensor2D {
  return withGradient<tf.Tensor2D, [tf.Tensor]>(
    [sums],
    () => {
      const value =
        runFused<tf.Tensor2D>(FUSED.requantize, { sums }, { multiplier, shift }) ??
        clipped(rescaled(sums, { multiplier, shift }), ACTIVATION_LIMIT);
      return { value, saved: [value] };
    },
    (dy, y) => {
      const factor = multiplier / 2 ** shift;
      return [
        runFused(FUSED.requantizeGradient, { dy, y }, { factor }) ?? tf.mul(unclipped(dy, y), factor),
      ];
    },
  );
}

/**
 * The residual stream with a branch added: clip(x + roundShift(sums · multiplier, shift)). Its bound is out of
 * reach of what is trained, and no gradient stops there.
 * @param x - [R, W], or null at the beginning
 * @param sums - [R, W]
 */
export function addToStream(
  x: tf.Tensor2D | null,
  sums: tf.Tensor2D,
  { multiplier, shift }: Rescaling,
): tf.Tensor2D {
  const factor = multiplier / 2 ** shift;
  return withGradient<tf.Tensor2D>(
    x ? [x, sums] : [sums],
    () => {
      const inputs = x ? { x, sums } : { sums };
      const fused = runFused<tf.Tensor2D>(FUSED.addToStream, inputs, { multiplier, shift });
      if (fused) return { value: fused };
      const branch = rescaled(sums, { multiplier, shift });
      return { value: clipped(x ? tf.add(tf.cast(x, 'int32'), branch) : branch, STREAM_LIMIT) };
    },
    (dy) => (x ? [dy.clone(), tf.mul(dy, factor)] : [tf.mul(dy, factor)]),
  );
}

/** roundShift(sums · multiplier, shift), int32. */
export function rescaled(sums: tf.Tensor, { multiplier, shift }: Rescaling): tf.Tensor {
  return roundShift(tf.mul(tf.cast(sums, 'int32'), tf.scalar(multiplier, 'int32')), shift);
}

/** Within ±limit, in float32. */
export function clipped(values: tf.Tensor, limit: number): tf.Tensor2D {
  const [most, least] = [tf.scalar(limit, 'int32'), tf.scalar(-limit, 'int32')];
  return tf.cast(tf.maximum(tf.minimum(values, most), least), 'float32') as tf.Tensor2D;
}

/** dy where the activation y is not clipped, else 0. */
export function unclipped<Value extends tf.Tensor>(dy: Value, y: tf.Tensor): Value {
  return tf.mul(dy, tf.cast(tf.less(tf.abs(y), ACTIVATION_LIMIT), 'float32'));
}
