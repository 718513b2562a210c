import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend, Placed, Room } from '../src/backend/backend.js';
import { type DirectionSet, directionSet } from '../src/random/directions.js';
import type { Key } from '../src/random/philox.js';
import { ConfigError } from '../src/errors.js';
import { EXPONENT_MAX, WIDTH_MAX } from '../src/ternary/units.js';
import { type Network, isTernary, networkOf } from '../src/ternary/builders/perceptron.js';
import { type LayerPrecision, PRECISIONS, VALUE_RANGES } from '../src/ternary/precision.js';
import { allBackends, reference, runsOn } from './support/backends.js';

/** A random network with a random batch, weights and key. */
interface Scene {
  network: Network;
  inputs: Uint8Array;
  labels: Uint8Array;
  weights: Int8Array;
  key: Key;
  cut: number;
}

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });

const scenesOf = (precision: fc.Arbitrary<LayerPrecision>): fc.Arbitrary<Scene> =>
  fc
    .record({
      inputs: fc.integer({ min: 1, max: 70 }),
      hidden: fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 3 }),
      precisions: fc.array(precision, { minLength: 4, maxLength: 4 }),
      classes: fc.integer({ min: 2, max: 21 }),
      batch: fc.integer({ min: 1, max: 40 }),
      centred: fc.boolean(),
      gain: fc.integer({ min: 1, max: 127 }),
      heat: fc.double({ min: 0, max: 1, noNaN: true }),
      key: fc.tuple(word, word),
      cut: fc.integer({ min: 0, max: 42 }),
      seed: fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
    })
    .map(({ inputs, hidden, precisions, classes, batch, centred, gain, heat, key, cut, seed }) => {
      const widths = [inputs, ...hidden, classes];
      const scaleMax = Math.floor(EXPONENT_MAX / (254 * (widths.at(-2) as number)));
      const network = networkOf(widths, {
        centred,
        gain,
        logitScale: Math.max(1, Math.floor(scaleMax * heat)),
        precision: precisions.slice(0, widths.length - 1),
      });
      const next = () => seed.next().value as number;
      return {
        network,
        inputs: Uint8Array.from({ length: batch * inputs }, () => next() >> 1),
        labels: Uint8Array.from({ length: batch }, () => next() % classes),
        weights: weightsOf(network, next),
        key,
        cut,
      };
    });

/** Values of every tensor from bytes, an eighth of them the largest there is. */
function weightsOf({ tensors, parameters }: Network, next: () => number): Int8Array {
  const weights = new Int8Array(parameters);
  for (const { values, rows, columns, offset } of tensors) {
    const [least, largest] = VALUE_RANGES[values];
    for (let i = offset; i < offset + rows * columns; i++) {
      const byte = next();
      weights[i] = byte < 32 ? largest : least + (byte % (largest - least + 1));
    }
  }
  return weights;
}

const scenes = scenesOf(fc.constant('ternary'));
const mixedScenes = scenesOf(fc.constantFrom(...(Object.keys(PRECISIONS) as LayerPrecision[])));

const room: Room = { batch: 40, probes: 20, weights: true };
/** Of a network that is not all ternary. */
const forwardRoom: Room = { batch: 40 };

async function placed(backend: Backend, scene: Scene): Promise<Placed> {
  const network = await backend.place(scene.network, isTernary(scene.network) ? room : forwardRoom);
  network.load({ inputs: scene.inputs, labels: scene.labels, length: 1 });
  await network.writeWeights(scene.weights);
  return network;
}

function setsOf({ network, key }: Scene, step: number, share: number): DirectionSet[] {
  return network.tensors.map(({ rows, columns, offset }, group) => {
    const size = rows * columns;
    const directions = Math.max(1, Math.ceil(size * share));
    return directionSet({ key, step, group, offset, size, directions, touched: size });
  });
}

describe.each(allBackends)('%s equals the reference', (name, open) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.close());

  /** Runs the same work on both and expects equal results. */
  function agree<Extra>(
    extra: fc.Arbitrary<Extra>,
    work: (on: Placed, scene: Scene, extra: Extra) => Promise<unknown>,
    from = scenes,
  ) {
    return fc.assert(
      fc.asyncProperty(from, extra, async (scene, more) => {
        const mine = await placed(backend, scene);
        const theirs = await placed(reference, scene);
        try {
          expect(await work(mine, scene, more)).toEqual(await work(theirs, scene, more));
        } finally {
          await mine.release();
        }
      }),
      { numRuns: runsOn(name) },
    );
  }

  it('forward: logits, losses, predictions', () =>
    agree(fc.constant(null), async (on) => [await on.logits(), await on.evaluate()]));

  it('forward at any precision, a layer each: logits, losses, predictions', () =>
    agree(fc.constant(null), async (on) => [await on.logits(), await on.evaluate()], mixedScenes));

  it.each(['int4', 'int8', 'ternary-row', 'int4-row', 'int8-row'] as const)(
    'forward of the widest %s layers, at the extremes of weights and scales',
    async (precision) => {
      for (const widths of [
        [WIDTH_MAX, 5, 3],
        [WIDTH_MAX, 2],
      ]) {
        const layers = widths.length - 1;
        const network = networkOf(widths, {
          ...{ centred: true, gain: 40, logitScale: 16 },
          precision: Array.from({ length: layers }, () => precision),
        });
        const weights = new Int8Array(network.parameters);
        for (const { values, rows, columns, offset } of network.tensors) {
          const [least, largest] = VALUE_RANGES[values];
          // Rows of the largest, of the least and of both.
          for (let row = 0; row < rows; row++) {
            const from = offset + row * columns;
            weights.fill(row % 3 === 1 ? least : largest, from, from + columns);
            if (row % 3 === 2) weights.fill(least, from, from + Math.floor(columns / 3));
          }
        }
        const batch = 3;
        const scene: Scene = {
          ...{ network, weights, key: [0, 0], cut: 0 },
          inputs: new Uint8Array(batch * WIDTH_MAX).fill(127).fill(3, 2 * WIDTH_MAX + 700),
          labels: Uint8Array.from({ length: batch }, (_v, b) => b % (widths.at(-1) as number)),
        };
        const results = [];
        for (const one of [backend, reference]) {
          const on = await placed(one, scene);
          results.push([await on.logits(), await on.evaluate()]);
          await on.release();
        }
        expect(results[0]).toEqual(results[1]);
      }
    },
  );

  it('weights: written and read back', () => agree(fc.constant(null), (on) => on.readWeights(), mixedScenes));

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
        return on.align({ key: scene.key, step: 5, probes, sigma, rewardShift }, sets);
      },
    ));

  it.each([
    ['one row, one column, one example', [1, 1, 2], 1],
    ['one column', [1, 37, 3], 5],
    ['one row', [33, 1, 2], 3],
    ['odd sizes', [17, 35, 3, 5], 31],
  ])('%s: every operation', async (_name, widths, batch) => {
    const network = networkOf(widths, { centred: true, gain: 25, logitScale: 50 });
    const key: Key = [3, 4];
    const scene: Scene = {
      ...{ network, key, cut: 1 },
      inputs: Uint8Array.from({ length: batch * widths[0] }, (_v, i) => (i * 37 + 90) % 128),
      labels: Uint8Array.from({ length: batch }, (_v, b) => b % (widths.at(-1) as number)),
      weights: Int8Array.from({ length: network.parameters }, (_v, i) => ((i * 7 + 2) % 3) - 1),
    };
    const whole = { key, step: 1, group: network.tensors.length, offset: 0, size: network.parameters };
    const set = directionSet({ ...whole, directions: 2, touched: network.parameters });
    const probes = { key, step: 2, probes: 3, sigma: 51, rewardShift: 2 };
    const results = [];
    for (const one of [backend, reference]) {
      const on = await placed(one, scene);
      const found: unknown[] = [await on.logits(), await on.alignWeights(set, 0, 2)];
      found.push(await on.align(probes, setsOf(scene, 0, 0.5)));
      await on.initLatents(key, 1);
      await on.applyStep(set, Int8Array.of(1, -1));
      found.push(await on.readWeights(), await on.evaluate());
      const sets = setsOf(scene, 0, 1);
      await on.initLatents(key, 1);
      await on.applyPool(
        sets,
        Int16Array.from({ length: network.parameters }, (_v, k) => ((k * 5) % 7) - 3),
      );
      found.push(await on.readWeights());
      results.push(found);
      await on.release();
    }
    expect(results[0]).toEqual(results[1]);
  });

  it('refuses an empty batch, and work before there is one', async () => {
    const network = networkOf([4, 3, 2], { centred: true, gain: 25, logitScale: 50 });
    const on = await backend.place(network, { batch: 4 });
    await expect(on.evaluate()).rejects.toThrow(ConfigError);
    expect(() => on.load({ inputs: new Uint8Array(0), labels: new Uint8Array(0), length: 1 })).toThrow(
      ConfigError,
    );
    await expect(on.evaluate()).rejects.toThrow(ConfigError);
    await on.release();
  });

  it.each([
    { batch: 5, width: 600 },
    { batch: 33, width: 71 },
  ])(
    'wide layers, a batch of $batch: sums past what 16-bit lanes hold, at their extremes',
    async ({ batch, width }) => {
      const hidden = name.startsWith('webgpu') ? 60 : width; // a software adapter takes its time
      const network = networkOf([4500, hidden, 5], { centred: true, gain: 40, logitScale: 500 });
      const key: Key = [7, 8];
      const scene: Scene = {
        ...{ network, key, cut: 0 },
        inputs: new Uint8Array(batch * 4500).fill(127).map((value, i) => (i % 11 === 0 ? 0 : value)),
        labels: Uint8Array.from({ length: batch }, (_v, b) => b % 5),
        // Rows of ones and of minus ones beside mixed ones: the largest sums there are.
        weights: Int8Array.from({ length: network.parameters }, (_v, i) =>
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
          await on.align(probes, setsOf(scene, 0, 0.0005)),
        ]);
        await on.release();
      }
      expect(results[0]).toEqual(results[1]);
    },
  );
});

describe.each([['reference', async () => reference] as const, ...allBackends])('%s refuses', (_, open) => {
  const key: Key = [1, 2];
  const network = (precision: readonly LayerPrecision[]) =>
    networkOf([4, 3, 2], { centred: true, gain: 40, logitScale: 100, precision });

  it('to draw, move or align the weights of a network that is not all ternary', async () => {
    const backend = await open();
    for (const precision of [
      ['ternary', 'int8'],
      ['ternary-row', 'ternary'],
    ] as const) {
      const on = await backend.place(network(precision), forwardRoom);
      on.load({ inputs: new Uint8Array(4), labels: new Uint8Array(1), length: 1 });
      const set = directionSet({ key, step: 1, group: 0, offset: 0, size: 12, directions: 3, touched: 12 });
      for (const work of [
        () => on.initLatents(key, 1),
        () => on.applyStep(set, new Int8Array(3)),
        () => on.applyPool([set], new Int16Array(3)),
        () => on.alignWeights(set, 0, 3),
        () => on.align({ key, step: 1, probes: 1, sigma: 51, rewardShift: 0 }, [set]),
      ]) {
        const error = await work().catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(ConfigError);
        expect((error as Error).message).toBe(
          `the model cannot be trained by directions: it has layers of other precisions than ternary: ${precision.join(', ')}`,
        );
      }
      await on.release();
    }
    if (backend !== reference) await backend.close();
  });

  it('work that there is no room for', async () => {
    const backend = await open();
    const ternary = network(['ternary', 'ternary']);
    const set = directionSet({ key, step: 1, group: 0, offset: 0, size: 12, directions: 3, touched: 12 });
    const nodes = (probes: number) => ({ key, step: 1, probes, sigma: 51, rewardShift: 0 });
    const on = await backend.place(ternary, { batch: 2, probes: 2 });
    on.load({ inputs: new Uint8Array(4), labels: new Uint8Array(1), length: 1 });
    await expect(on.align(nodes(3), [set])).rejects.toThrow(
      new ConfigError('"probes" expected an integer in 0…2, got 3'),
    );
    await expect(on.alignWeights(set, 0, 1)).rejects.toThrow(
      new ConfigError('the model has no room for "alignWeights": place it with "weights: true"'),
    );
    await on.release();
    for (const probes of [-1, 1.5, 65, Number.NaN]) {
      await expect(backend.place(ternary, { batch: 2, probes })).rejects.toThrow(
        new ConfigError(`"probes" expected an integer in 0…64, got ${probes}`),
      );
    }
    if (backend !== reference) await backend.close();
  });

  it('weights that are too few, or out of the range of their tensor', async () => {
    const backend = await open();
    const on = await backend.place(network(['int8-row', 'int4']), forwardRoom);
    const good = new Int8Array(21).fill(1);
    await on.writeWeights(good);
    for (const [weights, message] of [
      [good.subarray(1), '"weights" expected 21 values, got 20'],
      [good.with(3, -128), '"layer0.weight" expected values in -127…127, got -128'],
      [good.with(12, 8), '"layer1.weight" expected values in -7…7, got 8'],
      [good.with(18, 0), '"layer0.scale" expected values in 1…127, got 0'],
      [good.with(20, -1), '"layer0.scale" expected values in 1…127, got -1'],
    ] as const) {
      await expect(on.writeWeights(weights)).rejects.toThrow(new ConfigError(message));
    }
    expect(await on.readWeights()).toEqual(good);
    await on.release();
    if (backend !== reference) await backend.close();
  });
});
