/** Matrices of real numbers as integers: within their precision, and as near as a rule allows. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../src/errors.js';
import { exactTernary, MATRIX_QUANTIZER_NAMES, quantizeMatrix } from '../src/quantize/matrix.js';
import { PRECISIONS, VALUE_RANGES } from '../src/ternary/precision.js';
import { gaussians } from './support/gaussians.js';

describe('quantizers of matrices', () => {
  const matrix = (rows: number, columns: number, weights: readonly number[]) => ({
    ...{ rows, columns, weights: Float64Array.from(weights) },
  });

  it('give what one computes by hand', () => {
    // mean|w| = 0.7: Δ 0.35 and 0.49
    const w = matrix(1, 4, [0.4, -1.4, 0.5, -0.5]);
    expect([...quantizeMatrix('absmean', w).weights]).toEqual([1, -1, 1, -1]);
    expect([...quantizeMatrix('twn', w).weights]).toEqual([0, -1, 1, -1]);
    // mean|w| = 0.975: Δ 0.6825; rms = √2.4525: Δ 0.958
    const skewed = matrix(2, 2, [3, 0.9, 0, 0]);
    expect([...quantizeMatrix('twn', skewed).weights]).toEqual([1, 1, 0, 0]);
    expect([...quantizeMatrix('lloyd-max', skewed).weights]).toEqual([1, 0, 0, 0]);
    // steps 1.4/7 = 0.2 and 1.4/127
    expect([...quantizeMatrix('int4', w).weights]).toEqual([2, -7, 3, -3]);
    expect([...quantizeMatrix('int8', w).weights]).toEqual([36, -127, 45, -45]);
    // rows of 1 and of a quarter: scales 127 and ⌈31.75⌉ = 32, so the second row's largest is 31.75/32·7 = 6.95
    const rows = matrix(2, 2, [1, -1, 0.25, 0.1]);
    expect(quantizeMatrix('int4-row', rows)).toEqual({
      precision: 'int4-row',
      weights: Int8Array.of(7, -7, 7, 3),
      scales: Int8Array.of(127, 32),
    });
    expect(quantizeMatrix('absmean-row', matrix(2, 3, [1, 0.1, -1, 0.3, -0.5, 0]))).toEqual({
      precision: 'ternary-row',
      weights: Int8Array.of(1, 0, -1, 1, -1, 0),
      scales: Int8Array.of(127, 51), // 127 · 0.4
    });
  });

  it.each(MATRIX_QUANTIZER_NAMES)('%s stays within its precision, whatever it is given', (name) => {
    const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(finite, { minLength: 20, maxLength: 20 }),
        (rows, columns, all) => {
          const { precision, weights, scales } = quantizeMatrix(
            name,
            matrix(rows, columns, all.slice(0, rows * columns)),
          );
          const { values, rowScales } = PRECISIONS[precision];
          const [least, largest] = VALUE_RANGES[values];
          expect(weights.every((value) => value >= least && value <= largest)).toBe(true);
          expect(scales?.length).toBe(rowScales ? rows : undefined);
          expect(scales?.every((scale) => scale >= 1 && scale <= 127) ?? true).toBe(true);
        },
      ),
    );
  });

  it('of eight bits with row scales are nowhere further off than half a step of their row', () => {
    const weights = gaussians('rows', 16 * 40).map((w, i) => w * 2 ** -Math.floor(i / 40 / 3));
    const { weights: integers, scales } = quantizeMatrix('int8-row', matrix(16, 40, weights));
    const unit = Math.max(...weights.map(Math.abs)) / 127;
    integers.forEach((q, i) => {
      const step = ((scales as Int8Array)[Math.floor(i / 40)] * unit) / 127;
      expect(Math.abs(q * step - weights[i])).toBeLessThanOrEqual(step / 2 + 1e-12);
    });
  });

  it('find what is ternary already', () => {
    expect(exactTernary(matrix(2, 2, [0.5, -0.5, 0, 0.5]))).toEqual({
      ...{ precision: 'ternary', weights: Int8Array.of(1, -1, 0, 1), scales: null },
    });
    expect(exactTernary(matrix(2, 2, [2, -2, 0, 1]))).toEqual({
      ...{ precision: 'ternary-row', weights: Int8Array.of(1, -1, 0, 1), scales: Int8Array.of(127, 64) },
    });
    expect(exactTernary(matrix(1, 3, [0.5, -0.25, 0]))).toBeNull();
    expect(exactTernary(matrix(1, 2, [0, 0]))).toMatchObject({ precision: 'ternary' });
    // A row of a thousandth would be worth 1/127: eight times too much.
    expect(exactTernary(matrix(2, 2, [2, -2, 0, 0.002]))).toBeNull();
  });

  it('leave nothing of a row that is nearer to nothing than to the least scale', () => {
    const { weights, scales } = quantizeMatrix('twn-row', matrix(3, 2, [1, -1, 0.001, -0.001, 0.1, 0.1]));
    expect([...weights]).toEqual([1, -1, 0, 0, 1, 1]);
    expect([...(scales as Int8Array)]).toEqual([127, 1, 13]);
  });

  it('refuse another name', () => {
    expect(() => quantizeMatrix('int3', matrix(1, 1, [1]))).toThrow(ConfigError);
  });
});
