/**
 * Root-mean-square normalization of the residual stream to i8, without 64-bit integers: values are shifted until
 * their squares sum to just below 2^30, and an integer square root does the rest.
 */

import { roundDiv, roundShift } from '../../ternary/rounding.js';
import { type OpSpec, requireBelow, rowOf } from '../op.js';
import { ceilLog2 } from '../../ternary/rounding.js';
import { clipI8, I8_MAX, NORM_BITS } from '../../ternary/units.js';

/** Fraction bits of the reciprocal: gain ≤ 2^11, and |y| is never above the root. */
export const RMS_RECIPROCAL_BITS = 19;

/** What a value of root mean square 1 becomes, times √W: 2^5·√W, rounded; ≤ 2^11. */
export function rmsGain(width: number): number {
  return Math.floor(Math.sqrt(width) * 2 ** NORM_BITS + 0.5);
}

/** Bits that a shifted value may have: W of their squares stay below 2^30. */
export function rmsValueBits(width: number): number {
  return (30 - ceilLog2(width)) >> 1;
}

/**
 * q = clip(roundShift(y · roundDiv(gain·2^19, max(1, r)), 19)) with r = √Σy² rounded, and y = x shifted, left or
 * right, so that the largest |x| has `rmsValueBits` bits; a right shift rounds.
 * A y may round up to 2^bits: Σy² ≤ W·2^(2·bits) ≤ 2^30. |y| ≤ r, so that |y|·reciprocal ≤ gain·2^19 + r/2 < 2^31.
 * @param x - [W], |x| < 2^23
 * @param q - [W], receives the activations, one root mean square being 32
 */
export function rmsNorm(x: Int32Array, q: Int8Array): void {
  let largest = 0;
  for (const value of x) largest = Math.max(largest, Math.abs(value));
  const shift = 32 - Math.clz32(largest) - rmsValueBits(x.length);
  const shifted = (value: number) => (shift > 0 ? roundShift(value, shift) : value << -shift);
  let squares = 0;
  for (const value of x) squares += shifted(value) ** 2;
  const root = Math.floor(Math.sqrt(squares) + 0.5); // exact: no root of an integer is within 2^-18 of k + ½
  const reciprocal = roundDiv(rmsGain(x.length) * 2 ** RMS_RECIPROCAL_BITS, Math.max(1, root));
  for (let unit = 0; unit < x.length; unit++) {
    q[unit] = clipI8(roundShift(shifted(x[unit]) * reciprocal, RMS_RECIPROCAL_BITS));
  }
}

export const rmsNormOp: OpSpec<'rms-norm'> = {
  bound(_, [limit]) {
    requireBelow('the residual stream', limit, 2 ** 23);
    return [I8_MAX];
  },

  run(_, at): void {
    const x = at.input(0);
    const width = x.length / at.rows;
    for (let row = 0; row < at.rows; row++) {
      rmsNorm(rowOf(x, row, width), rowOf(at.output<Int8Array>(0), row, width));
    }
  },
};
