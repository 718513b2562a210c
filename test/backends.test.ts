import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend, PlacedNetwork, Room } from '../src/backend/backend.js';
import { type DirectionSet, directionSet } from '../src/random/directions.js';
import type { Key } from '../src/random/philox.js';
import { EXPONENT_MAX, type Network, networkOf } from '../src/ternary/network.js';
import { fastBackends, reference } from './support/backends.js';

/** A random network with a random batch, weights and key. */
interface Scene {
  network: Network;
  inputs: Uint8Array;
  labels: Uint8Array;
  trits: Int8Array;
  key: Key;
  cut: number;
}

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });

const scenes: fc.Arbitrary<Scene> = fc
  .record({
    inputs: fc.integer({ min: 1, max: 70 }),
    hidden: fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 3 }),
    classes: fc.integer({ min: 2, max: 21 }),
    batch: fc.integer({ min: 1, max: 40 }),
    centred: fc.boolean(),
    gain: fc.integer({ min: 1, max: 127 }),
    heat: fc.double({ min: 0, max: 1, noNaN: true }),
    key: fc.tuple(word, word),
    cut: fc.integer({ min: 0, max: 42 }),
    seed: fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
  })
  .map(({ inputs, hidden, classes, batch, centred, gain, heat, key, cut, seed }) => {
    const widths = [inputs, ...hidden, classes];
    const scaleMax = Math.floor(EXPONENT_MAX / (254 * (widths.at(-2) as number)));
    const network = networkOf(widths, {
      centred,
      gain,
      logitScale: Math.max(1, Math.floor(scaleMax * heat)),
    });
    const next = () => seed.next().value as number;
    return {
      network,
      inputs: Uint8Array.from({ length: batch * inputs }, () => next() >> 1),
      labels: Uint8Array.from({ length: batch }, () => next() % classes),
      trits: Int8Array.from({ length: network.parameters }, () => (next() % 3) - 1),
      key,
      cut,
    };
  });

const room: Room = { batch: 40, probes: 20, weights: true };

async function placed(backend: Backend, scene: Scene): Promise<PlacedNetwork> {
  const network = await backend.place(scene.network, room);
  network.loadBatch(scene.inputs, scene.labels);
  await network.writeWeights(scene.trits);
  return network;
}

function setsOf({ network, key }: Scene, step: number, share: number): DirectionSet[] {
  return network.tensors.map(({ rows, columns, offset }, group) => {
    const size = rows * columns;
    const directions = Math.max(1, Math.ceil(size * share));
    return directionSet({ key, step, group, offset, size, directions, touched: size });
  });
}

describe.each(fastBackends)('%s equals the reference', (_, open) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.close());

  /** Runs the same work on both and expects equal results. */
  function agree<Extra>(
    extra: fc.Arbitrary<Extra>,
    work: (on: PlacedNetwork, scene: Scene, extra: Extra) => Promise<unknown>,
  ) {
    return fc.assert(
      fc.asyncProperty(scenes, extra, async (scene, more) => {
        const mine = await placed(backend, scene);
        const theirs = await placed(reference, scene);
        try {
          expect(await work(mine, scene, more)).toEqual(await work(theirs, scene, more));
        } finally {
          await mine.release();
        }
      }),
      { numRuns: 60 },
    );
  }

  it('forward: logits, losses, predictions', () =>
    agree(fc.constant(null), async (on) => [await on.logits(), await on.evaluate()]));

  it('weights: written and read back', () => agree(fc.constant(null), (on) => on.readWeights()));

  it('latents: initial draw', () =>
    agree(fc.constant(null), async (on, { key, cut }) => {
      await on.initLatents(key, cut);
      return on.readWeights();
    }));

  it('log steps, over the whole model and over tensors', () =>
    agree(fc.double({ min: 0.01, max: 1, noNaN: true }), async (on, scene, share) => {
      const { network, key, cut } = scene;
      await on.initLatents(key, cut);
      const directions = Math.max(1, Math.floor(network.parameters * share));
      const whole = { key, group: network.tensors.length, offset: 0, size: network.parameters };
      for (let step = 1; step <= 3; step++) {
        const set = directionSet({ ...whole, step, directions, touched: directions });
        await on.applyStep(
          set,
          Int8Array.from({ length: directions }, (_v, k) => ((k * 7) % 3) - 1),
        );
        for (const part of setsOf(scene, step, share)) {
          await on.applyStep(
            part,
            Int8Array.from({ length: part.directions }, (_v, k) => ((k * 5) % 3) - 1),
          );
        }
      }
      return on.readWeights();
    }));

  it('pools', () =>
    agree(fc.double({ min: 0.01, max: 1, noNaN: true }), async (on, scene, share) => {
      await on.initLatents(scene.key, scene.cut);
      const sets = setsOf(scene, 0, share);
      const count = sets.reduce((sum, set) => sum + set.directions, 0);
      await on.applyPool(
        sets,
        Int16Array.from({ length: count }, (_v, k) => ((k * 37) % 41) - 20),
      );
      return on.readWeights();
    }));

  it('weights estimator', () =>
    agree(
      fc.record({
        directions: fc.integer({ min: 1, max: 12 }),
        nonzeros: fc.integer({ min: 1, max: 20 }),
        first: fc.nat(11),
      }),
      (on, { network, key }, { directions, nonzeros, first }) => {
        const size = network.parameters;
        const touched = Math.min(size, directions * nonzeros);
        const set = directionSet({
          ...{ key, step: 3, group: network.tensors.length, offset: 0, size },
          ...{ directions: Math.min(directions, touched), touched },
        });
        return on.alignWeights(set, first % set.directions, Math.min(7, set.directions));
      },
    ));

  it('nodes estimator, some tensors frozen', () =>
    agree(
      fc.record({
        probes: fc.integer({ min: 1, max: 20 }),
        sigma: fc.integer({ min: 1, max: 256 }),
        rewardShift: fc.integer({ min: 0, max: 16 }),
        share: fc.double({ min: 0.01, max: 1, noNaN: true }),
        frozen: fc.nat(4),
      }),
      (on, scene, { probes, sigma, rewardShift, share, frozen }) => {
        const sets = setsOf(scene, 0, share).filter(({ group }) => group !== frozen);
        return on.alignNodes({ key: scene.key, step: 5, probes, sigma, rewardShift }, sets);
      },
    ));

  it('wide layers: sums past what 16-bit lanes hold, at their extremes', async () => {
    const batch = 5;
    const network = networkOf([4500, 600, 5], { centred: true, gain: 40, logitScale: 500 });
    const key: Key = [7, 8];
    const scene: Scene = {
      ...{ network, key, cut: 0 },
      inputs: new Uint8Array(batch * 4500).fill(127).map((value, i) => (i % 11 === 0 ? 0 : value)),
      labels: Uint8Array.from({ length: batch }, (_v, b) => b),
      // Rows of ones and of minus ones beside mixed ones: the largest sums there are.
      trits: Int8Array.from({ length: network.parameters }, (_v, i) =>
        Math.floor(i / 4500) % 3 === 2 ? ((i * 7) % 3) - 1 : (Math.floor(i / 4500) % 3) * 2 - 1,
      ),
    };
    const size = network.parameters;
    const group = network.tensors.length;
    // Many nonzeros change every activation of the hidden layer.
    const set = directionSet({ key, step: 1, group, offset: 0, size, directions: 3, touched: 30_000 });
    const probes = { key, step: 2, probes: 3, sigma: 51, rewardShift: 5 };
    const results = [];
    for (const one of [backend, reference]) {
      const on = await placed(one, scene);
      results.push([
        await on.logits(),
        await on.alignWeights(set, 0, 3),
        await on.alignNodes(probes, setsOf(scene, 0, 0.0005)),
      ]);
      await on.release();
    }
    expect(results[0]).toEqual(results[1]);
  });
});
