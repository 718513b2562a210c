/** Node perturbation of transformers: the same alignments on every backend, and what they mean. */

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchOfWindows } from '../src/backend/batch.js';
import type { Backend, Probes } from '../src/backend/backend.js';
import { openBackend } from '../src/backend/open.js';
import { VALUE_RANGES } from '../src/ternary/precision.js';
import { type TransformerShape, transformerOf } from '../src/ternary/builders/transformer.js';
import { allBackends, reference } from './support/backends.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

const backends = allBackends;
const probes: Probes = { key: [3, 4], step: 5, probes: 2, sigma: 51, rewardShift: 2, horizon: 2 };

const shapes = fc
  .record({
    blocks: fc.integer({ min: 1, max: 2 }),
    keyHeads: fc.integer({ min: 1, max: 2 }),
    share: fc.integer({ min: 1, max: 2 }),
    headSize: fc.constantFrom(4, 6, 10),
    hidden: fc.integer({ min: 8, max: 150 }),
    context: fc.constantFrom(2, 7, 12),
    loops: fc.integer({ min: 1, max: 2 }),
    embedding: fc.constantFrom('int8' as const, 'ternary' as const),
  })
  .map(({ blocks, keyHeads, share, headSize, ...rest }): TransformerShape => ({
    ...{ blocks, keyHeads, heads: keyHeads * share, width: keyHeads * share * headSize },
    ...{ loopFrom: 0, loopTo: 1, tied: false },
    ...rest,
  }))
  .filter(({ width }) => width >= 8);

describe.each(backends)('%s', (name, open) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.close());

  it('aligns as the reference does, whatever the shape and the probes', () =>
    fc.assert(
      fc.asyncProperty(
        shapes,
        fc.record({
          windows: fc.integer({ min: 1, max: 3 }),
          probes: fc.integer({ min: 0, max: 18 }),
          sigma: fc.integer({ min: 1, max: 256 }),
          rewardShift: fc.integer({ min: 0, max: 8 }),
          horizon: fc.integer({ min: 0, max: 4 }),
          seed: fc.nat(1000),
        }),
        async (shape, { windows, seed, ...rest }) => {
          const model = transformerOf(shape);
          const length = 1 + (seed % shape.context);
          const results = [];
          for (const one of [backend, reference]) {
            const placed = await one.place(model, { batch: windows, probes: 18 });
            await placed.writeWeights(randomValues(model, seed + 1));
            placed.load(batchOfWindows(randomText(windows, length + 1, seed), length));
            const wanted = { ...probes, ...rest, probes: Math.min(rest.probes, seed % 7 === 0 ? 18 : 3) };
            results.push(await placed.align(wanted), await placed.align(wanted), await placed.evaluate());
            await placed.release();
          }
          const [mine, again, after, right] = results;
          expect(mine).toEqual(right);
          expect(again).toEqual(mine);
          expect((mine as typeof again & { evaluation: unknown }).evaluation).toEqual(after);
        },
      ),
      { numRuns: name.startsWith('webgpu') ? 3 : 8 },
    ));

  it('stays exact with all weights and scales at their largest', async () => {
    expect(await alignedAtExtremes(backend)).toEqual(await (extremes ??= alignedAtExtremes(reference)));
  });
});

/** What the reference says of all weights and scales at their largest. */
let extremes: Promise<unknown> | undefined;

async function alignedAtExtremes(on: Backend) {
  const model = transformerOf({ ...SMALL_SHAPE, width: 64, hidden: 1040, context: 4 });
  const values = randomValues(model, 9);
  for (const { values: kind, rows, columns, offset } of model.tensors) {
    const largest = VALUE_RANGES[kind][1];
    for (let i = 0; i < rows * columns; i++) {
      if (kind !== 'scale') values[offset + i] = i % 3 === 0 ? -largest : largest;
      else values[offset + i] = i % 2 === 0 ? 127 : 1 + (i % 20);
    }
  }
  const placed = await on.place(model, { batch: 2, probes: 64 });
  await placed.writeWeights(values);
  placed.load(batchOfWindows(randomText(2, 5), 4));
  const aligned = await placed.align({ ...probes, probes: 1, sigma: 256, rewardShift: 0 });
  await placed.release();
  return aligned;
}

describe('an alignment', () => {
  it('of the head is its gradient, from the logits and what they are made of', async () => {
    const model = transformerOf({ ...SMALL_SHAPE, blocks: 1, loopTo: 1 });
    const values = randomValues(model, 2);
    const text = randomText(1, 9);
    const placed = await reference.place(model, { batch: 1, probes: 64 });
    await placed.writeWeights(values);
    placed.load(batchOfWindows(text, 8));
    const { alignments } = await placed.align({ ...probes, probes: 0 });
    const head = model.head.weights;
    // What a row of the head is multiplied with is found by asking a head of unit rows.
    const expectedOf = new Float64Array(head.rows * head.columns);
    const logits: Int32Array[] = [];
    for (let position = 0; position < 8; position++) logits.push(await placed.next(text[position]));
    const inputs = await finalInputs(values, text);
    for (const [position, row] of logits.entries()) {
      const weights = Array.from(row, (logit) => 2 ** ((logit - Math.max(...row)) / 65_536));
      const sum = weights.reduce((a, b) => a + b, 0);
      for (let c = 0; c < head.rows; c++) {
        const error = 2048 * (weights[c] / sum - (c === text[position + 1] ? 1 : 0));
        for (let i = 0; i < head.columns; i++)
          expectedOf[c * head.columns + i] += error * inputs[position][i];
      }
    }
    for (let i = 0; i < expectedOf.length; i++) {
      expect(Math.abs(alignments[head.offset + i] - expectedOf[i])).toBeLessThan(8 * 127 * 0.75);
    }
    expect(alignments.subarray(0, head.offset).every((value) => value === 0)).toBe(true);

    /** The final normalized activations: logits of a head whose row c is 64 at column c, at a scale that keeps them. */
    async function finalInputs(trained: Int8Array, bytes: Uint8Array): Promise<number[][]> {
      const probe = trained.slice();
      probe.fill(0, head.offset, head.offset + head.rows * head.columns);
      for (let c = 0; c < head.columns; c++) probe[head.offset + c * head.columns + c] = 64;
      probe.set([64, 6], model.scales.offset + 2 * model.head.scale);
      const other = await reference.place(model, { batch: 1 });
      await other.writeWeights(probe);
      const rows: number[][] = [];
      for (let position = 0; position < 8; position++) {
        const found = await other.next(bytes[position]);
        rows.push(Array.from(found.subarray(0, head.columns), (logit) => logit / 64 / 64));
      }
      return rows;
    }
  });

  it('of a matrix points down the loss: probes of many steps agree with its change', async () => {
    const model = transformerOf({ ...SMALL_SHAPE, blocks: 1, loopTo: 1 });
    const values = randomValues(model, 4);
    const backend = await openBackend('wasm');
    const placed = await backend.place(model, { batch: 4, probes: 64 });
    await placed.writeWeights(values);
    placed.load(batchOfWindows(randomText(4, 9, 3), 8));
    const { weights } = model.layers[0].down;
    const size = weights.rows * weights.columns;
    const sums = new Float64Array(size);
    for (let step = 0; step < 30; step++) {
      const { alignments } = await placed.align({ ...probes, probes: 8, step });
      for (let i = 0; i < size; i++) sums[i] += alignments[weights.offset + i];
    }
    const total = async () => (await placed.evaluate()).losses.reduce((a, b) => a + b, 0);
    const before = await total();
    const largest = Array.from(sums.keys())
      .sort((a, b) => Math.abs(sums[b]) - Math.abs(sums[a]))
      .slice(0, 60);
    const moved = values.slice();
    for (const i of largest) {
      const at = weights.offset + i;
      moved[at] = Math.max(-1, Math.min(1, moved[at] - Math.sign(sums[i])));
    }
    await placed.writeWeights(moved);
    expect(await total()).toBeLessThan(before * 0.99);
    await backend.close();
  });

  it('is refused where there is no room, or the head is the embedding', async () => {
    const model = transformerOf(SMALL_SHAPE);
    const placed = await reference.place(model, { batch: 1 });
    placed.load(batchOfWindows(randomText(1, 9), 8));
    await expect(placed.align(probes)).rejects.toThrow('no room for "align"');
    const tied = transformerOf({ ...SMALL_SHAPE, tied: true });
    await expect(reference.place(tied, { batch: 1, probes: 64 })).rejects.toThrow('"tied" expected false');
    const roomy = await reference.place(model, { batch: 1, probes: 64 });
    await expect(roomy.align(probes)).rejects.toThrow('no batch is loaded');
    roomy.load(batchOfWindows(randomText(1, 9), 8));
    await expect(roomy.align({ ...probes, horizon: 5 })).rejects.toThrow(
      '"horizon" expected an integer in 0…4, got 5',
    );
  });
});
