/**
 * Rotary positions (Su et al. 2021) on queries and keys, in integers: sums are brought to seven bits finer
 * than an activation, each pair of units is turned by the Q14 tables, and rounded once.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FINER_MAX } from '../rescale/op.js';
import { ROTARY_BITS, rotaryTables } from './op.js';
import { FINER_BITS, I8_MAX } from '../../ternary/units.js';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { withGradient } from '../../backprop/gradient.js';
import { clip, rescaled, unclipped } from '../rescale/ste.js';
import type { Rescaling, SteOp } from '../ste.js';
import { roundShift } from '../../backprop/rounding.js';

/** By so many bits is what is turned finer than what comes out. */
const TURNED_BITS = ROTARY_BITS + FINER_BITS;

export const rotarySte: SteOp<'rotary'> = ({ attributes: { scale, headSize } }, at) => {
  const { length } = at;
  const tables = at.keep(`rotary ${headSize} ${length}`, () => ({ ...rotaryTensors(headSize, length) }));
  return [rotate(at.input(0), at.rescaling(scale), tables)];
};

/** The rotation of every position as tensors. */
export interface RotaryTensors {
  /** [T, headSize] integers in float32: the cosine of each pair, twice. */
  readonly cosines: tf.Tensor2D;
  /** [T, headSize]: −sine for the first of a pair, sine for the second. */
  readonly sines: tf.Tensor2D;
}

/** The tables of a head size on the device, for positions 0…context − 1. */
export function rotaryTensors(headSize: number, context: number): RotaryTensors {
  const { cosines, sines } = rotaryTables(headSize, context);
  const each = (value: (pair: number, second: boolean) => number) =>
    tf.tensor2d(
      Float32Array.from({ length: context * headSize }, (_, i) => value(i >> 1, (i & 1) === 1)),
      [context, headSize],
    );
  return {
    cosines: each((pair) => cosines[pair]),
    sines: each((pair, second) => (second ? sines[pair] : -sines[pair])),
  };
}

/**
 * Sums of queries or keys as activations, ±127, turned by their positions.
 * @param sums - [B · T, heads · headSize], windows one after another
 */
export function rotate(sums: tf.Tensor2D, scale: Rescaling, { cosines, sines }: RotaryTensors): tf.Tensor2D {
  const { multiplier, shift } = scale;
  return withGradient<tf.Tensor2D, [tf.Tensor2D]>(
    [sums],
    () => {
      const inputs = { sums, cosines, sines };
      const fused = runFused<tf.Tensor2D>(FUSED.rotate, inputs, { multiplier, shift });
      if (fused) return { value: fused, saved: [fused] };
      const value = tf.tidy(() => {
        const finer = clip(rescaled(sums, scale), FINER_MAX) as tf.Tensor2D;
        const turned = turn(finer, { cosines: tf.cast(cosines, 'int32'), sines: tf.cast(sines, 'int32') });
        return tf.cast(clip(roundShift(turned, TURNED_BITS), I8_MAX), 'float32') as tf.Tensor2D;
      });
      return { value, saved: [value] };
    },
    (dy, y) => {
      const factor = multiplier / 2 ** (shift + TURNED_BITS);
      const fused = runFused<tf.Tensor2D>(FUSED.rotateGradient, { dy, y, cosines, sines }, { factor });
      return [fused ?? tf.mul(turn(unclipped(dy, y, I8_MAX), { cosines, sines: tf.neg(sines) }), factor)];
    },
  );
}

/** Each pair (a, b) of units as (a·cos + b·s₀, b·cos + a·s₁). */
function turn(x: tf.Tensor2D, { cosines, sines }: RotaryTensors): tf.Tensor2D {
  return tf.tidy(() => {
    const [context, headSize] = cosines.shape;
    const [rows, units] = x.shape;
    const split = [rows / context, context, units / headSize, headSize];
    const other = tf.reverse(tf.reshape(x, [x.size / 2, 2]), 1);
    const table = (values: tf.Tensor2D) => tf.reshape(values, [1, context, 1, headSize]);
    const straight = tf.mul(tf.reshape(x, split), table(cosines));
    return tf.reshape(tf.add(straight, tf.mul(tf.reshape(other, split), table(sines))), x.shape);
  });
}
