/** Checks that replaying on several threads gives the bits that one thread gives, also where helpers join late. */

import { describe, expect, it } from 'vitest';
import { openWasm } from '../src/backend/wasm/wasm.js';
import { logSets, poolSets } from '../src/random/directions.js';
import type { Key } from '../src/random/philox.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';

const key: Key = [3, 4];
const options = { centred: true, gain: 25, logitScale: 100 };

/** Weights after some work, on each number of threads. */
async function weightsOn(
  threads: readonly number[],
  widths: readonly number[],
  work: (placed: Awaited<ReturnType<Awaited<ReturnType<typeof openWasm>>['place']>>) => Promise<void>,
) {
  const results: Int8Array[] = [];
  for (const count of threads) {
    const backend = await openWasm({ threads: count });
    const placed = await backend.place(networkOf(widths, options), { batch: 1 });
    await placed.initLatents(key, 1);
    await work(placed);
    results.push(await placed.readWeights());
    await backend.close();
  }
  return results;
}

function expectAlike([first, ...others]: readonly Int8Array[]): void {
  for (const other of others)
    expect(Buffer.compare(Buffer.from(first.buffer), Buffer.from(other.buffer))).toBe(0);
}

describe('on one, two and three threads alike:', () => {
  it('a log of one set over all tensors, and of a set a tensor, in parts of unequal size', async () => {
    for (const counts of [[96], [50, 30, 16]]) {
      const results = await weightsOn([1, 2, 3], [101, 97, 31, 5], async (placed) => {
        const { tensors } = placed.graph;
        for (let step = 1; step <= 320; step++) {
          // 96 directions of up to 90 nonzeros: 2.7 million moves, so that helpers join on the way
          const sets = logSets(tensors, key, step, counts, 1 + (step % 90) * 2);
          for (const set of sets) {
            const coefficients = Int8Array.from({ length: set.directions }, (_, k) => ((k * step) % 3) - 1);
            await placed.applyStep(set, coefficients);
          }
        }
      });
      expectAlike(results);
    }
  });

  it('a pool and an initial draw of so many weights that helpers are started for them', async () => {
    const widths = [2048, 2048, 64, 10];
    const results = await weightsOn([1, 2, 3], widths, async (placed) => {
      expect(placed.graph.parameters).toBeGreaterThan(2 ** 22);
      const sets = poolSets(placed.graph.tensors, key, [4096, 512, 64]);
      await placed.applyPool(
        sets,
        Int16Array.from({ length: 4672 }, (_, k) => (k % 13) - 6),
      );
    });
    expectAlike(results);
  });
});

it('steps that wait are applied before anything is computed, and forgotten when latents are drawn anew', async () => {
  const backend = await openWasm({ threads: 2 });
  const placed = await backend.place(networkOf([36, 8, 4], options), { batch: 1 });
  const [set] = logSets(placed.graph.tensors, key, 1, [64], 4);
  const step = () => placed.applyStep(set, new Int8Array(64).fill(1));
  placed.load({ inputs: new Uint8Array(36).fill(100), labels: Uint8Array.of(1), length: 1 });
  await placed.initLatents(key, 0);
  const logits = async () => [...(await placed.logits())];
  const before = await logits();
  await step();
  expect(await logits()).not.toEqual(before);
  await step();
  await placed.initLatents(key, 0);
  expect(await logits()).toEqual(before);
  await backend.close();
});
