/**
 * The hidden activations of the gated feed-forward (Shazeer 2020): SiLU of the gate, by a table, times
 * the up projection; rounded and clipped.
 */

import * as tf from '@tensorflow/tfjs-core';
import { SILU, SILU_BITS } from '../../ternary/silu.js';
import { GATE_BITS, HIDDEN_BITS, I8_MAX } from '../../ternary/transformer.js';
import { FUSED, runFused } from '../kernels/fused.js';
import { withGradient } from './gradient.js';
import { clip, unclipped } from './requantize.js';
import { roundShift } from './rounding.js';

/** SiLU as tensors. */
export interface SiluTensors {
  /** [255] integers in float32, of the gates −127…127. */
  readonly values: tf.Tensor1D;
  /** [255], the derivative of a value by its gate. */
  readonly slopes: tf.Tensor1D;
}

/** The tables on the device. */
export function siluTensors(): SiluTensors {
  const slopes = Float32Array.from({ length: 2 * I8_MAX + 1 }, (_, i) => {
    const x = (i - I8_MAX) / 2 ** GATE_BITS;
    const sigmoid = 1 / (1 + Math.exp(-x));
    return (sigmoid + x * sigmoid * (1 - sigmoid)) * 2 ** (SILU_BITS - GATE_BITS);
  });
  return { values: tf.tensor1d(Float32Array.from(SILU)), slopes: tf.tensor1d(slopes) };
}

/** By so many bits is a product of the table and `up` finer than what comes out. */
const SHIFT = SILU_BITS + GATE_BITS - HIDDEN_BITS;

/**
 * hidden = clip(roundShift(SILU[gate] · up, …)), all [R, F] of activations, ±127.
 */
export function gated(gate: tf.Tensor2D, up: tf.Tensor2D, { values, slopes }: SiluTensors): tf.Tensor2D {
  return withGradient<tf.Tensor2D, [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D]>(
    [gate, up],
    () => {
      const value =
        runFused<tf.Tensor2D>(FUSED.gated, { gate, up, values }, { scale: 1 / 2 ** SHIFT }) ??
        tf.tidy(() => {
          const product = tf.mul(ofGate(values, gate), up);
          const hidden = clip(roundShift(tf.cast(product, 'int32'), SHIFT), I8_MAX);
          return tf.cast(hidden, 'float32') as tf.Tensor2D;
        });
      return { value, saved: [value, gate, up] };
    },
    (dhidden, hidden, g, u) => {
      const scale = 1 / 2 ** SHIFT;
      const inputs = { dhidden, hidden, gate: g, up: u, values, slopes };
      const fused = runFused<tf.Tensor[]>(FUSED.gatedGradient, inputs, { scale });
      if (fused) return fused;
      const d = tf.mul(unclipped(dhidden, hidden, I8_MAX), scale);
      return [tf.mul(tf.mul(d, ofGate(slopes, g)), u), tf.mul(d, ofGate(values, g))];
    },
  );
}

/** Entries of a table by gates. */
function ofGate(table: tf.Tensor1D, gate: tf.Tensor2D): tf.Tensor {
  return tf.gather(table, tf.cast(tf.add(gate, I8_MAX), 'int32'));
}
