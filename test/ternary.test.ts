/**
 * The integer network's arithmetic against exact BigInt arithmetic, float64 and hand
 * calculations: rounding, packing, bounds, normalize, cross-entropy.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crossEntropy, exp2Negative, log2Fixed, NATS_PER_UNIT } from '../src/ops/loss/op.js';
import { EXP2, LOG2 } from '../src/ops/loss/tables.js';
import { ReferenceBackend } from '../src/backend/reference/reference.js';
import { CLASSES_MAX, EXPONENT_MAX, WIDTH_MAX } from '../src/ternary/units.js';
import {
  isTernary,
  type NetworkOptions,
  networkOf,
  parseWidths,
} from '../src/ternary/builders/perceptron.js';
import { TENSOR_WEIGHTS_MAX } from '../src/ternary/model.js';
import { normalizeRelu, scaleOf } from '../src/ops/normalize/op.js';
import { finishSum, type LayerPrecision, PRECISIONS, VALUE_RANGES } from '../src/ternary/precision.js';
import { roundDiv, roundShift } from '../src/ternary/rounding.js';
import { packTrits, unpackTrits } from '../src/ternary/trits.js';

const I32_MAX = 2 ** 31 - 1;
const options = { centred: true, gain: 40, logitScale: 1 };
const trits = fc.array(fc.constantFrom(-1, 0, 1), { maxLength: 300 }).map((list) => Int8Array.from(list));

/** n/d rounded half away from zero, without a limit of size. */
function exactRoundDiv(n: bigint, d: bigint): bigint {
  const magnitude = (2n * (n < 0n ? -n : n) + d) / (2n * d);
  return n < 0n ? -magnitude : magnitude;
}

describe('rounding', () => {
  const fraction = fc.integer({ min: 1, max: I32_MAX }).chain((denominator) =>
    fc.tuple(
      fc.oneof(
        fc.integer({ min: -I32_MAX + (denominator >> 1), max: I32_MAX - (denominator >> 1) }),
        fc
          .integer({ min: -20, max: 20 })
          .map((halves) => Math.trunc((halves * denominator) / 2))
          .filter((numerator) => Math.abs(numerator) + (denominator >> 1) <= I32_MAX),
      ),
      fc.constant(denominator),
    ),
  );

  it('sends halves away from zero', () => {
    expect([-3, -2, -1, 1, 2, 3].map((numerator) => roundDiv(numerator, 2))).toEqual([-2, -1, -1, 1, 1, 2]);
    expect([-3, -2, -1, 1, 2, 3].map((value) => roundShift(value, 1))).toEqual([-2, -1, -1, 1, 1, 2]);
    expect([-6, -5, 5, 6, 7].map((value) => roundShift(value, 2))).toEqual([-2, -1, 1, 2, 2]);
  });

  it('divides as exact integers do', () => {
    fc.assert(
      fc.property(fraction, ([n, d]) => {
        expect(BigInt(roundDiv(n, d))).toBe(exactRoundDiv(BigInt(n), BigInt(d)));
      }),
      { numRuns: 2000 },
    );
  });

  it('shifts as division by a power of two does', () => {
    const shifted = fc
      .integer({ min: 0, max: 30 })
      .chain((shift) => fc.tuple(fc.integer({ min: -(2 ** 30), max: 2 ** 30 - 1 }), fc.constant(shift)));
    fc.assert(
      fc.property(shifted, ([value, shift]) => {
        expect(BigInt(roundShift(value, shift))).toBe(exactRoundDiv(BigInt(value), 1n << BigInt(shift)));
      }),
      { numRuns: 2000 },
    );
  });

  it('gives mirror images for mirror images', () => {
    fc.assert(
      fc.property(fraction, fc.integer({ min: 0, max: 30 }), ([n, d], shift) => {
        expect(roundDiv(-n, d) + roundDiv(n, d)).toBe(0);
        expect(roundShift(-(n >> 1), shift) + roundShift(n >> 1, shift)).toBe(0);
      }),
    );
  });
});

describe('packing', () => {
  it('has the bytes of numbers to the base 3, first digit least significant', () => {
    // 2·1 + 1·3 + 0·9 + 1·27 + 1·81, the last two digits being fill.
    expect(packTrits(Int8Array.of(1, 0, -1))).toEqual(Uint8Array.of(113));
    expect(packTrits(Int8Array.of(-1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 0))).toEqual(Uint8Array.of(0, 242, 121));
    expect(packTrits(new Int8Array(0))).toEqual(new Uint8Array(0));
    fc.assert(
      fc.property(trits, (values) => {
        const bytes = [];
        for (let at = 0; at < values.length; at += 5) {
          const digits = Array.from({ length: 5 }, (_, place) => (values[at + place] ?? 0) + 1);
          bytes.push(Number.parseInt(digits.reverse().join(''), 3));
        }
        expect(packTrits(values)).toEqual(Uint8Array.from(bytes));
      }),
    );
  });

  it('is undone by unpacking', () => {
    fc.assert(
      fc.property(trits, (values) => {
        expect(unpackTrits(packTrits(values), values.length)).toEqual(values);
      }),
    );
  });

  it('refuses what is not a trit, and says where', () => {
    for (const wrong of [-128, -2, 2, 127]) {
      const values = Int8Array.of(1, 0, -1, 0, 1, 0, wrong);
      expect(() => packTrits(values)).toThrow(new RangeError(`trit 6 expected -1, 0 or 1, got ${wrong}`));
    }
  });

  it('refuses too few bytes, too many, bytes above 242 and fill that is not zero', () => {
    const refused = (bytes: number[], length: number) => () => unpackTrits(Uint8Array.from(bytes), length);
    expect(refused([121], 6)).toThrow(new RangeError('6 trits expected 2 bytes, got 1'));
    expect(refused([121, 121], 5)).toThrow(new RangeError('5 trits expected 1 bytes, got 2'));
    for (const byte of [243, 255]) {
      expect(refused([121, byte], 10)).toThrow(new RangeError(`packed byte 1 expected 0…242, got ${byte}`));
    }
    // Of all 243 bytes, those whose last two digits are 1 stand for three trits and fill.
    const accepted = [];
    for (let byte = 0; byte < 243; byte++) {
      try {
        accepted.push(packTrits(unpackTrits(Uint8Array.of(byte), 3))[0]);
      } catch (error) {
        expect(error).toEqual(new RangeError('packed byte 0 expected zero fill after trit 3'));
      }
    }
    expect(accepted).toEqual(Array.from({ length: 27 }, (_, low) => 1 * 81 + 1 * 27 + low));
  });
});

describe('networkOf', () => {
  it('lists the tensors in their flat order', () => {
    const { tensors, parameters } = networkOf([784, 512, 10], { ...options, logitScale: 300 });
    expect(tensors).toEqual([
      { name: 'layer0.weight', values: 'trit', rows: 512, columns: 784, offset: 0 },
      { name: 'layer1.weight', values: 'trit', rows: 10, columns: 512, offset: 401_408 },
    ]);
    expect(parameters).toBe(406_528);
  });

  it('lists the scales of rows after all weight matrices, and each layer with its own', () => {
    const network = networkOf([784, 512, 100, 10], {
      ...options,
      precision: ['int8-row', 'ternary', 'int4-row'],
    });
    const tensors = [
      { name: 'layer0.weight', values: 'int8', rows: 512, columns: 784, offset: 0 },
      { name: 'layer1.weight', values: 'trit', rows: 100, columns: 512, offset: 401_408 },
      { name: 'layer2.weight', values: 'int4', rows: 10, columns: 100, offset: 452_608 },
      { name: 'layer0.scale', values: 'scale', rows: 512, columns: 1, offset: 453_608 },
      { name: 'layer2.scale', values: 'scale', rows: 10, columns: 1, offset: 454_120 },
    ];
    expect(network.tensors).toEqual(tensors);
    expect(network.parameters).toBe(454_130);
    expect(network.layers).toEqual([
      { weights: tensors[0], precision: 'int8-row', largest: 127, shift: 7, scale: tensors[3] },
      { weights: tensors[1], precision: 'ternary', largest: 1, shift: 0, scale: null },
      { weights: tensors[2], precision: 'int4-row', largest: 7, shift: 3, scale: tensors[4] },
    ]);
    expect(isTernary(network)).toBe(false);
    for (const precision of Object.keys(PRECISIONS) as LayerPrecision[]) {
      const alone = networkOf([2, 2], { ...options, precision: [precision] });
      expect(isTernary(alone)).toBe(precision === 'ternary');
    }
  });

  it.each([
    [[10], {}, '"model" expected at least inputs and classes, got 10'],
    [[0, 2], {}, '"model" expected layer widths in 1…65535, got 0'],
    [[2, 65_536, 2], {}, '"model" expected layer widths in 1…65535, got 65536'],
    [[2.5, 2], {}, '"model" expected layer widths in 1…65535, got 2.5'],
    [[2, 1], {}, '"model" expected a number of classes in 2…256, got 1'],
    [[2, 257], {}, '"model" expected a number of classes in 2…256, got 257'],
    [[2, 2], { gain: 0 }, '"gain" expected an integer in 1…127, got 0'],
    [[2, 2], { gain: 128 }, '"gain" expected an integer in 1…127, got 128'],
    [[2, 2], { gain: 1.5 }, '"gain" expected an integer in 1…127, got 1.5'],
    [[2, 2], { logitScale: 0 }, '"logitScale" expected an integer in 1…528416, got 0'],
    [[100, 2], { logitScale: 10_569 }, '"logitScale" expected an integer in 1…10568, got 10569'],
    [[2049, 2048, 2], {}, '"model" expected at most 4194304 weights in a layer, got 2049-2048'],
    [[2, 2], { precision: [] }, '"precision" expected 1 entries, one a layer, got 0'],
    [[2, 2], { precision: ['int8', 'int8'] }, '"precision" expected 1 entries, one a layer, got 2'],
    [
      [2, 2],
      { precision: ['toString'] },
      '"precision" expected entries of ternary, int4, int8, ternary-row, int4-row, int8-row',
    ],
  ])('refuses %j %j', (widths, change, message) => {
    const changed = { ...options, ...change } as NetworkOptions;
    expect(() => networkOf(widths, changed)).toThrow(new RangeError(message));
  });

  it('accepts every bound itself', () => {
    expect(networkOf([2048, 2048, 256], options).parameters).toBe(2 ** 22 + 2 ** 19);
    expect(networkOf([1, WIDTH_MAX, 2], { ...options, gain: 127 }).parameters).toBe(3 * 65_535);
    expect(networkOf([100, 2], { ...options, gain: 1, logitScale: 10_568 }).parameters).toBe(200);
  });

  it('reads a model as text, and nothing else', () => {
    expect(parseWidths('784-512-10')).toEqual([784, 512, 10]);
    for (const wrong of ['', '784', '784-', '-10', '784-0-10', '784 - 10', '7e2-10', '1000000-10', '٧-10']) {
      expect(() => parseWidths(wrong)).toThrow(RangeError);
    }
  });
});

/** normalize with exact integers; `largest` sees every intermediate value. */
function exactNormalize(z: Int32Array, gain: number, centred: boolean, largest: (value: bigint) => void) {
  const count = BigInt(z.length);
  const divide = (n: bigint, d: bigint) => {
    largest((n < 0n ? -n : n) + d / 2n);
    return exactRoundDiv(n, d);
  };
  let sum = 0n;
  for (const value of z) {
    sum += BigInt(value);
    largest(sum);
  }
  const mean = centred ? divide(sum, count) : 0n;
  let absolute = 0n;
  for (const value of z) {
    const distance = BigInt(value) - mean;
    largest(distance);
    absolute += distance < 0n ? -distance : distance;
  }
  largest(absolute);
  const rounded = divide(absolute, count);
  const meanAbs = rounded > 1n ? rounded : 1n;
  const reciprocal = divide(BigInt(gain) << 22n, meanAbs);
  largest(127n * meanAbs);
  const limit = (127n * meanAbs) / BigInt(gain) + 1n;
  const q = Uint8Array.from(z, (value) => {
    const distance = BigInt(value) - mean;
    const positive = distance < 0n ? 0n : distance;
    const product = (positive < limit ? positive : limit) * reciprocal;
    largest(product + (1n << 21n));
    const scaled = (product + (1n << 21n)) >> 22n;
    return Number(scaled < 127n ? scaled : 127n);
  });
  return { mean: Number(mean), meanAbs: Number(meanAbs), q };
}

/** Pre-activations of a layer of N inputs, as far from zero as a probe can drive them: 254·N. */
const preActivations = fc
  .record({
    rows: fc.oneof(fc.constantFrom(1, 2, 3, 64, 1024, WIDTH_MAX), fc.integer({ min: 1, max: 400 })),
    size: fc.double({ min: 0, max: 1, noNaN: true }),
    reach: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
    positive: fc.integer({ min: 0, max: 256 }),
    blunt: fc.boolean(),
    gain: fc.oneof(fc.constantFrom(1, 127), fc.integer({ min: 1, max: 127 })),
    centred: fc.boolean(),
    noise: fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
  })
  .map(({ rows, size, reach, positive, blunt, gain, centred, noise }) => {
    const columnsMax = Math.min(WIDTH_MAX, Math.floor(TENSOR_WEIGHTS_MAX / rows));
    const columns = Math.max(1, Math.floor(columnsMax * (size > 0.5 ? 1 : size)));
    const pattern = Array.from({ length: 251 }, () => noise.next().value as number);
    const z = Int32Array.from({ length: rows }, (_, row) => {
      const draw = pattern[row % 251];
      const magnitude = 254 * columns * reach * (blunt ? 1 : draw / 255);
      return Math.trunc((draw * 7 + row) % 256 < positive ? magnitude : -magnitude);
    });
    return { columns, z, gain, centred };
  });

describe('pre-activations of any precision', () => {
  it('are sums rounded half away from zero by the weights’ fraction bits, then by the scale of the row', () => {
    expect(finishSum(-1001, 0, null)).toBe(-1001);
    expect([3, 4, -4, 12, -13].map((sum) => finishSum(sum, 3, null))).toEqual([0, 1, -1, 2, -2]);
    expect([63, 64, -64, 191, -192].map((sum) => finishSum(sum, 7, null))).toEqual([0, 1, -1, 1, -2]);
    // 1000 / 8 = 125; 125 · 64 / 128 = 62.5
    expect([finishSum(1000, 3, 64), finishSum(-1000, 3, 64)]).toEqual([63, -63]);
    // Both roundings show: 60 / 8 = 7.5 → 8, 8 · 8 / 128 = 0.5 → 1; at once it were 0.47 → 0
    expect(finishSum(60, 3, 8)).toBe(1);
    expect([finishSum(127, 0, 127), finishSum(-127, 0, 1)]).toEqual([126, -1]);
  });

  it('keep the bound of trits, and every step on the way fits i32, in the widest layer', () => {
    const most = 127 * WIDTH_MAX;
    for (const { values, shift } of Object.values(PRECISIONS)) {
      const sum = VALUE_RANGES[values][1] * most;
      expect(sum + 64).toBeLessThanOrEqual(I32_MAX);
      for (const scale of [null, 1, 127]) {
        expect(finishSum(sum, shift, scale)).toBeLessThanOrEqual(most);
        expect(finishSum(-sum, shift, scale)).toBe(-finishSum(sum, shift, scale));
      }
    }
    expect(127 * most + 64).toBeLessThanOrEqual(I32_MAX);
  });

  it('of two layers are those of a hand calculation, on the reference', async () => {
    const network = networkOf([3, 2, 2], { ...options, gain: 100, precision: ['int8-row', 'int4'] });
    const placed = await new ReferenceBackend().place(network, { batch: 1 });
    await placed.writeWeights(Int8Array.of(127, -127, 64, 1, 2, 3, 7, -7, -1, 3, 127, 64));
    placed.load({ inputs: Uint8Array.of(100, 20, 3), labels: Uint8Array.of(0), length: 1 });
    // Sums 12700 − 2540 + 192 = 10352 and 149; / 128 = 80.9 → 81 and 1.2 → 1;
    // · 127/128 = 80.4 → 80 and · 64/128 = 0.5 → 1. Mean 40.5 → 41, absolute 39 and 40, mean 39.5 → 40.
    // Activations 39 · 100/40 = 97.5 → 98 and 0. Logits 7 · 98 / 8 = 85.75 → 86 and −98 / 8 = −12.25 → −12.
    expect(await placed.logits()).toEqual(Int32Array.of(86, -12));
  });
});

describe('normalize', () => {
  it('is the exact formula, and none of its intermediates leaves 32 bits', () => {
    fc.assert(
      fc.property(preActivations, ({ columns, z, gain: wanted, centred }) => {
        const gain = Math.max(wanted, Math.ceil((254 * Math.max(columns, z.length)) / 2 ** 22));
        networkOf([columns, z.length, 2], { ...options, gain }); // the shape is allowed
        let extreme = 0n;
        const exact = exactNormalize(z, gain, centred, (value) => {
          if (value > extreme) extreme = value;
          else if (-value > extreme) extreme = -value;
        });
        expect(extreme).toBeLessThanOrEqual(BigInt(I32_MAX));
        const scale = scaleOf(z, centred);
        expect(scale).toEqual({ mean: exact.mean, meanAbs: exact.meanAbs });
        const q = new Uint8Array(z.length);
        normalizeRelu(z, gain, scale, q);
        expect(q).toEqual(exact.q);
      }),
      { numRuns: 80 },
    );
  });

  it('is within 1 of round(z · gain / meanAbs), clipped to 0…127, while meanAbs ≤ 2^15 · gain', () => {
    fc.assert(
      fc.property(preActivations, ({ z, gain, centred }) => {
        const mean = centred ? z.reduce((sum, value) => sum + value, 0) / z.length : 0;
        const meanAbs = z.reduce((sum, value) => sum + Math.abs(value - mean), 0) / z.length;
        // Below 1000 the rounding of mean and meanAbs themselves would count.
        fc.pre(meanAbs >= 1000 && meanAbs <= 2 ** 15 * gain);
        const q = new Uint8Array(z.length);
        normalizeRelu(z, gain, scaleOf(z, centred), q);
        const farthest = q.reduce((worst, activation, unit) => {
          const real = (z[unit] - mean) * (gain / meanAbs);
          return Math.max(worst, Math.abs(activation - Math.round(Math.max(0, Math.min(127, real)))));
        }, 0);
        expect(farthest).toBeLessThanOrEqual(1);
      }),
      { numRuns: 30 },
    );
  });

  it('gives a silent layer no activation', () => {
    const q = new Uint8Array(3).fill(9);
    const z = new Int32Array(3);
    expect(scaleOf(z, true)).toEqual({ mean: 0, meanAbs: 1 });
    normalizeRelu(z, 127, scaleOf(z, true), q);
    expect(q).toEqual(new Uint8Array(3));
  });
});

describe('tables of the loss', () => {
  it('are 2^(−i/256) and log₂(1 + i/256), rounded', () => {
    for (let i = 0; i <= 256; i++) {
      expect(EXP2[i]).toBe(Math.round(2 ** 20 * 2 ** (-i / 256)));
      expect(LOG2[i]).toBe(Math.round(2 ** 16 * Math.log2(1 + i / 256)));
    }
  });

  it('give powers within 2 units of 2^−20, and 0 past their reach', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 21 * 65_536 - 1 }), (exponent) => {
        expect(Math.abs(exp2Negative(exponent) - 2 ** (20 - exponent / 65_536))).toBeLessThan(2);
      }),
      { numRuns: 2000 },
    );
    expect([21 * 65_536, EXPONENT_MAX * 2].map(exp2Negative)).toEqual([0, 0]);
  });

  it('give logarithms within 3 units of 2^−16, exact at powers of two', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: I32_MAX }), fc.integer({ min: 0, max: 30 }), (value, shift) => {
        const narrower = Math.max(1, value >> shift);
        expect(Math.abs(log2Fixed(narrower) - 65_536 * Math.log2(narrower))).toBeLessThan(3);
        expect(log2Fixed(2 ** shift)).toBe(shift * 65_536);
      }),
      { numRuns: 2000 },
    );
  });
});

/** Logits of a layer of N inputs whose weights are disturbed to ±2, with any scale it allows. */
const examples = fc
  .record({
    inputs: fc.constantFrom(1, 10, 300, 4096),
    classes: fc.oneof(fc.integer({ min: 2, max: 20 }), fc.constantFrom(100, CLASSES_MAX)),
    heat: fc.integer({ min: 0, max: 16 }),
    reach: fc.double({ min: 0, max: 1, noNaN: true }),
    label: fc.nat(255),
    noise: fc.infiniteStream(fc.integer({ min: -127, max: 127 })),
  })
  .map(({ inputs, classes, heat, reach, label, noise }) => {
    const scaleMax = Math.floor(EXPONENT_MAX / (254 * inputs));
    const logits = Int32Array.from({ length: classes }, () =>
      Math.round((noise.next().value as number) * 2 * inputs * reach ** 2),
    );
    return { logits, label: label % classes, logitScale: Math.max(1, scaleMax >> heat) };
  });

/** Softmax to the base 2 in float64. */
function softmax(logits: Int32Array, logitScale: number): number[] {
  const top = Math.max(...logits);
  const weights = Array.from(logits, (logit) => 2 ** (((logit - top) * logitScale) / 65_536));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

describe('cross-entropy', () => {
  it('is a float64 softmax within 2^−12 bits, its error within a unit of 2^−11', () => {
    fc.assert(
      fc.property(examples, ({ logits, label, logitScale }) => {
        const error = new Int16Array(logits.length);
        const { loss } = crossEntropy(logits, label, logitScale, error);
        const shares = softmax(logits, logitScale);
        const top = Math.max(...logits);
        const lossBits = Math.log2(1 / Math.max(...shares)) + ((top - logits[label]) * logitScale) / 65_536;
        // Every class below 2^−20 may be lost: 256 of them weigh 2^−11.5 bits.
        const tolerance = logits.length <= 100 ? 2 ** -12 : 2 ** -11;
        expect(Math.abs(loss / 65_536 - lossBits)).toBeLessThan(tolerance);
        shares.forEach((share, c) => {
          const exact = 2048 * (share - (c === label ? 1 : 0));
          expect(Math.abs(error[c] - exact)).toBeLessThan(1);
        });
      }),
      { numRuns: 500 },
    );
  });

  it('stays in 32 bits, is never negative, and predicts the first of the largest logits', () => {
    fc.assert(
      fc.property(examples, ({ logits, label, logitScale }) => {
        const { loss, prediction } = crossEntropy(logits, label, logitScale, null);
        expect(loss).toBeGreaterThanOrEqual(0);
        const top = Math.max(...logits);
        expect(prediction).toBe(logits.indexOf(top));
        let sum = 0n;
        for (const logit of logits) {
          const distance = BigInt(top - logit) * BigInt(logitScale);
          expect(distance).toBeLessThanOrEqual(BigInt(I32_MAX));
          sum += BigInt(exp2Negative(Number(distance)));
        }
        expect(sum).toBeLessThanOrEqual(BigInt(I32_MAX));
        expect((1n << 31n) + sum / 2n).toBeLessThan(1n << 32n); // the largest class's share of 2^11
        const lossMax = BigInt(top - logits[label]) * BigInt(logitScale) + (8n << 16n);
        expect(lossMax).toBeLessThanOrEqual(BigInt(I32_MAX));
        expect(BigInt(loss)).toBeLessThanOrEqual(lossMax);
      }),
      { numRuns: 500 },
    );
  });

  it('takes the first of equal logits, and log₂ of their number as the loss', () => {
    for (const label of [0, 1, 2, 3]) {
      expect(crossEntropy(Int32Array.of(7, 7, 7, 7), label, 100, null)).toEqual({
        loss: 2 * 65_536,
        prediction: 0,
      });
    }
    expect(crossEntropy(Int32Array.of(-5, 9, 9), 0, 1, null).prediction).toBe(1);
    expect(2 * 65_536 * NATS_PER_UNIT).toBeCloseTo(Math.log(4), 12);
  });

  it('charges a class that is far behind by its distance', () => {
    const error = new Int16Array(2);
    expect(crossEntropy(Int32Array.of(0, -100), 1, 65_536, error)).toEqual({
      loss: 100 * 65_536,
      prediction: 0,
    });
    expect(error).toEqual(Int16Array.of(2048, -2048));
  });
});
