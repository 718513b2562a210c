/**
 * Rotary positions in fixed point: elements 2i and 2i + 1 of a head are turned by position · 10000^(−2i/headSize),
 * as llama.cpp has it. Tables of cosines and sines have 14 fraction bits and are made with + − × ÷ alone.
 */

import { roundShift } from '../../ternary/rounding.js';
import { cosSin, exp } from '../../ternary/series.js';
import { clipI8, FINER_BITS, I8_MAX, rescale } from '../../ternary/units.js';
import { type OpSpec, rowOf } from '../op.js';
import { clipFiner, requireScalable, scaleAt } from '../rescale/op.js';

/** Fraction bits of the tables. */
export const ROTARY_BITS = 14;
const LOG_THETA = 9.210340371976184; // ln 10000

/** [context, headSize / 2] cosines and sines in 2⁻¹⁴. */
export interface RotaryTables {
  readonly cosines: Int16Array;
  readonly sines: Int16Array;
}

/** The tables of a head size, for positions 0…context − 1. */
export function rotaryTables(headSize: number, context: number): RotaryTables {
  const pairs = headSize / 2;
  const cosines = new Int16Array(context * pairs);
  const sines = new Int16Array(context * pairs);
  for (let pair = 0; pair < pairs; pair++) {
    const [stepCosine, stepSine] = cosSin(exp((-LOG_THETA * pair) / pairs));
    let cosine = 1;
    let sine = 0;
    for (let position = 0; position < context; position++) {
      cosines[position * pairs + pair] = Math.floor(cosine * 2 ** ROTARY_BITS + 0.5);
      sines[position * pairs + pair] = Math.floor(sine * 2 ** ROTARY_BITS + 0.5);
      [cosine, sine] = [cosine * stepCosine - sine * stepSine, cosine * stepSine + sine * stepCosine];
    }
  }
  return { cosines, sines };
}

/**
 * Turns the heads of a query or key and rounds them to i8, once. |a·c − b·s| ≤ 2·2^14·2^14 = 2^29.
 * @param finer - [heads · headSize], clipped to ±2^14
 * @param q - receives the i8 values
 */
export function rotate(
  finer: Int32Array,
  headSize: number,
  position: number,
  { cosines, sines }: RotaryTables,
  q: Int8Array,
): void {
  const pairs = headSize / 2;
  for (let even = 0; even < finer.length; even += 2) {
    const at = position * pairs + ((even >> 1) % pairs);
    const a = finer[even];
    const b = finer[even + 1];
    q[even] = clipI8(roundShift(a * cosines[at] - b * sines[at], ROTARY_BITS + FINER_BITS));
    q[even + 1] = clipI8(roundShift(a * sines[at] + b * cosines[at], ROTARY_BITS + FINER_BITS));
  }
}

export const rotary: OpSpec<'rotary'> = {
  bound(_, [limit]) {
    requireScalable(limit);
    return [I8_MAX];
  },

  run({ attributes: { scale, headSize, context } }, at): void {
    const sums = at.input(0);
    const out = at.output<Int8Array>(0);
    const tables = at.keep(() => rotaryTables(headSize, context));
    const [mantissa, exponent] = scaleAt(at.tensor(0), scale);
    const width = sums.length / at.rows;
    for (let row = 0; row < at.rows; row++) {
      const finer = rowOf(sums, row, width).map((sum) => clipFiner(rescale(sum, mantissa, exponent)));
      rotate(finer, headSize, at.position + row, tables, rowOf(out, row, width));
    }
  },
};
