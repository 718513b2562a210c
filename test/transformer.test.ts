/** The integer transformer: its tables against Math's functions, and the whole against a plain float one. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batchOfWindows } from '../src/backend/batch.js';
import type { Placed } from '../src/backend/backend.js';
import { SOFTMAX, softmaxScale, softmaxWeight } from '../src/ops/attention/op.js';
import { rmsNorm } from '../src/ops/rms-norm/op.js';
import { rotaryTables } from '../src/ops/rotary/op.js';
import { cosSin, exp } from '../src/ternary/series.js';
import { SILU, siluGate } from '../src/ops/gate/op.js';
import { RESIDUAL_MAX, rescale, scaleOfReal } from '../src/ternary/units.js';
import {
  type Transformer,
  type TransformerShape,
  transformerOf,
} from '../src/ternary/builders/transformer.js';
import { reference } from './support/backends.js';
import { FloatTransformer } from './support/float-transformer.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

describe('tables', () => {
  it('exp, cosine and sine are those of Math to fourteen digits', () => {
    for (const x of [-40, -9.2, -1, -0.3, 0, 0.5, 3, 20]) expect(exp(x) / Math.exp(x)).toBeCloseTo(1, 12);
    for (const x of [-1, -0.1, 0, 0.7, 1]) {
      expect(cosSin(x)[0]).toBeCloseTo(Math.cos(x), 14);
      expect(cosSin(x)[1]).toBeCloseTo(Math.sin(x), 14);
    }
  });

  it('rotations, silu and softmax are what real functions round to', () => {
    const { cosines, sines } = rotaryTables(64, 1024);
    for (let i = 0; i < cosines.length; i += 37) {
      const angle = Math.floor(i / 32) * 10_000 ** (-(i % 32) / 32);
      expect(Math.abs(cosines[i] - 16_384 * Math.cos(angle))).toBeLessThan(0.501);
      expect(Math.abs(sines[i] - 16_384 * Math.sin(angle))).toBeLessThan(0.501);
    }
    SILU.forEach((value, i) => {
      const x = (i - 127) / 16;
      expect(Math.abs(value - (2048 * x) / (1 + Math.exp(-x)))).toBeLessThan(0.501);
    });
    SOFTMAX.forEach((value, i) => expect(Math.abs(value - 16_384 * 2 ** (-i / 256))).toBeLessThan(0.501));
  });

  it('softmax weights fall with the score as e^(−difference/√headSize) does, and end at zero', () => {
    const scale = softmaxScale(32, 64);
    expect(softmaxWeight(0, scale)).toBe(16_384);
    for (const below of [1, 100, 700, 3000]) {
      const real = 16_384 * Math.exp(-below / 256 / Math.sqrt(32));
      expect(Math.abs(softmaxWeight(below, scale) - real)).toBeLessThan(0.004 * real + 1);
    }
    expect(softmaxWeight(scale.range, scale)).toBe(0);
    expect(softmaxWeight(2 ** 26, scale)).toBe(0);
  });
});

describe('siluGate', () => {
  /** Half a unit of the table times the largest `up`. */
  const TABLE_ERROR = 2 ** -12 * (127 / 16) + 1e-9;

  /** Hidden activations as real numbers, and their unit. */
  function gated(gates: Int8Array, ups: Int8Array) {
    const hidden = new Int8Array(gates.length);
    const coarser = siluGate(gates, ups, hidden);
    const real = Array.from(gates, (gate, i) => (gate / 16 / (1 + Math.exp(-gate / 16))) * (ups[i] / 16));
    return { hidden, coarser, unit: 2 ** (coarser - 4), real };
  }

  it('rounds to the finest unit that has room for all of a position, and clips none', () => {
    const i8 = fc.integer({ min: -127, max: 127 });
    const seen = new Set<number>();
    fc.assert(
      fc.property(fc.array(fc.tuple(i8, i8), { minLength: 1, maxLength: 40 }), (pairs) => {
        const { hidden, coarser, unit, real } = gated(
          Int8Array.from(pairs, ([gate]) => gate),
          Int8Array.from(pairs, ([, up]) => up),
        );
        seen.add(coarser);
        hidden.forEach((value, i) => {
          expect(Math.abs(value * unit - real[i])).toBeLessThanOrEqual(unit / 2 + TABLE_ERROR);
        });
        const largest = Math.max(...real.map(Math.abs));
        if (coarser > 0) expect(largest).toBeGreaterThan(127.5 * (unit / 2) - TABLE_ERROR);
      }),
      { numRuns: 500 },
    );
    expect([...seen].sort()).toEqual([0, 1, 2, 3]);
  });

  it('holds the largest there is, with either sign', () => {
    const { hidden, coarser } = gated(Int8Array.of(127, 127, 0), Int8Array.of(127, -127, 127));
    expect({ coarser, hidden: [...hidden] }).toEqual({ coarser: 3, hidden: [126, -126, 0] });
  });
});

describe('rmsNorm', () => {
  it('is the root mean square to within a unit, at any size of the stream', () => {
    const stream = fc.tuple(
      fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 8, maxLength: 200 }),
      fc.integer({ min: 1, max: 8388 }),
    );
    fc.assert(
      fc.property(stream, ([values, factor]) => {
        const x = Int32Array.from(values, (value) => value * factor);
        const q = new Int8Array(x.length);
        rmsNorm(x, q);
        const root = Math.hypot(...x) / Math.sqrt(x.length);
        x.forEach((value, i) => {
          const real = Math.max(-127, Math.min(127, root === 0 ? 0 : (32 * value) / root));
          expect(Math.abs(q[i] - real)).toBeLessThan(0.6 + Math.abs(real) / 128);
        });
      }),
    );
  });

  it('keeps within its bounds at the extremes', () => {
    for (const width of [8, 100, 4096]) {
      for (const fill of [0, 1, -1, RESIDUAL_MAX, -RESIDUAL_MAX]) {
        const q = new Int8Array(width);
        rmsNorm(new Int32Array(width).fill(fill), q);
        expect(Math.abs(q[0] - 32 * Math.sign(fill))).toBeLessThanOrEqual(1);
      }
      const peak = new Int32Array(width);
      peak[3] = RESIDUAL_MAX;
      const q = new Int8Array(width);
      rmsNorm(peak, q);
      expect(q[3]).toBe(Math.min(127, Math.round(32 * Math.sqrt(width))));
    }
  });
});

describe('scales', () => {
  it('come within 1/127 of any real scale', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-8, max: 60, noNaN: true }), (scale) => {
        const [mantissa, exponent] = scaleOfReal(scale);
        expect(Math.abs(mantissa / 2 ** exponent / scale - 1)).toBeLessThan(1 / 126);
      }),
    );
    expect(rescale(1000, 77, 8)).toBe(301); // 300.78
    expect(rescale(2 ** 21, 127, 31)).toBe(0);
  });
});

describe('transformerOf', () => {
  it('lists tensors in the order of the pass, scales last', () => {
    const { tensors, parameters } = transformerOf({ ...SMALL_SHAPE, blocks: 1, loopTo: 1, tied: true });
    expect(tensors.map(({ name }) => name)).toEqual([
      'embedding.weight',
      ...['query', 'key', 'value', 'output', 'gate', 'up', 'down'].map((name) => `block0.${name}.weight`),
      'scales',
    ]);
    const last = tensors.at(-1);
    expect(last && last.offset + last.rows * 2).toBe(parameters);
    expect(last?.rows).toBe(9); // seven of the block, one for each use of the embedding
  });

  it.each([
    [{ width: 20, heads: 3 }, /"width" expected a multiple of 6/],
    [{ keyHeads: 3 }, /"keyHeads" expected a divisor of 4 heads, got 3/],
    [{ context: 1 }, /"context" expected an integer in 2…1024, got 1/],
    [{ loopTo: 9 }, /"loopTo" expected/],
    [{ hidden: 16_384, width: 4096, heads: 64 }, /weights in a matrix/],
  ])('refuses %o', (change, message) => {
    expect(() => transformerOf({ ...SMALL_SHAPE, keyHeads: 1, ...change })).toThrow(message);
  });
});

describe('the reference', () => {
  const shapes: [string, Partial<TransformerShape>][] = [
    ['plain', {}],
    ['with grouped heads', { keyHeads: 2 }],
    ['with tied ternary embedding', { tied: true, embedding: 'ternary' }],
    ['with a loop over its second block', { loopFrom: 1, loopTo: 2, loops: 3 }],
  ];

  async function place(model: Transformer, values: Int8Array): Promise<Placed> {
    const placed = await reference.place(model, { batch: 4 });
    await placed.writeWeights(values);
    return placed;
  }

  it.each(shapes)('%s predicts what the same transformer in float does', async (_, change) => {
    const model = transformerOf({ ...SMALL_SHAPE, ...change });
    const values = randomValues(model, 1);
    const placed = await place(model, values);
    const text = randomText(4, model.context + 1);
    placed.load(batchOfWindows(text, model.context));
    const { losses } = await placed.evaluate();
    const float = new FloatTransformer(model, values);
    const real = [0, 1, 2, 3].flatMap((window) =>
      float.lossBits(text.subarray(window * (model.context + 1), (window + 1) * (model.context + 1))),
    );
    const difference = real.map((loss, i) => losses[i] / 65_536 - loss);
    const mean = difference.reduce((a, b) => a + b) / real.length;
    const spread = Math.sqrt(real.reduce((sum, loss) => sum + (loss - 8) ** 2, 0) / real.length);
    const error = Math.sqrt(difference.reduce((sum, one) => sum + one ** 2, 0) / real.length);
    expect(spread).toBeGreaterThan(0.5); // the losses say something
    expect(error).toBeLessThan(0.15 * spread); // i8 roundings
    expect(Math.abs(mean)).toBeLessThan(0.05 * spread);
  });

  it.each(shapes)('%s gives byte by byte what it gives in a window', async (_, change) => {
    const model = transformerOf({ ...SMALL_SHAPE, ...change });
    const placed = await place(model, randomValues(model, 2));
    const text = randomText(1, model.context + 1);
    placed.load(batchOfWindows(text, model.context));
    const { predictions } = await placed.evaluate();
    for (let position = 0; position < model.context; position++) {
      const logits = await placed.next(text[position]);
      expect(logits.indexOf(Math.max(...logits))).toBe(predictions[position]);
    }
    await expect(placed.next(0)).rejects.toThrow(/context of 16 bytes is full/);
  });

  it('does not see what comes later, and sees what came before', async () => {
    const model = transformerOf(SMALL_SHAPE);
    const placed = await place(model, randomValues(model, 3));
    const losses = async (text: Uint8Array) => {
      placed.load(batchOfWindows(text, model.context));
      return (await placed.evaluate()).losses;
    };
    const text = randomText(1, model.context + 1);
    const changed = text.slice();
    changed[8] ^= 1; // predicted at position 7, seen from 8 on
    const [before, after] = [await losses(text), await losses(changed)];
    expect(after.subarray(0, 7)).toEqual(before.subarray(0, 7));
    expect(after.subarray(8)).not.toEqual(before.subarray(8));
  });

  it('refuses windows, bytes and weights that do not fit', async () => {
    const model = transformerOf(SMALL_SHAPE);
    const placed = await reference.place(model, { batch: 1 });
    await expect(placed.evaluate()).rejects.toThrow(/no batch is loaded/);
    expect(() => placed.load(batchOfWindows(new Uint8Array(34), 16))).toThrow(
      /"batch" expected 1…1 windows, got 2/,
    );
    expect(() => placed.load(batchOfWindows(new Uint8Array(18), 17))).toThrow(
      /"length" expected an integer in 1…16/,
    );
    await expect(placed.next(256)).rejects.toThrow(/"byte" expected 0…255, got 256/);
    await expect(placed.writeWeights(new Int8Array(3))).rejects.toThrow(/"weights" expected/);
    const zeros = new Int8Array(model.parameters); // scales are at least 1
    await expect(placed.writeWeights(zeros)).rejects.toThrow(/"scales" expected values in 1…127, got 0/);
  });
});
