/**
 * The hidden activations of the gated feed-forward (Shazeer 2020): SiLU of the gate, by a table, times
 * the up projection; rounded, in the finest unit that has room for all of a row.
 */

import * as tf from '@tensorflow/tfjs-core';
import { GATED_SHIFT, SILU, SILU_BITS } from './op.js';
import type { SteOp } from '../ste.js';
import { GATE_BITS, I8_MAX } from '../../ternary/units.js';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { withGradient } from '../../backprop/gradient.js';

export const gateSte: SteOp<'gate'> = (_, at) => {
  const tables = at.keep('silu', () => ({ ...siluTensors() }));
  const [g, u] = [at.input(0), at.input(1)];
  const units = hiddenUnits(g, u, tables);
  return [gated(g, u, units, tables), units];
};

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

/** What a product of the table and `up` is in units of hidden activations at their finest. */
const SCALE = 2 ** -GATED_SHIFT;
/** Bits by which they may be coarser. */
const COARSER_MAX = 3;

/**
 * Of each row the power of two by which its hidden activations are coarser than at their finest, so that none passes
 * ±127: [R, 1]. A constant to the gradient.
 */
export function hiddenUnits(gate: tf.Tensor2D, up: tf.Tensor2D, { values }: SiluTensors): tf.Tensor2D {
  return withGradient<tf.Tensor2D>(
    [],
    () => {
      const fused = runFused<tf.Tensor2D>(FUSED.hiddenUnits, { gate, up, values }, { scale: SCALE });
      if (fused) return { value: fused };
      const most = tf.max(tf.abs(tf.mul(ofGate(values, gate), up)), 1, true);
      const steps = Array.from({ length: COARSER_MAX }, (_, coarser) =>
        tf.add(tf.cast(tf.greaterEqual(most, (I8_MAX + 0.5) * 2 ** (GATED_SHIFT + coarser)), 'float32'), 1),
      );
      return { value: steps.reduce((a, b) => tf.mul(a, b)) as tf.Tensor2D };
    },
    () => [],
  );
}

/**
 * hidden = SILU[gate] · up in the units of its rows, rounded: [R, F], ±127.
 * @param units - of `hiddenUnits`
 */
export function gated(
  gate: tf.Tensor2D,
  up: tf.Tensor2D,
  units: tf.Tensor2D,
  { values, slopes }: SiluTensors,
): tf.Tensor2D {
  return withGradient<tf.Tensor2D, [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D]>(
    [gate, up],
    () => {
      const value =
        runFused<tf.Tensor2D>(FUSED.gated, { gate, up, units, values }, { scale: SCALE }) ??
        tf.tidy(() => {
          // Exact in float32: an integer below 2^21 by a power of two.
          const product = tf.mul(tf.mul(ofGate(values, gate), up), tf.div(SCALE, units));
          return tf.mul(tf.sign(product), tf.floor(tf.add(tf.abs(product), 0.5))) as tf.Tensor2D;
        });
      return { value, saved: [gate, up, units] };
    },
    (dhidden, g, u, of) => {
      const inputs = { dhidden, gate: g, up: u, units: of, values, slopes };
      const fused = runFused<tf.Tensor[]>(FUSED.gatedGradient, inputs, { scale: SCALE });
      if (fused) return fused;
      const d = tf.mul(dhidden, tf.div(SCALE, of));
      return [tf.mul(tf.mul(d, ofGate(slopes, g)), u), tf.mul(d, ofGate(values, g))];
    },
  );
}

/** Entries of a table by gates. */
function ofGate(table: tf.Tensor1D, gate: tf.Tensor2D): tf.Tensor {
  return tf.gather(table, tf.cast(tf.add(gate, I8_MAX), 'int32'));
}
