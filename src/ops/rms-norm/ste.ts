/**
 * Normalization of the residual stream by its root mean square (src/ops/rms-norm/op.ts), to
 * the bit, with the gradient of the real one where activations are not clipped.
 */

import * as tf from '@tensorflow/tfjs-core';
import { RMS_RECIPROCAL_BITS, rmsGain, rmsValueBits } from './op.js';
import type { SteOp } from '../ste.js';
import { I8_MAX, NORM_BITS } from '../../ternary/units.js';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { withGradient } from '../../backprop/gradient.js';
import { clip, unclipped } from '../rescale/ste.js';
import { magnitude, roundDiv, roundShift, signOf } from '../../backprop/rounding.js';

/** The activation of a value of one root mean square. */
const UNIT = 2 ** NORM_BITS;
/** A value of the stream has so many bits at most. */
const STREAM_BITS = 23;

export const rmsNormSte: SteOp<'rms-norm'> = (_, at) => [rmsNorm(at.input(0))];

/**
 * n[R, W] of the stream x[R, W], ±127.
 *
 * With r = rms(x) and dy = dn where n is not clipped: dx = UNIT/r · (dy − x · Σ(dy·x)/(W·r²)).
 */
export function rmsNorm(x: tf.Tensor2D): tf.Tensor2D {
  return withGradient<tf.Tensor2D, [tf.Tensor2D, tf.Tensor2D]>(
    [x],
    () => {
      const [, width] = x.shape;
      const attributes = { gain: rmsGain(width), bits: rmsValueBits(width) };
      const value =
        runFused<tf.Tensor2D>(FUSED.rmsNorm, { x }, attributes) ?? tf.tidy(() => forward(x, attributes));
      return { value, saved: [x, value] };
    },
    (dn, stream, n) => [
      runFused<tf.Tensor2D>(FUSED.rmsNormGradient, { dn, x: stream, n }, { unit: UNIT }) ??
        tf.tidy(() => backward(dn, stream, n)),
    ],
  );
}

function forward(x: tf.Tensor2D, { gain, bits }: { gain: number; bits: number }): tf.Tensor2D {
  const int = (value: number) => tf.scalar(value, 'int32');
  const stream = tf.cast(x, 'int32');
  const size = magnitude(stream);
  const largest = tf.max(size, 1, true);
  // The shift as two factors: 2^left, and a division by 2^right.
  let right = tf.zerosLike(largest);
  for (let bit = bits; bit < STREAM_BITS; bit++) right = tf.add(right, reaches(largest, bit));
  let left = int(bits) as tf.Tensor;
  for (let bit = 0; bit < bits; bit++) left = tf.sub(left, reaches(largest, bit));
  const powers = tf.tensor1d(
    Array.from({ length: STREAM_BITS }, (_, i) => 2 ** i),
    'int32',
  );
  const divisor = tf.gather(powers, right);
  const shifted = roundDiv(tf.mul(size, tf.gather(powers, left)), divisor);
  const squares = tf.sum(tf.mul(shifted, shifted), 1, true);
  const reciprocal = roundDiv(int(gain * 2 ** RMS_RECIPROCAL_BITS), tf.maximum(rootOf(squares), int(1)));
  const q = roundShift(tf.mul(shifted, reciprocal), RMS_RECIPROCAL_BITS);
  return tf.cast(clip(tf.mul(signOf(stream), q), I8_MAX), 'float32') as tf.Tensor2D;
}

/** 1 where a value is at least 2^bit, else 0. */
function reaches(values: tf.Tensor, bit: number): tf.Tensor {
  return tf.cast(tf.greaterEqual(values, tf.scalar(2 ** bit, 'int32')), 'int32');
}

/** √value rounded, of int32 up to 2^30: the root in float32 is off by one at most. */
function rootOf(values: tf.Tensor): tf.Tensor {
  const near = tf.cast(tf.floor(tf.add(tf.sqrt(tf.cast(values, 'float32')), 0.5)), 'int32');
  // r is right where r² − r < value ≤ r² + r.
  const over = tf.greaterEqual(tf.sub(tf.mul(near, near), near), values);
  const under = tf.greater(values, tf.add(tf.mul(near, near), near));
  return tf.add(tf.sub(near, tf.cast(over, 'int32')), tf.cast(under, 'int32'));
}

function backward(dn: tf.Tensor2D, x: tf.Tensor2D, n: tf.Tensor2D): tf.Tensor2D {
  const dy = unclipped(dn, n, I8_MAX);
  const square = tf.maximum(tf.sum(tf.mul(x, x), 1, true), 1); // W · r²
  const factor = tf.mul(tf.sqrt(tf.div(x.shape[1], square)), UNIT);
  const share = tf.div(tf.sum(tf.mul(dy, x), 1, true), square);
  return tf.mul(factor, tf.sub(dy, tf.mul(x, share))) as tf.Tensor2D;
}
