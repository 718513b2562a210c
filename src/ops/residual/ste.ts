/** The residual stream with a branch added, in TensorFlow.js. */

import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../../backprop/gradient.js';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { RESIDUAL_MAX } from '../../ternary/units.js';
import { clip, rescaled } from '../rescale/ste.js';
import type { Rescaling, SteOp } from '../ste.js';

export const residualSte: SteOp<'residual'> = ({ inputs, attributes: { scale } }, at) => {
  const units = inputs.length > 2 ? at.input(2) : undefined;
  return [addToStream(at.input(0), at.input(1), at.rescaling(scale), units)];
};

/**
 * The residual stream with a branch added. Its bound is out of reach of what is trained, and no gradient
 * stops there.
 * @param x - [R, W], or null where the stream begins
 * @param sums - [R, W]
 * @param units - [R, 1], powers of two that rows of sums are coarser by; constants to the gradient
 */
export function addToStream(
  x: tf.Tensor2D | null,
  sums: tf.Tensor2D,
  scale: Rescaling,
  units?: tf.Tensor2D,
): tf.Tensor2D {
  const { multiplier, shift } = scale;
  const factor = multiplier / 2 ** shift;
  return withGradient<tf.Tensor2D, tf.Tensor2D[]>(
    x ? [x, sums] : [sums],
    () => {
      const inputs = { ...(x ? { x } : {}), sums, ...(units ? { units } : {}) };
      const fused = runFused<tf.Tensor2D>(FUSED.addToStream, inputs, { multiplier, shift });
      const saved = units ? [units] : [];
      if (fused) return { value: fused, saved };
      const branch = rescaled(units ? tf.mul(sums, units) : sums, scale);
      const sum = clip(x ? tf.add(tf.cast(x, 'int32'), branch) : branch, RESIDUAL_MAX);
      return { value: tf.cast(sum, 'float32') as tf.Tensor2D, saved };
    },
    (dy, of) => {
      const scaled = tf.mul(dy, units ? tf.mul(of, factor) : factor);
      return x ? [dy.clone(), scaled] : [scaled];
    },
  );
}
