/** Sums in another unit, by a mantissa and an exponent out of the model's scales. */

import { roundShift } from '../../ternary/rounding.js';
import { clipI8, FINER_BITS, I8_MAX, rescale } from '../../ternary/units.js';
import { type OpSpec, requireBelow } from '../op.js';

/** The largest value before it is rotated or rounded: ±2^14, which is more than what i8 can hold after it. */
export const FINER_MAX = 2 ** 14;

/** ±FINER_MAX. */
export function clipFiner(value: number): number {
  return Math.max(-FINER_MAX, Math.min(FINER_MAX, value));
}

/** Mantissa and exponent number `scale`, of a tensor of scales. */
export function scaleAt(scales: Int8Array, scale: number): [mantissa: number, exponent: number] {
  return [scales[2 * scale], scales[2 * scale + 1]];
}

/** @throws {RangeError} when a sum times a mantissa may leave 31 bits */
export function requireScalable(limit: number): void {
  requireBelow('sums to be rescaled', limit * I8_MAX, 2 ** 31 - 2 ** 29);
}

export const rescaleOp: OpSpec<'rescale'> = {
  bound({ attributes: { to } }, [limit]) {
    requireScalable(limit);
    return [to === 'i32' ? limit * I8_MAX : I8_MAX];
  },

  run({ attributes: { scale, to } }, at): void {
    const sums = at.input(0);
    const out = at.output(0);
    const [mantissa, exponent] = scaleAt(at.tensor(0), scale);
    for (let i = 0; i < sums.length; i++) {
      const value = rescale(sums[i], mantissa, exponent);
      if (to === 'i32') out[i] = value;
      else out[i] = clipI8(to === 'i8' ? value : roundShift(clipFiner(value), FINER_BITS));
    }
  },
};
