/** Models as data: programs write before they read, and prove that nothing leaves 32 bits. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limitsOf } from '../src/ops/bounds.js';
import { OPS } from '../src/ops/index.js';
import type { Graph } from '../src/ternary/graph.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { TENSOR_WEIGHTS_MAX } from '../src/ternary/model.js';
import { WIDTH_MAX } from '../src/ternary/units.js';
import { type LayerPrecision, PRECISIONS } from '../src/ternary/precision.js';
import { transformerOf } from '../src/ternary/builders/transformer.js';
import { SMALL_SHAPE } from './support/transformers.js';

const networks: fc.Arbitrary<Graph> = fc
  .record({
    widths: fc.array(fc.integer({ min: 1, max: WIDTH_MAX }), { minLength: 1, maxLength: 5 }),
    classes: fc.integer({ min: 2, max: 256 }),
    precision: fc.constantFrom(...(Object.keys(PRECISIONS) as LayerPrecision[])),
    centred: fc.boolean(),
    gain: fc.integer({ min: 1, max: 127 }),
  })
  .map(({ widths, classes, precision, centred, gain }) => {
    // Each layer as wide as its tensor may be.
    const fitted = widths.reduce<number[]>((all, width) => {
      return [...all, Math.max(1, Math.min(width, Math.floor(TENSOR_WEIGHTS_MAX / (all.at(-1) ?? 1))))];
    }, []);
    const last = Math.min(fitted.at(-1) as number, Math.floor(TENSOR_WEIGHTS_MAX / classes));
    const all = [...fitted.slice(0, -1), last, classes];
    const least = Math.ceil((254 * Math.max(...all)) / 2 ** 22);
    return networkOf(all, {
      ...{ centred, gain: Math.max(gain, least), logitScale: Math.floor(2 ** 28 / (254 * last)) },
      precision: all.slice(1).map(() => precision),
    });
  });

const transformers: fc.Arbitrary<Graph> = fc
  .record({
    blocks: fc.integer({ min: 1, max: 3 }),
    heads: fc.constantFrom(1, 2, 4),
    size: fc.constantFrom(2, 8, 64, 1024),
    hidden: fc.constantFrom(8, 1000, 1024),
    context: fc.integer({ min: 2, max: 1024 }),
    loops: fc.integer({ min: 1, max: 4 }),
    tied: fc.boolean(),
    embedding: fc.constantFrom('int8' as const, 'ternary' as const),
  })
  .map(({ blocks, heads, size, hidden, context, loops, tied, embedding }) =>
    transformerOf({
      ...{ blocks, heads, keyHeads: 1, hidden, context, loopFrom: 0, loopTo: blocks, loops, tied, embedding },
      width: Math.max(8, Math.min(2048, size * heads)),
    }),
  );

describe.each([
  ['perceptrons', networks],
  ['transformers', transformers],
] as const)('programs of %s', (_, graphs) => {
  it('write every slot once, and before it is read', () => {
    fc.assert(
      fc.property(graphs, ({ slots, program }) => {
        const written = new Set([0]);
        for (const { inputs, outputs } of program) {
          for (const slot of inputs) expect(written).toContain(slot);
          for (const slot of outputs) expect(written).not.toContain(slot);
          for (const slot of outputs) written.add(slot);
        }
        expect(written.size).toBe(slots.length);
        expect(program.at(-1)?.op).toBe('loss');
      }),
    );
  });

  it('prove their bounds at any size that the builder takes', () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        for (const limit of limitsOf(graph)) expect(limit).toBeLessThan(2 ** 31);
      }),
    );
  });

  it('read every tensor, and probe sites of their own', () => {
    fc.assert(
      fc.property(graphs, ({ program, tensors }) => {
        expect(new Set(program.flatMap((op) => op.tensors)).size).toBe(tensors.length);
        const sites = program.flatMap(({ probe }) => (probe && probe !== 'exact' ? [probe.site] : []));
        expect(new Set(sites).size).toBe(sites.length);
      }),
    );
  });
});

it('a bound that does not hold is named', () => {
  const network = networkOf([16, 8, 3], { centred: true, gain: 25, logitScale: 900 });
  const [first, ...rest] = network.program;
  const program = [
    first,
    { ...rest[0], attributes: { centred: true, gain: 0.0001 } },
    ...rest.slice(1),
  ] as never;
  expect(() => limitsOf({ ...network, program })).toThrow(
    'normalize expected magnitudes up to gain · 2^22, got 4064',
  );
  const loss = { ...network.program.at(-1), attributes: { logitScale: 2 ** 20 } } as never;
  expect(() => limitsOf({ ...network, program: [...network.program.slice(0, -1), loss] })).toThrow(
    'exponents of the softmax expected magnitudes below',
  );
});

it('a looped block is named again, with tensors of its own and other slots', () => {
  const once = transformerOf(SMALL_SHAPE);
  const thrice = transformerOf({ ...SMALL_SHAPE, loops: 3 });
  expect(thrice.tensors).toEqual(once.tensors);
  expect(thrice.applications).toBe(3);
  expect(thrice.program.filter(({ op }) => op === 'attention')).toHaveLength(6);
});

it('the registry has a definition of every operation under its own name', () => {
  const used = new Set(
    [networkOf([4, 3, 2], { centred: false, gain: 9, logitScale: 1 }), transformerOf(SMALL_SHAPE)].flatMap(
      ({ program }) => program.map(({ op }) => op),
    ),
  );
  expect([...used].sort()).toEqual(Object.keys(OPS).sort());
});
