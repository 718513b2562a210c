/**
 * The hidden activations of the gated feed-forward (Shazeer 2020): SiLU of the gate, by a table, times
 * the up projection; rounded and clipped.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../kernels/fused.js';
import { withGradient } from './gradient.js';
import { ACTIVATION_LIMIT, clipped, unclipped } from './requantize.js';
import { roundShift } from './rounding.js';

/** SiLU as tensors. */
export interface SiluTables {
  /** [255] integers in float32, of the gates −127…127. */
  readonly values: tf.Tensor1D;
  /** [255], the derivative of a value by its gate. */
  readonly slopes: tf.Tensor1D;
}

/**
 * The tables on the device.
 * @param values - [255]
 * @param gateUnit - what a gate of 1 stands for
 * @param valueUnit - what a value of 1 stands for
 */
export function siluTables(values: Int16Array, gateUnit: number, valueUnit: number): SiluTables {
  const slopes = Float32Array.from({ length: 2 * ACTIVATION_LIMIT + 1 }, (_, i) => {
    const x = (i - ACTIVATION_LIMIT) * gateUnit;
    const sigmoid = 1 / (1 + Math.exp(-x));
    return ((sigmoid + x * sigmoid * (1 - sigmoid)) * gateUnit) / valueUnit;
  });
  return { values: tf.tensor1d(Float32Array.from(values)), slopes: tf.tensor1d(slopes) };
}

/**
 * hidden = clip(roundShift(SILU[gate] · up, shift)), all [R, F].
 * @param gate - −127…127
 * @param up - −127…127
 */
export function gated(
  gate: tf.Tensor2D,
  up: tf.Tensor2D,
  { values, slopes }: SiluTables,
  shift: number,
): tf.Tensor2D {
  return withGradient<tf.Tensor2D, [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D]>(
    [gate, up],
    () => {
      const value =
        runFused<tf.Tensor2D>(FUSED.gated, { gate, up, values }, { shift }) ??
        tf.tidy(() => {
          const product = tf.mul(ofGate(values, gate), up);
          return clipped(roundShift(tf.cast(product, 'int32'), shift), ACTIVATION_LIMIT);
        });
      return { value, saved: [value, gate, up] };
    },
    (dhidden, hidden, g, u) => {
      const scale = 1 / 2 ** shift;
      const inputs = { dhidden, hidden, gate: g, up: u, values, slopes };
      const fused = runFused<tf.Tensor[]>(FUSED.gatedGradient, inputs, { scale });
      if (fused) return fused;
      const d = tf.mul(unclipped(dhidden, hidden), scale);
      return [tf.mul(tf.mul(d, ofGate(slopes, g)), u), tf.mul(d, ofGate(values, g))];
    },
  );
}

/** Entries of a table by gates. */
function ofGate(table: tf.Tensor1D, gate: tf.Tensor2D): tf.Tensor {
  return tf.gather(table, tf.cast(tf.add(gate, ACTIVATION_LIMIT), 'int32'));
}
