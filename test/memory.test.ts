import { expect, it } from 'vitest';
import { openWasm } from '../src/backend/wasm/wasm.js';
import { directionSet } from '../src/random/directions.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';

/** Work memory after one `nodes` step with a pool of 100 directions a tensor, on one thread. */
async function workBytes(widths: number[], batch: number): Promise<number> {
  const backend = await openWasm({ threads: 1 });
  const network = networkOf(widths, { centred: true, gain: 25, logitScale: 100 });
  const placed = await backend.place(network, { batch, probes: 4 });
  await placed.initLatents([1, 2], 1);
  placed.load({
    inputs: new Uint8Array(batch * widths[0]).fill(100),
    labels: new Uint8Array(batch),
    length: 1,
  });
  const sets = network.tensors.map(({ rows, columns, offset }, group) => {
    const size = rows * columns;
    return directionSet({ key: [1, 2], step: 0, group, offset, size, directions: 100, touched: size });
  });
  const probes = { key: [1, 2], step: 1, probes: 4, sigma: 51, rewardShift: 5 } as const;
  await placed.align(probes, sets);
  await placed.applyPool(sets, new Int16Array(100 * sets.length));
  const { work } = placed.memory;
  await backend.close();
  return work;
}

it('work memory does not grow with the batch', async () => {
  expect(await workBytes([784, 256, 10], 1024)).toBe(await workBytes([784, 256, 10], 16));
});

it('work memory grows with the widths of a tile, not with the number of weights', async () => {
  const narrow = await workBytes([256, 256, 10], 64);
  const wide = await workBytes([512, 512, 10], 64); // 3.9 times the weights
  expect(wide).toBeLessThan(2.1 * narrow);
});
