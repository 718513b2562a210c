/** A batch that is shared out: whatever its shards are, their alignments add up to those of the whole batch. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Backend, Probes } from '../src/backend/backend.js';
import type { Batch } from '../src/backend/batch.js';
import { batchOfWindows } from '../src/backend/batch.js';
import { alignmentsOfDirections } from '../src/backend/host-latents.js';
import { poolSets } from '../src/random/directions.js';
import type { Graph } from '../src/ternary/graph.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { transformerOf } from '../src/ternary/builders/transformer.js';
import { fastBackends, reference } from './support/backends.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

const perceptron = networkOf([19, 14, 9, 6], { centred: true, gain: 25, logitScale: 900 });
const transformer = transformerOf(SMALL_SHAPE);
const probes: Probes = { key: [7, 8], step: 3, probes: 3, sigma: 51, rewardShift: 3, horizon: 1 };

const examples = (count: number, seed: number): Batch => ({
  inputs: Uint8Array.from({ length: count * 19 }, (_, i) => (i * i * (seed + 3) + i * 7) % 128),
  labels: Uint8Array.from({ length: count }, (_, i) => (i + seed) % 6),
  length: 1,
});

/** Examples or windows from…to − 1. */
function part({ inputs, labels, length }: Batch, from: number, to: number): Batch {
  const width = inputs.length / labels.length;
  return {
    inputs: inputs.slice(from * length * width, to * length * width),
    labels: labels.slice(from * length, to * length),
    length,
  };
}

/** The alignments of all weights, shard by shard. */
async function alignmentsOf(
  on: Backend,
  graph: Graph,
  values: Int8Array,
  batch: Batch,
  cuts: readonly number[],
) {
  const { length } = batch;
  const rows = batch.labels.length;
  const ends = [...cuts, rows / length];
  const placed = await on.place(graph, { batch: rows / length, probes: probes.probes });
  await placed.writeWeights(values);
  const sums = new Int32Array(graph.parameters);
  for (const [i, from] of [0, ...cuts].entries()) {
    placed.load(part(batch, from, ends[i]));
    const { alignments } = await placed.align({ ...probes, shard: { first: from * length, rows } });
    alignments.forEach((alignment, at) => (sums[at] += alignment));
  }
  const counts = graph.tensors.map(({ rows: units, columns }) => Math.ceil((units * columns) / 3));
  placed.load(batch);
  const sets = poolSets(graph.tensors, [9, 9], counts);
  const directions = await placed.align(probes, sets);
  await placed.release();
  return { sums, directions: directions.alignments, ofSums: alignmentsOfDirections(sets, sums) };
}

describe.each([['reference', async () => reference] as const, ...fastBackends])(
  'shards on %s',
  (name, open) => {
    const scenes: readonly [string, Graph, (count: number, seed: number) => Batch][] = [
      ['examples', perceptron, examples],
      ['windows', transformer, (count, seed) => batchOfWindows(randomText(count, 6, seed), 5)],
    ];
    it.each(scenes)('of %s add up to the whole', async (__, graph, batchOf) => {
      const backend = await open();
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 2, max: 9 }), fc.nat(1000), async (count, seed) => {
          const values =
            graph === transformer
              ? randomValues(transformer, 1 + seed)
              : Int8Array.from({ length: graph.parameters }, (___, i) => ((i * i + i * seed) % 3) - 1);
          const batch = batchOf(count, seed);
          const cuts = Array.from({ length: count - 1 }, (___, i) => i + 1).filter((i) => (seed >> i) & 1);
          const right = await alignmentsOf(reference, graph, values, batch, []);
          const shared = await alignmentsOf(backend, graph, values, batch, cuts);
          expect(shared.sums).toEqual(right.sums);
          expect(shared.directions).toEqual(right.directions);
          expect(shared.ofSums).toEqual(right.directions);
        }),
        { numRuns: name.startsWith('webgpu') ? 2 : 6, seed: 20 },
      );
      if (backend !== reference) await backend.close();
    });
  },
);
