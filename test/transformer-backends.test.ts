/** Transformers on every backend: the same losses, predictions and logits as the reference, bit for bit. */

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchOfWindows } from '../src/backend/batch.js';
import type { Backend } from '../src/backend/backend.js';
import { evaluateText } from '../src/backend/evaluate.js';
import { sample } from '../src/backend/sample.js';
import { VALUE_RANGES } from '../src/ternary/precision.js';
import { type TransformerShape, transformerOf } from '../src/ternary/builders/transformer.js';
import { allBackends, reference } from './support/backends.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

const shapes = fc
  .record({
    blocks: fc.integer({ min: 1, max: 3 }),
    keyHeads: fc.integer({ min: 1, max: 3 }),
    share: fc.integer({ min: 1, max: 3 }),
    pairs: fc.integer({ min: 1, max: 20 }),
    hidden: fc.integer({ min: 8, max: 150 }),
    context: fc.constantFrom(2, 7, 16, 33),
    loops: fc.integer({ min: 1, max: 3 }),
    tied: fc.boolean(),
    embedding: fc.constantFrom('int8' as const, 'ternary' as const),
  })
  .map(({ blocks, keyHeads, share, pairs, ...rest }): TransformerShape => {
    const heads = keyHeads * share;
    const width = Math.max(8, heads * 2 * pairs);
    return {
      ...rest,
      blocks,
      heads,
      keyHeads,
      width: width - (width % (2 * heads)),
      loopFrom: blocks - 1,
      loopTo: blocks,
    };
  })
  .filter(({ width }) => width >= 8);

describe.each(allBackends)('%s', (name, open) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.close());

  it('has the reference’s losses, predictions and logits, whatever the shape', () =>
    fc.assert(
      fc.asyncProperty(shapes, fc.integer({ min: 1, max: 5 }), fc.nat(), async (shape, windows, seed) => {
        const model = transformerOf(shape);
        const values = randomValues(model, seed + 1);
        const [mine, right] = [
          await backend.place(model, { batch: windows }),
          await reference.place(model, { batch: windows }),
        ];
        const length = 1 + (seed % shape.context);
        const text = randomText(windows, length + 1, seed);
        for (const placed of [mine, right]) {
          await placed.writeWeights(values);
          placed.load(batchOfWindows(text, length));
        }
        expect(await mine.evaluate()).toEqual(await right.evaluate());
        for (let position = 0; position < length; position++) {
          expect(await mine.next(text[position])).toEqual(await right.next(text[position]));
        }
        await mine.release();
      }),
      { numRuns: name.startsWith('webgpu') ? 4 : 25 },
    ));

  it.each(['least', 'largest', 'mixed'])(
    'stays exact with all weights and scales at their %s',
    async (which) => {
      const model = transformerOf({ ...SMALL_SHAPE, width: 64, hidden: 1040 }); // more than a segment of i16 sums
      const values = randomValues(model, 9);
      for (const { values: kind, rows, columns, offset } of model.tensors) {
        const [least, largest] = VALUE_RANGES[kind];
        for (let i = 0; i < rows * columns; i++) {
          const low = which === 'mixed' ? i % 3 === 0 : which === 'least';
          if (kind !== 'scale') values[offset + i] = low ? least : largest;
          else if (i % 2 === 0) values[offset + i] = low ? 1 : 127;
          else values[offset + i] = which === 'mixed' ? 1 + (i % 40) : 1;
        }
      }
      const text = randomText(2, 17);
      const results = [];
      for (const one of [backend, reference]) {
        const placed = await one.place(model, { batch: 2 });
        await placed.writeWeights(values);
        placed.load(batchOfWindows(text, 16));
        results.push([await placed.evaluate(), await placed.next(3), await placed.next(200)]);
        await placed.release();
      }
      expect(results[0]).toEqual(results[1]);
    },
  );

  it('makes the same text of the same seed, and scores a text alike', async () => {
    const model = transformerOf(SMALL_SHAPE);
    const made = [];
    for (const one of [backend, reference]) {
      const placed = await one.place(model, { batch: 3 });
      await placed.writeWeights(randomValues(model, 5));
      const bytes = [];
      const options = {
        prompt: Uint8Array.of(97),
        length: 40,
        temperature: 0.9,
        topK: 50,
        key: [7, 7] as const,
      };
      for await (const byte of sample(placed, options)) bytes.push(byte);
      made.push([bytes, await evaluateText(placed, randomText(1, 100), { windows: 3, stride: 5 })]);
      await placed.release();
    }
    expect(made[0]).toEqual(made[1]);
  });
});
