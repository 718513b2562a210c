/**
 * `normalize` + ReLU of the integer network (src/ops/normalize/op.ts), to the bit, with a
 * straight-through gradient: roundings count as identities, clipping stops the gradient, and
 * mean and mean absolute value are differentiated.
 */

import * as tf from '@tensorflow/tfjs-core';
import { ACTIVATION_MAX } from '../../ternary/units.js';
import type { SteOp } from '../ste.js';
import { RECIPROCAL_BITS } from './op.js';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { withGradient } from '../../backprop/gradient.js';
import { floorQuotient, magnitude, roundDiv, roundShift } from '../../backprop/rounding.js';

export const normalizeSte: SteOp<'normalize'> = ({ attributes }, at) => [
  normalizeRelu(at.input(0), attributes),
];

/** What `normalize` needs of a network. */
export interface Normalization {
  readonly centred: boolean;
  /** 1…127. */
  readonly gain: number;
}

const int = (value: number) => tf.scalar(value, 'int32');

/**
 * q[B, M] = normalize(z[B, M]), integers 0…127 in float32.
 *
 * With c = z − mean, s = mean|c| and y = gain·c/s inside 0…127:
 * dc = gain/s · (dy − sign(c) · Σ(dy·c)/(s·M)), and dz = dc − mean(dc) where centred.
 */
export function normalizeRelu(z: tf.Tensor2D, options: Normalization): tf.Tensor2D {
  return withGradient<tf.Tensor2D, [tf.Tensor2D, tf.Tensor2D]>(
    [z],
    () => {
      const value = forward(z, options);
      return { value, saved: [z, value] };
    },
    (dq, before, after) => [backward(dq, before, after, options)],
  );
}

function forward(z: tf.Tensor2D, { centred, gain }: Normalization): tf.Tensor2D {
  const fused = runFused<tf.Tensor2D>(FUSED.normalize, { z }, { centred, gain });
  if (fused) return fused;
  return tf.tidy(() => {
    const { deviation, meanAbs } = scaleOf(z, centred);
    const reciprocal = roundDiv(int(gain * 2 ** RECIPROCAL_BITS), meanAbs);
    const limit = tf.add(floorQuotient(tf.mul(meanAbs, int(ACTIVATION_MAX)), int(gain)), int(1));
    const clipped = tf.minimum(tf.maximum(deviation, int(0)), limit);
    const q = roundShift(tf.mul(clipped, reciprocal), RECIPROCAL_BITS);
    return tf.cast(tf.minimum(q, int(ACTIVATION_MAX)), 'float32') as tf.Tensor2D;
  });
}

function backward(
  dq: tf.Tensor2D,
  z: tf.Tensor2D,
  q: tf.Tensor2D,
  { centred, gain }: Normalization,
): tf.Tensor2D {
  const fused = runFused<tf.Tensor2D>(FUSED.normalizeGradient, { dq, z, q }, { centred, gain });
  if (fused) return fused;
  return tf.tidy(() => {
    const scale = scaleOf(z, centred);
    const c = tf.cast(scale.deviation, 'float32');
    const s = tf.cast(scale.meanAbs, 'float32');
    const inside = tf.logicalAnd(tf.greater(c, 0), tf.less(q, ACTIVATION_MAX));
    const dy = tf.mul(dq, tf.cast(inside, 'float32'));
    const share = tf.div(tf.mean(tf.mul(dy, c), 1, true), s);
    const dc = tf.mul(tf.div(gain, s), tf.sub(dy, tf.mul(tf.sign(c), share)));
    return (centred ? tf.sub(dc, tf.mean(dc, 1, true)) : dc) as tf.Tensor2D;
  });
}

/** z − mean and the mean absolute value, int32, as `scaleOf` of src/ops/normalize/op.ts. */
function scaleOf(z: tf.Tensor2D, centred: boolean): { deviation: tf.Tensor; meanAbs: tf.Tensor } {
  const sums = tf.cast(z, 'int32');
  const units = int(z.shape[1]);
  const deviation = centred ? tf.sub(sums, roundDiv(tf.sum(sums, 1, true), units)) : sums;
  const absolute = tf.sum(magnitude(deviation), 1, true);
  return { deviation, meanAbs: tf.maximum(roundDiv(absolute, units), int(1)) };
}
