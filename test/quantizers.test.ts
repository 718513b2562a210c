/**
 * The quantizers of the ste trainer against hand calculations, published constants, plain float64
 * code and numerical integrals, on TensorFlow.js's plain backend and on wasm with fused kernels.
 */

import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { FUSED } from '../src/backprop/kernels/fused.js';
import { hadamard, hadamardBlock } from '../src/backprop/quantizers/hadamard.js';
import { quantizerOf } from '../src/backprop/quantizers/index.js';
import { QUANTIZER_PRECISIONS, QUANTIZERS, type QuantizerName } from '../src/backprop/quantizers/names.js';
import { QUEST_SCALES, type QuestBits, questFake } from '../src/backprop/quantizers/quest.js';
import { openTensorflow } from '../src/backprop/tensorflow.js';
import { quantizeMatrix } from '../src/quantize/matrix.js';
import { PRECISIONS, VALUE_RANGES } from '../src/ternary/precision.js';
import { gaussians } from './support/gaussians.js';

type Rows = number[][];

/** Rows of so many numbers each. */
function rowsOf(values: readonly number[], columns: number): Rows {
  return Array.from({ length: values.length / columns }, (_, row) =>
    values.slice(row * columns, (row + 1) * columns),
  );
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const rms = (values: readonly number[]) => Math.sqrt(mean(values.map((value) => value * value)));
const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, i) => sum + value * b[i], 0);
const clamp = (value: number, limit: number) => Math.max(-limit, Math.min(limit, value));

/** The integers and row scales of a quantizer; `learnt` is its own first value if not given. */
function quantize(name: QuantizerName, weights: Rows, threshold = 1, learnt?: Rows) {
  const quantizer = quantizerOf(name, threshold);
  return tf.tidy(() => {
    const shadow = tf.tensor2d(weights);
    const beside = learnt ? tf.tensor2d(learnt) : quantizer.initial?.(shadow);
    const quantized = quantizer.quantize(shadow, beside);
    const integers = quantized.weights.arraySync().map((row) => row.map((value) => value + 0)); // −0 is 0
    const rowScales = quantized.rowScales?.arraySync();
    return { integers, ...(rowScales && { rowScales }), learnt: beside?.arraySync() };
  });
}

/** The gradients of Σ dy·f(inputs) by each input. */
function gradients(f: (...inputs: tf.Tensor2D[]) => tf.Tensor, dy: Rows, ...inputs: Rows[]): Rows[] {
  return tf.tidy(() => {
    const by = inputs.map((input) => tf.tensor2d(input));
    const results = tf.grads(f as (...inputs: tf.Tensor[]) => tf.Tensor)(by, tf.tensor2d(dy));
    return results.map((gradient) => (gradient as tf.Tensor2D).arraySync());
  });
}

/** f of rows on the current backend. */
function apply(f: (x: tf.Tensor2D) => tf.Tensor2D, x: Rows): Rows {
  return tf.tidy(() => f(tf.tensor2d(x)).arraySync());
}

function expectClose(actual: Rows, wanted: Rows, tolerance: number): void {
  expect(actual.map(({ length }) => length)).toEqual(wanted.map(({ length }) => length));
  let worst = 0;
  actual.forEach((row, r) =>
    row.forEach((value, c) => {
      const error = Math.abs(value - wanted[r][c]);
      if (!(error <= worst)) worst = error; // NaN counts
    }),
  );
  expect(worst).toBeLessThan(tolerance);
}

/** Weights of any shape; each row of another size, from far below to far above one, or all zero. */
const anyWeights = fc
  .record({
    rows: fc.integer({ min: 1, max: 6 }),
    columns: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })),
    common: fc.integer({ min: -15, max: 15 }),
    own: fc.boolean(),
    noise: fc.infiniteStream(
      fc.oneof(fc.constantFrom(-1, 0, 1), fc.double({ min: -1, max: 1, noNaN: true })),
    ),
    exponents: fc.infiniteStream(fc.oneof(fc.constant(-Infinity), fc.integer({ min: -15, max: 15 }))),
  })
  .map(({ rows, columns, common, own, noise, exponents }) =>
    Array.from({ length: rows }, () => {
      const size = 10 ** (own ? (exponents.next().value as number) : common);
      return Array.from({ length: columns }, () => size * (noise.next().value as number));
    }),
  );

/** QuEST's quantizer of one row in float64: levels, their integers, and where the gradient passes. */
function plainQuest(h: readonly number[], bits: 2 | 3 | 4) {
  const published = { 2: 1.49353462, 3: 2.05106835, 4: 2.51393058 }[bits];
  const sigma = rms(h);
  const step = (2 * sigma * published) / (2 ** bits - 1);
  const values = h.map((x) => {
    const clipped = clamp(x, sigma * published);
    return Math.round(clipped / step + 0.5) * step - step / 2;
  });
  const trust = h.map((x, i) => (Math.abs(values[i] - x) <= step / 2 ? 1 : 0));
  return { values, trust };
}

/** Sylvester's matrix from its definition, [[H, H], [H, −H]]/√2. */
function sylvester(size: number): Rows {
  if (size === 1) return [[1]];
  const half = sylvester(size / 2).map((row) => row.map((value) => value * Math.SQRT1_2));
  return [
    ...half.map((row) => [...row, ...row]),
    ...half.map((row) => [...row, ...row.map((value) => -value)]),
  ];
}

describe.each(['cpu', 'wasm'] as const)('quantizers on %s', (backend) => {
  beforeAll(async () => {
    await openTensorflow(backend);
    expect(tf.getBackend()).toBe(backend);
    expect(tf.getKernel(FUSED.ternarize, backend) !== undefined).toBe(backend === 'wasm');
  });

  it.each(QUANTIZERS)('%s gives integers of its precision for any weights', (name) => {
    const { values, rowScales: hasRowScales } = PRECISIONS[QUANTIZER_PRECISIONS[name]];
    fc.assert(
      fc.property(anyWeights, (weights) => {
        const { integers, rowScales } = quantize(name, weights);
        const [least, largest] = VALUE_RANGES[values];
        expect(integers.map(({ length }) => length)).toEqual(weights.map(({ length }) => length));
        for (const value of integers.flat()) {
          expect(Number.isInteger(value) && value >= least && value <= largest, `${value}`).toBe(true);
        }
        expect(rowScales !== undefined).toBe(hasRowScales);
        if (!rowScales) return;
        expect(rowScales.length).toBe(weights.length);
        for (const scale of rowScales) {
          expect(Number.isInteger(scale) && scale >= 1 && scale <= 127, `${scale}`).toBe(true);
        }
        if (Math.max(...weights.flat().map(Math.abs)) > 1e-10) expect(Math.max(...rowScales)).toBe(127);
      }),
      { numRuns: 150 },
    );
  });

  it('absmean is round(w / mean|w|), clipped to a trit', () => {
    expect(quantize('absmean', [[0.1, -0.2, 0.3, -1.4]]).integers).toEqual([[0, 0, 1, -1]]); // mean 0.5
    const weights = gaussians('absmean', 1001);
    const size = mean(weights.map(Math.abs));
    const wanted = weights.map((weight) => clamp(Math.round(weight / size), 1) + 0);
    expect(quantize('absmean', [weights]).integers).toEqual([wanted]);
  });

  it('twn keeps what is above 0.7·mean|w|, sparse and lloyd-max what is above so many rms', () => {
    expect(quantize('twn', [[0.1, -0.34, 0.36, -1.2]]).integers).toEqual([[0, 0, 1, -1]]); // mean 0.5
    const weights = gaussians('thresholds', 1001);
    const above = (threshold: number) => [
      weights.map((weight) => (Math.abs(weight) > threshold ? Math.sign(weight) : 0)),
    ];
    expect(quantize('twn', [weights]).integers).toEqual(above(0.7 * mean(weights.map(Math.abs))));
    expect(quantize('lloyd-max', [weights]).integers).toEqual(above(0.612 * rms(weights)));
    expect(quantize('sparse', [weights], 1.7).integers).toEqual(above(1.7 * rms(weights)));
  });

  // Shares of zeros and squared errors of a unit Gaussian, by integrals of its density.
  it.each([
    ['absmean', 0.31, 0.798, 0.263],
    ['twn', 0.424, 1.184, 0.192],
    ['lloyd-max', 0.46, 1.224, 0.19],
  ] as const)(
    '%s makes %d of Gaussian weights zero, with the squared error of theory',
    (name, zeros, a, mse) => {
      const weights = gaussians(name, 200_000);
      const trits = quantize(name, rowsOf(weights, 1000)).integers.flat();
      const deviation = Math.sqrt((zeros * (1 - zeros)) / weights.length);
      const share = trits.filter((trit) => trit === 0).length / weights.length;
      expect(Math.abs(share - zeros)).toBeLessThan(0.0005 + 5 * deviation);
      const errors = weights.map((weight, i) => (weight - a * trits[i]) ** 2);
      expect(Math.abs(mean(errors) - mse)).toBeLessThan(
        0.0005 + (5 * rms(errors)) / Math.sqrt(errors.length),
      );
    },
  );

  it('int4 and int8 are shares of the largest weight, of the tensor or of the row', () => {
    const weights = [
      [1, -0.52, 0.26, 0.07],
      [0.25, -0.1, 0, -0.01],
      [0.001, -0.001, 0.0004, 0],
    ];
    // 7·w and 127·w, rounded.
    expect(quantize('int4', weights).integers).toEqual([
      [7, -4, 2, 0],
      [2, -1, 0, 0],
      [0, 0, 0, 0],
    ]);
    expect(quantize('int8', weights).integers).toEqual([
      [127, -66, 33, 9],
      [32, -13, 0, -1],
      [0, 0, 0, 0],
    ]);
    // The second row by 28·w and 508·w, the third by 7000·w and 127000·w; scales 127·¼ = 31.75 and 0.127, at least 1.
    expect(quantize('int4-row', weights)).toMatchObject({
      integers: [
        [7, -4, 2, 0],
        [7, -3, 0, 0],
        [7, -7, 3, 0],
      ],
      rowScales: [127, 32, 1],
    });
    expect(quantize('int8-row', weights)).toMatchObject({
      integers: [
        [127, -66, 33, 9],
        [127, -51, 0, -5],
        [127, -127, 51, 0],
      ],
      rowScales: [127, 32, 1],
    });
  });

  it.each(['absmean', 'twn', 'lloyd-max', 'sparse', 'int4', 'int4-row', 'int8', 'int8-row'] as const)(
    '%s passes the gradient straight through',
    (name) => {
      const dy = rowsOf(gaussians('dy', 35), 7);
      const weights = rowsOf(gaussians('w', 35), 7);
      expect(gradients((w) => quantizerOf(name, 1).quantize(w).weights, dy, weights)).toEqual([dy]);
    },
  );

  describe('elastic', () => {
    it('starts α at the largest weight of a row, and gives ±1 above α/3', () => {
      const { integers, rowScales, learnt } = quantize('elastic', [
        [0.65, -0.68, 2, -2, 0],
        [0.5, -0.17, 0.16, 0.1, -0.3],
      ]);
      expect(learnt).toEqual([[2], [0.5]]);
      expect(integers).toEqual([
        [0, -1, 1, -1, 0],
        [1, -1, 0, 0, -1],
      ]);
      expect(rowScales).toEqual([127, 32]); // 127 · ¼ = 31.75
      // A learnt α counts, and one that fell to zero is no division by zero.
      const weights = [
        [3, 1.1, -0.9],
        [0, 1, -1],
      ];
      expect(quantize('elastic', weights, 1, [[3], [0]])).toMatchObject({
        integers: [
          [1, 1, 0],
          [0, 1, -1],
        ],
        rowScales: [127, 1],
      });
    });

    it('has ParetoQ’s gradients', () => {
      const columns = 25;
      const weights = rowsOf(gaussians('elastic', 4 * columns), columns);
      const dq = rowsOf(gaussians('elastic dq', 4 * columns), columns);
      const alphas = [0.5, 1, 2, 4];
      const dalpha: Rows = [];
      const dw = weights.map((row, r) => {
        const alpha = alphas[r];
        // ParetoQ quantizes to α·n/1.5, we to n: g is the gradient by its value.
        const g = dq[r].map((value) => (value * 1.5) / alpha);
        const slopes = row.map((w) => {
          const q = w / alpha;
          if (Math.abs(q) > 0.99) return Math.sign(q);
          return Math.round(q * 1.5) / 1.5 - q;
        });
        dalpha.push([dot(g, slopes) / Math.sqrt(weights.flat().length)]);
        return g.map((value, i) => (Math.abs(row[i] / alpha) > 0.99 ? 0 : value));
      });
      const clipped = dw.flat().filter((value) => value === 0).length;
      expect(clipped).toBeGreaterThan(10);
      expect(clipped).toBeLessThan(90);
      const f = (w: tf.Tensor2D, alpha: tf.Tensor2D) => quantizerOf('elastic', 1).quantize(w, alpha).weights;
      const learnt = alphas.map((alpha) => [alpha]);
      const [actualW, actualAlpha] = gradients(f, dq, weights, learnt);
      expectClose(actualW, dw, 1e-5);
      expectClose(actualAlpha, dalpha, 1e-5);
    });
  });

  describe('quest-ternary', () => {
    // Of rms one: Σ of the first six squares is 8.254794.
    const rest = Math.sqrt((10 - 8.254794) / 4);
    const weights = [[0.61, -0.61, 0.62, -0.62, 1.835, -1.837, rest, rest, -rest, -rest]];

    it('sends 0.61σ to 0 and 0.62σ to ±1, and trusts what moved at most 0.612σ', () => {
      expect(rms(weights[0])).toBeCloseTo(1, 12);
      const { integers, rowScales } = quantize('quest-ternary', weights);
      expect(integers).toEqual([[0, 0, 1, -1, 1, -1, 1, 1, -1, -1]]);
      expect(rowScales).toEqual([127]);
      const dy = [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]];
      const [dw] = gradients((w) => quantizerOf('quest-ternary', 1).quantize(w).weights, dy, weights);
      expect(dw).toEqual([[1, 2, 3, 4, 5, 0, 7, 8, 9, 10]]); // 1.837 lies 0.613 beyond 1.224
    });

    it('has a scale for each row’s own σ', () => {
      const rows = [1, 0.25, 0.001].map((size) => weights[0].map((weight) => size * weight));
      const { integers, rowScales } = quantize('quest-ternary', rows);
      expect(integers[1]).toEqual(integers[0]);
      expect(rowScales).toEqual([127, 32, 1]);
    });
  });

  describe('quest', () => {
    const columns = 250;
    const x = rowsOf(gaussians('quest', 4 * columns), columns).map((row, r) => row.map((v) => v * 3 ** r));
    const dy = rowsOf(gaussians('quest dy', 4 * columns), columns);

    it.each([2, 3, 4] as const)('has the levels and the trust mask of the paper at %d bits', (bits) => {
      const plain = x.map((row) => plainQuest(row, bits));
      const untrusted = plain.flatMap(({ trust }) => trust).filter((passes) => !passes).length;
      expect(untrusted).toBeGreaterThan(2);
      const fake = (h: tf.Tensor2D) => questFake(h, bits, false);
      expectClose(
        apply(fake, x),
        plain.map(({ values }) => values),
        1e-4,
      );
      const passed = dy.map((row, r) => row.map((value, i) => value * plain[r].trust[i] + 0));
      expect(gradients(fake, dy, x)[0].map((row) => row.map((value) => value + 0))).toEqual(passed);
    });

    it('takes the mask |h| ≤ 1.25 scales at one bit', () => {
      const signs = x.map((row) => row.map(Math.sign));
      const { integers } = quantize('quest-1', x);
      expect(integers).toEqual(signs);
      const passed = dy.map((row, r) =>
        row.map((value, i) => (Math.abs(x[r][i]) <= 1.25 * 0.79788456 * rms(x[r]) ? value : 0)),
      );
      const [dw] = gradients((w) => quantizerOf('quest-1', 1).quantize(w).weights, dy, x);
      expect(dw.map((row) => row.map((value) => value + 0))).toEqual(passed);
    });

    it('has the odd integers for levels', () => {
      const levels = (name: QuantizerName) => [...new Set(quantize(name, x).integers.flat())];
      const odd = (largest: number) => Array.from({ length: largest + 1 }, (_, i) => 2 * i - largest);
      const ascending = (a: number, b: number) => a - b;
      expect(levels('quest-1').sort(ascending)).toEqual([-1, 1]);
      expect(levels('quest-2').sort(ascending)).toEqual([-3, -1, 1, 3]);
      expect(levels('quest-4').sort(ascending)).toEqual(odd(15));
    });

    it('quantizes what the Hadamard transform gives, and turns the gradient back by it', () => {
      const wide = x.map((row) => row.slice(0, 64));
      const rotated = apply(hadamard, wide);
      const plain = rotated.map((row) => plainQuest(row, 4));
      const wideDy = dy.map((row) => row.slice(0, 64));
      const fake = (h: tf.Tensor2D) => questFake(h, 4, true);
      expectClose(
        apply(fake, wide),
        plain.map(({ values }) => values),
        1e-4,
      );
      const h = sylvester(64);
      const masked = wideDy.map((row, r) => row.map((value, i) => value * plain[r].trust[i]));
      const turned = masked.map((row) => h.map((direction) => dot(row, direction)));
      expectClose(gradients(fake, wideDy, wide)[0], turned, 1e-4);
    });
  });

  describe('the quantizers of plain arrays', () => {
    const columns = 64;
    const weights = gaussians('plain', 24 * columns);
    const matrix = { rows: 24, columns, weights: Float64Array.from(weights) };

    it.each(['absmean', 'twn', 'lloyd-max', 'int4', 'int8'] as const)(
      '%s gives what the trained one gives',
      (name) => {
        const { integers } = quantize(name, rowsOf(weights, columns));
        expect([...quantizeMatrix(name, matrix).weights]).toEqual(integers.flat());
      },
    );
  });

  describe('hadamard', () => {
    const widths = [
      [784, 16],
      [256, 128],
      [10, 2],
      [128, 128],
      [7, 1],
    ];

    it.each(widths)('of %d has blocks of %d, each Sylvester’s matrix', (width, block) => {
      expect(hadamardBlock(width)).toBe(block);
      const small = sylvester(block);
      const whole = Array.from({ length: width }, (_, r) =>
        Array.from({ length: width }, (_, c) =>
          Math.floor(r / block) === Math.floor(c / block) ? small[r % block][c % block] : 0,
        ),
      );
      const identity = whole.map((row, r) => row.map((_, c) => (r === c ? 1 : 0)));
      expectClose(apply(hadamard, identity), whole, 1e-6);
    });

    it.each(widths)('of %d is its own inverse, and keeps norms and products', (width) => {
      const a = rowsOf(gaussians('a', 3 * width), width);
      const b = rowsOf(gaussians('b', 2 * width), width);
      const [ah, bh] = [apply(hadamard, a), apply(hadamard, b)];
      expectClose(apply(hadamard, ah), a, 1e-5);
      for (const [r, row] of a.entries()) expect(rms(ah[r]) / rms(row)).toBeCloseTo(1, 5);
      const products = (left: Rows, right: Rows) => left.map((row) => right.map((other) => dot(row, other)));
      expectClose(products(ah, bh), products(a, b), 1e-4);
    });

    it('has the transform itself for a gradient, as numeric differences have', () => {
      const x = rowsOf(gaussians('x', 24), 12);
      const dy = rowsOf(gaussians('dy', 24), 12);
      const loss = (at: Rows) => apply(hadamard, at).reduce((sum, row, r) => sum + dot(row, dy[r]), 0);
      const differences = x.map((row, r) =>
        row.map((_, c) => {
          const moved = (by: number) =>
            x.map((line, i) => line.map((v, j) => (i === r && j === c ? v + by : v)));
          return (loss(moved(1)) - loss(moved(-1))) / 2; // exact: it is linear
        }),
      );
      const [dx] = gradients(hadamard, dy, x);
      expectClose(dx, differences, 1e-5);
      expectClose(dx, apply(hadamard, dy), 1e-6);
    });
  });
});

describe('QuEST’s constants', () => {
  const published = [
    [1, 0.79788456],
    [2, 1.49353462],
    [3, 2.05106835],
    [4, 2.51393058],
    ['ternary', 1.22400895],
  ] as const;

  /** Squared error of a unit Gaussian, quantized to levels that reach ±a: half of it, cell by cell. */
  function squaredError(bits: QuestBits, a: number): number {
    const step = bits === 'ternary' ? a : (2 * a) / (2 ** bits - 1);
    const first = bits === 'ternary' ? 0 : step / 2; // the lowest level that is not negative
    let sum = 0;
    for (let level = first; level < a + step / 2; level += step) {
      const from = Math.max(0, level - step / 2);
      const to = level + step > a + step / 2 ? 10 : level + step / 2;
      const width = (to - from) / 1000;
      for (let x = from + width / 2; x < to; x += width) {
        sum += width * (x - level) ** 2 * Math.exp((-x * x) / 2);
      }
    }
    return sum;
  }

  /** Where a function with one minimum has it, by the golden section. */
  function minimum(f: (x: number) => number, from: number, to: number): number {
    const golden = (Math.sqrt(5) - 1) / 2;
    while (to - from > 1e-5) {
      const [left, right] = [to - golden * (to - from), from + golden * (to - from)];
      if (f(left) < f(right)) to = right;
      else from = left;
    }
    return (from + to) / 2;
  }

  it.each(published)(
    'of %s are the paper’s, and where the squared error of a Gaussian is least',
    (bits, a) => {
      expect(QUEST_SCALES[bits]).toBeCloseTo(a, 7);
      expect(Math.abs(minimum((scale) => squaredError(bits, scale), a / 2, 2 * a) - a)).toBeLessThan(1e-3);
    },
  );
});
