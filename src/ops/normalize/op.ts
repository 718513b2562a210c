/**
 * `normalize` + ReLU: the pre-activations of one example become u7 activations. L1, not RMS:
 * it needs no 64-bit integer. The scale of an example is inverted once, as a 22-bit fixed-point
 * reciprocal, so that no element needs a division on any backend.
 */

import { ACTIVATION_MAX } from '../../ternary/units.js';
import { roundDiv, roundShift } from '../../ternary/rounding.js';
import { type OpSpec, requireBelow, rowOf } from '../op.js';

/** Fraction bits of the reciprocal. */
export const RECIPROCAL_BITS = 22;

/** What `normalize` derives from one example before it touches the elements. */
export interface Scale {
  /** Rounded mean, or 0 when not centred. */
  mean: number;
  /** Rounded mean absolute value after centring, at least 1. */
  meanAbs: number;
}

/**
 * Mean and mean absolute value of one example's pre-activations.
 * @param z - [M], see the bounds in `networkOf`
 */
export function scaleOf(z: Int32Array, centred: boolean): Scale {
  let sum = 0;
  for (const value of z) sum += value;
  const mean = centred ? roundDiv(sum, z.length) : 0;
  let absolute = 0; // < 2^31 by `networkOf`
  for (const value of z) absolute += Math.abs(value - mean);
  return { mean, meanAbs: Math.max(1, roundDiv(absolute, z.length)) };
}

/**
 * q = min(127, roundShift(clamp(z − mean, 0, limit) · reciprocal, 22)) with
 * reciprocal = roundDiv(gain·2^22, meanAbs) and limit = ⌊127·meanAbs / gain⌋ + 1, the first
 * value that saturates: ReLU and clipping before the multiplication keep it below 2^31
 * ((127·s/g + 1)·(g·2^22/s + ½) ≤ 254·2^22 + 64·s/g + 1).
 * @param z - [M]
 * @param q - [M], receives the activations
 */
export function normalizeRelu(z: Int32Array, gain: number, { mean, meanAbs }: Scale, q: Uint8Array): void {
  const reciprocal = roundDiv(gain * 2 ** RECIPROCAL_BITS, meanAbs);
  const limit = Math.floor((ACTIVATION_MAX * meanAbs) / gain) + 1;
  for (let unit = 0; unit < z.length; unit++) {
    const clipped = Math.min(Math.max(z[unit] - mean, 0), limit);
    q[unit] = Math.min(ACTIVATION_MAX, roundShift(clipped * reciprocal, RECIPROCAL_BITS));
  }
}

export const normalize: OpSpec<'normalize'> = {
  bound({ attributes: { centred, gain }, inputs }, [limit], { slots }) {
    const { width } = slots[inputs[0]];
    const deviation = centred ? 2 * limit : limit;
    requireBelow('absolute sums of normalize', deviation * width + width / 2);
    if (limit > gain * 2 ** RECIPROCAL_BITS) {
      throw new RangeError(`normalize expected magnitudes up to gain · 2^${RECIPROCAL_BITS}, got ${limit}`);
    }
    requireBelow(
      'products of normalize',
      2 * ACTIVATION_MAX * 2 ** RECIPROCAL_BITS + (64 * limit) / gain + 1,
    );
    return [ACTIVATION_MAX];
  },

  run({ attributes: { centred, gain } }, at): void {
    const z = at.input(0);
    const q = at.output<Uint8Array>(0);
    const width = z.length / at.rows;
    for (let row = 0; row < at.rows; row++) {
      const sums = rowOf(z, row, width);
      normalizeRelu(sums, gain, scaleOf(sums, centred), rowOf(q, row, width));
    }
  },
};
