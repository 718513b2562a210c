/**
 * What a transformer does to the sums of a product (docs/transformer.md): they are brought to the unit of
 * where they go by the matrix's scale, rounded, and clipped to an activation or added to the residual stream.
 * Exact integers in float32; the gradient passes through roundings and stops where something is clipped.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FINER_MAX } from './op.js';
import { FINER_BITS, I8_MAX } from '../../ternary/units.js';
import type { Rescaling, SteOp } from '../ste.js';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { withGradient } from '../../backprop/gradient.js';
import { roundShift } from '../../backprop/rounding.js';

export const rescaleSte: SteOp<'rescale'> = ({ attributes: { scale, to } }, at) => {
  const sums = at.input(0);
  switch (to) {
    case 'i32':
      return [sums]; // the embedding has rescaled its table
    case 'i8':
      return [requantize(sums, at.rescaling(scale))];
    case 'finer i8':
      return [requantizeFiner(sums, at.rescaling(scale))];
    default:
      return to satisfies never;
  }
};

/** The scale of a mantissa and an exponent, as `rescale` of src/ternary/units.ts takes it. */
export function rescalingOf(mantissa: number, exponent: number): Rescaling {
  return exponent > 30 ? { multiplier: 0, shift: 1 } : { multiplier: mantissa, shift: exponent };
}

/** Sums [R, M] as activations, ±127. */
export function requantize(sums: tf.Tensor2D, scale: Rescaling): tf.Tensor2D {
  return rounded(sums, scale, { before: 0, after: 0, limit: I8_MAX });
}

/** Sums [R, M] as values of attention, ±127: rounded to a finer unit first, as queries and keys are. */
export function requantizeFiner(sums: tf.Tensor2D, scale: Rescaling): tf.Tensor2D {
  return rounded(sums, scale, { before: 0, after: FINER_BITS, limit: I8_MAX });
}

/** Roundings beside that of the scale, and the clip at the end. */
export type Roundings = { readonly before: number; readonly after: number; readonly limit: number };

export function rounded(
  sums: tf.Tensor2D,
  scale: Rescaling,
  { before, after, limit }: Roundings,
): tf.Tensor2D {
  const { multiplier, shift } = scale;
  return withGradient<tf.Tensor2D, [tf.Tensor2D]>(
    [sums],
    () => {
      const attributes = { multiplier, shift, before, after, limit };
      const value =
        runFused<tf.Tensor2D>(FUSED.requantize, { sums }, attributes) ??
        tf.tidy(() => {
          let v = rescaled(roundShift(tf.cast(sums, 'int32'), before), scale);
          if (after > 0) v = roundShift(clip(v, FINER_MAX), after);
          return tf.cast(clip(v, limit), 'float32') as tf.Tensor2D;
        });
      return { value, saved: [value] };
    },
    (dy, y) => {
      const factor = multiplier / 2 ** (before + shift + after);
      return [
        runFused<tf.Tensor2D>(FUSED.requantizeGradient, { dy, y }, { factor, limit }) ??
          tf.mul(unclipped(dy, y, limit), factor),
      ];
    },
  );
}

/** roundShift(sums · multiplier, shift), int32. */
export function rescaled(sums: tf.Tensor, { multiplier, shift }: Rescaling): tf.Tensor {
  return roundShift(tf.mul(tf.cast(sums, 'int32'), tf.scalar(multiplier, 'int32')), shift);
}

/** int32 within ±limit. */
export function clip(values: tf.Tensor, limit: number): tf.Tensor {
  return tf.maximum(tf.minimum(values, tf.scalar(limit, 'int32')), tf.scalar(-limit, 'int32'));
}

/** dy where y is not clipped, else 0. */
export function unclipped<Value extends tf.Tensor>(dy: Value, y: tf.Tensor, limit: number): Value {
  return tf.mul(dy, tf.cast(tf.less(tf.abs(y), limit), 'float32'));
}
