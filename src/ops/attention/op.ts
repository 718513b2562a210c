/**
 * One head's attention of one position in integers: scores of i8 queries and keys, a softmax to the base 2 by a
 * table, and the mean of the values under it, divided once.
 */

import { roundDiv, roundShift } from '../../ternary/rounding.js';
import { ceilLog2 } from '../../ternary/rounding.js';
import { clipI8, HEAD_BITS, I8_MAX, MIX_BITS } from '../../ternary/units.js';
import { type OpSpec, requireBelow, rowOf } from '../op.js';

/** Fraction bits of the largest weight up to a context of 512; one less each time that it doubles. */
export const SOFTMAX_BITS = 14;
/** Fraction bits of the factor that turns scores into exponents. */
export const EXPONENT_BITS = 14;
/** Fraction bits of an exponent of 2. */
export const OCTAVE_BITS = 8;
const LOG2_E = 1.4426950408889634;

/** SOFTMAX[i] = round(2^14 · 2^(−i/256)), i = 0…255. */
export const SOFTMAX = softmaxTable();

/** What a model's head size and context make of the softmax. */
export interface SoftmaxScale {
  /** 1/256 octaves in 2⁻¹⁴, for each unit of a score: log₂e/√headSize · 2^(8 − 2·HEAD_BITS), rounded. */
  readonly factor: number;
  /** A score that is this much below the largest has no weight, and neither has one that is further below. */
  readonly range: number;
  /** By how many bits weights are shifted, so that the sum of weights times values stays below 2^31. */
  readonly shift: number;
}

/** @example softmaxScale(32, 64) // ({ factor: 4178, range: 15059, shift: 0 }) */
export function softmaxScale(headSize: number, context: number): SoftmaxScale {
  const octaves = LOG2_E / Math.sqrt(headSize);
  const factor = Math.floor(octaves * 2 ** (EXPONENT_BITS + OCTAVE_BITS - 2 * HEAD_BITS) + 0.5);
  const range = Math.ceil(((SOFTMAX_BITS + 1) * 2 ** (OCTAVE_BITS + EXPONENT_BITS)) / factor);
  return { factor, range, shift: Math.max(0, ceilLog2(context) - 9) };
}

/**
 * The weight of a score: 2^14 for the largest.
 * @param below - how far the score is below the largest, ≥ 0
 */
export function softmaxWeight(below: number, { factor, range, shift }: SoftmaxScale): number {
  const exponent = roundShift(Math.min(below, range) * factor, EXPONENT_BITS); // product ≤ 15·2^22 + factor < 2^26
  const octaves = (exponent >> OCTAVE_BITS) + shift;
  return octaves > SOFTMAX_BITS ? 0 : SOFTMAX[exponent & 255] >> octaves;
}

/**
 * Mixes the values of one head for one position.
 * |Σ weight·value · 2| ≤ 2·127·2^14·512 < 2^31 − 2^24, by the shift at every context.
 * @param query - [headSize]
 * @param keys - [positions, stride] of i8, this head's at `offset`
 * @param values - as keys
 * @param mix - [headSize], receives Σ weight·value / Σ weight in 2^−MIX_BITS
 */
export function attend(
  query: Int8Array,
  keys: Int8Array,
  values: Int8Array,
  { positions, stride, offset }: { positions: number; stride: number; offset: number },
  scale: SoftmaxScale,
  mix: Int8Array,
): void {
  const scores = new Int32Array(positions);
  for (let position = 0; position < positions; position++) {
    let score = 0; // |score| ≤ 127²·headSize < 2^26
    for (let i = 0; i < query.length; i++) score += query[i] * keys[position * stride + offset + i];
    scores[position] = score;
  }
  const largest = scores.reduce((a, b) => Math.max(a, b));
  const weights = scores.map((score) => softmaxWeight(largest - score, scale));
  const total = weights.reduce((a, b) => a + b);
  for (let i = 0; i < query.length; i++) {
    let sum = 0;
    for (let position = 0; position < positions; position++) {
      sum += weights[position] * values[position * stride + offset + i];
    }
    mix[i] = clipI8(roundDiv(sum * 2 ** (MIX_BITS - HEAD_BITS), total));
  }
}

function softmaxTable(): Int16Array {
  let root = 0.5;
  for (let halving = 0; halving < OCTAVE_BITS; halving++) root = Math.sqrt(root); // 2^(−1/256)
  const table = new Int16Array(2 ** OCTAVE_BITS);
  let power = 2 ** SOFTMAX_BITS;
  for (let i = 0; i < table.length; i++) {
    table[i] = Math.floor(power + 0.5);
    power *= root;
  }
  return table;
}

export const attention: OpSpec<'attention'> = {
  bound({ attributes: { headSize, context } }, [query, key, value]) {
    requireBelow('scores of attention', query * key * headSize);
    const { shift } = softmaxScale(headSize, context);
    requireBelow('mixes of attention', 2 * value * context * 2 ** (SOFTMAX_BITS - shift));
    return [I8_MAX];
  },

  run({ attributes: { heads, keyHeads, headSize, context } }, at): void {
    const stride = keyHeads * headSize;
    const cache = at.keep(() => ({
      scale: softmaxScale(headSize, context),
      keys: new Int8Array(context * stride),
      values: new Int8Array(context * stride),
    }));
    cache.keys.set(at.input<Int8Array>(1), at.position * stride);
    cache.values.set(at.input<Int8Array>(2), at.position * stride);
    for (let row = 0; row < at.rows; row++) {
      const query = rowOf(at.input<Int8Array>(0), row, heads * headSize);
      const mix = rowOf(at.output<Int8Array>(0), row, heads * headSize);
      for (let head = 0; head < heads; head++) {
        const offset = Math.floor((head * keyHeads) / heads) * headSize;
        const shape = { positions: at.position + row + 1, stride, offset };
        const own = rowOf(query, head, headSize);
        attend(own, cache.keys, cache.values, shape, cache.scale, rowOf(mix, head, headSize));
      }
    }
  },
};
