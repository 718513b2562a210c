/**
 * The integer network's roundings on TensorFlow.js int32 tensors: exact on every backend,
 * half away from zero, as src/ternary/rounding.ts defines them.
 */

import * as tf from '@tensorflow/tfjs-core';

/** −1, 0 or 1 of each value. */
export function signOf(value: tf.Tensor): tf.Tensor {
  return tf.sub(tf.cast(tf.greater(value, ZERO()), 'int32'), tf.cast(tf.less(value, ZERO()), 'int32'));
}

const ZERO = () => tf.scalar(0, 'int32');

/** |value|; tfjs's own `abs` of int32 is not exact everywhere. */
export function magnitude(value: tf.Tensor): tf.Tensor {
  return tf.maximum(value, tf.sub(ZERO(), value));
}

/**
 * ⌊numerator / divisor⌋ of int32, numerator ≥ 0 and divisor > 0. Backends divide int32 in float32: the quotient is
 * off by its rounding, and what it leaves says by how much. Products and differences are exact but on webgpu, which
 * has kernels of its own (kernels/webgpu.ts).
 */
export function floorQuotient(numerator: tf.Tensor, divisor: tf.Tensor): tf.Tensor {
  const rest = (quotient: tf.Tensor) => tf.sub(numerator, tf.mul(quotient, divisor));
  const near = tf.floorDiv(numerator, divisor);
  const nearer = tf.add(near, tf.floorDiv(rest(near), divisor));
  const left = rest(nearer);
  const more = tf.cast(tf.greaterEqual(left, divisor), 'int32');
  return tf.sub(tf.add(nearer, more), tf.cast(tf.less(left, ZERO()), 'int32'));
}

/**
 * Integer quotient rounded half away from zero, by a tensor of positive integers that broadcasts.
 * @param numerator - int32, |numerator| + divisor/2 < 2^31
 */
export function roundDiv(numerator: tf.Tensor, divisor: tf.Tensor): tf.Tensor {
  const half = floorQuotient(divisor, tf.scalar(2, 'int32'));
  return tf.mul(signOf(numerator), floorQuotient(tf.add(magnitude(numerator), half), divisor));
}

/** Division by 2^shift, rounded half away from zero; int32. */
export function roundShift(value: tf.Tensor, shift: number): tf.Tensor {
  return shift === 0 ? value : roundDiv(value, tf.scalar(2 ** shift, 'int32'));
}
