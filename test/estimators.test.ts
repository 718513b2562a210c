/**
 * What the alignments mean, on the reference: a forward pass written here a second time, with
 * a float64 softmax, says how much losses differ; the estimators must say the same.
 */

import { describe, expect, it } from 'vitest';
import type { Probes, Placed } from '../src/backend/backend.js';
import { type DirectionSet, directionOfWeight, directionSet, Signs } from '../src/random/directions.js';
import { type Key, philox } from '../src/random/philox.js';
import { type Network, networkOf } from '../src/ternary/builders/perceptron.js';
import { reference } from './support/backends.js';

const KEY: Key = [31, 41];

/** A network with random trits and a batch of random examples. */
interface Scene {
  network: Network;
  placed: Placed;
  weights: Int8Array;
  inputs: number[][];
  labels: Uint8Array;
}

async function sceneOf(widths: readonly number[], logitScale: number, batch: number): Promise<Scene> {
  const network = networkOf(widths, { centred: true, gain: 30, logitScale });
  const words = new Uint32Array(4);
  const draw = (index: number, stream: number, range: number) => {
    philox([59, 26], index, 0, 0, stream, words);
    return words[0] % range;
  };
  const weights = Int8Array.from({ length: network.parameters }, (_, i) => draw(i, 0, 3) - 1);
  const flat = Uint8Array.from({ length: batch * widths[0] }, (_, i) => draw(i, 1, 128));
  const labels = Uint8Array.from({ length: batch }, (_, i) => draw(i, 2, widths.at(-1) as number));
  const placed = await reference.place(network, { batch, probes: 64, weights: true });
  placed.load({ inputs: flat, labels, length: 1 });
  await placed.writeWeights(weights);
  const inputs = Array.from(labels, (_, b) => [...flat.subarray(b * widths[0], (b + 1) * widths[0])]);
  return { network, placed, weights, inputs, labels };
}

const halfAway = (value: number) => Math.sign(value) * Math.round(Math.abs(value));
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The input of each layer and the probabilities, by the formulas of normalize and softmax. */
function forward({ tensors, gain, logitScale }: Network, weights: ArrayLike<number>, input: number[]) {
  const inputs: number[][] = [];
  let x = input;
  let z: number[] = [];
  for (const { rows, columns, offset } of tensors) {
    inputs.push(x);
    z = Array.from({ length: rows }, (_, row) =>
      x.reduce((sum, value, column) => sum + weights[offset + row * columns + column] * value, 0),
    );
    const centre = halfAway(mean(z));
    const meanAbs = Math.max(1, halfAway(mean(z.map((value) => Math.abs(value - centre)))));
    const reciprocal = halfAway((gain * 2 ** 22) / meanAbs);
    x = z.map((value) => Math.max(0, Math.min(127, halfAway(((value - centre) * reciprocal) / 2 ** 22))));
  }
  const powers = z.map((logit) => 2 ** (((logit - Math.max(...z)) * logitScale) / 65_536));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return { inputs, shares: powers.map((power) => power / total) };
}

/** Loss of the whole batch in 2^−16 bits. */
function lossUnits({ network, inputs, labels }: Scene, weights: ArrayLike<number>): number {
  return inputs.reduce((sum, input, b) => {
    return sum - 65_536 * Math.log2(forward(network, weights, input).shares[labels[b]]);
  }, 0);
}

/** One direction a weight of a layer, or `directions` that share its weights out. */
function setOf({ network }: Scene, layer: number, directions?: number): DirectionSet {
  const { rows, columns, offset } = network.tensors[layer];
  const size = rows * columns;
  return directionSet({
    ...{ key: KEY, step: 1, group: layer, offset, size, directions: directions ?? size, touched: size },
  });
}

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const dot = (u: ArrayLike<number>, v: ArrayLike<number>) =>
    Array.from(u).reduce((sum, value, i) => sum + value * v[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

const probing = (change: Partial<Probes> = {}): Probes => ({
  ...{ key: KEY, step: 1, probes: 64, sigma: 51, rewardShift: 7 },
  ...change,
});

describe('alignWeights', () => {
  it.each([1, 5])(
    'is the difference of losses on both sides of each direction, %i nonzeros',
    async (nonzeros) => {
      const scene = await sceneOf([9, 8, 6, 3], 3000, 7);
      const size = scene.network.parameters;
      const directions = Math.floor(size / nonzeros);
      const spec = {
        key: KEY,
        step: 4,
        group: 3,
        offset: 0,
        size,
        directions,
        touched: directions * nonzeros,
      };
      const set = directionSet(spec);
      const signs = new Signs(set);
      const { alignments } = await scene.placed.alignWeights(set, 0, directions);
      let largest = 0;
      for (let k = 0; k < directions; k++) {
        const [up, down] = [1, -1].map((side) =>
          scene.weights.map(
            (weight, i) => weight + (directionOfWeight(set, i) === k ? side * signs.at(i) : 0),
          ),
        );
        const difference = lossUnits(scene, up) - lossUnits(scene, down);
        // A loss from the tables is within 3 units of the real one.
        expect(Math.abs(alignments[k] - difference)).toBeLessThan(2 * 3 * 7);
        largest = Math.max(largest, Math.abs(difference));
      }
      expect(largest).toBeGreaterThan(100 * 2 * 3 * 7);
    },
  );

  it('leaves the weights as they were, and takes a range that wraps', async () => {
    const scene = await sceneOf([9, 8, 6, 3], 3000, 7);
    const set = setOf(scene, 1, 10);
    const all = await scene.placed.alignWeights(set, 0, 10);
    const wrapped = await scene.placed.alignWeights(set, 8, 5);
    const expected = [8, 9, 0, 1, 2].map((k) => all.alignments[k]);
    expect([...wrapped.alignments]).toEqual(expected);
    expect(await scene.placed.readWeights()).toEqual(scene.weights);
    expect(wrapped.evaluation).toEqual(await scene.placed.evaluate());
  });
});

describe('align', () => {
  it('of the last layer is softmax minus target, times its input', async () => {
    const scene = await sceneOf([9, 8, 6, 5], 3000, 40);
    const set = setOf(scene, 2);
    const { alignments } = await scene.placed.align(probing({ probes: 1 }), [set]);
    const signs = new Signs(set);
    const passes = scene.inputs.map((input) => forward(scene.network, scene.weights, input));
    for (let i = 0; i < set.size; i++) {
      const [row, column] = [Math.floor(i / 6), i % 6];
      let exact = 0;
      let tolerance = 1e-6; // an error is within a unit of 2^−11
      passes.forEach(({ inputs, shares }, b) => {
        exact += 2048 * (shares[row] - (scene.labels[b] === row ? 1 : 0)) * inputs[2][column];
        tolerance += inputs[2][column];
      });
      const alignment = alignments[directionOfWeight(set, i)] * signs.at(i);
      expect(Math.abs(alignment - exact)).toBeLessThanOrEqual(tolerance);
    }
    expect(Math.max(...alignments)).toBeGreaterThan(10_000);
  });

  it.each([0, 1])('of hidden layer %i points where single weights change the loss', async (layer) => {
    const scene = await sceneOf([12, 24, 20, 4], 1500, 150);
    const set = setOf(scene, layer);
    const nodes = await scene.placed.align(probing(), [set]);
    const weights = await scene.placed.alignWeights(set, 0, set.size);
    // Measured: 0.93 and 0.85.
    expect(cosine(nodes.alignments, weights.alignments)).toBeGreaterThan(0.75);
  });

  it.each([0, 1, 2])(
    'of a direction in layer %i is the sum over its weights, scaled to fit',
    async (layer) => {
      const scene = await sceneOf([12, 24, 20, 4], 1500, 20);
      const [fine, coarse] = [setOf(scene, layer), setOf(scene, layer, 7)];
      const nonzeros = Math.ceil(fine.size / 7);
      const one = (await scene.placed.align(probing({ probes: 3 }), [fine])).alignments;
      const seven = (await scene.placed.align(probing({ probes: 3 }), [coarse])).alignments;
      const sums = new Float64Array(7);
      for (let i = 0; i < fine.size; i++) {
        sums[directionOfWeight(coarse, i)] += one[directionOfWeight(fine, i)];
      }
      const scale = 2 ** (Math.ceil(Math.log2(nonzeros)) + 1);
      seven.forEach((alignment, k) => {
        expect(Math.abs(alignment - sums[k] / scale)).toBeLessThanOrEqual(nonzeros / 2);
      });
      expect(Math.max(...seven.map(Math.abs))).toBeGreaterThan(2 * nonzeros);
    },
  );

  it('disturbs the active units alone, with orthogonal probes', async () => {
    const scene = await sceneOf([10, 90, 4], 1500, 1);
    const [columns, rows] = [10, 90];
    const set = setOf(scene, 0);
    const signs = new Signs(set);
    // One example, so the alignment of a weight in column c is its unit's estimate times input c.
    const column = scene.inputs[0].findIndex((value) => value > 0);
    const estimate = async (probes: number) => {
      const { alignments } = await scene.placed.align(probing({ probes, rewardShift: 4 }), [set]);
      return Array.from({ length: rows }, (_, row) => {
        const i = row * columns + column;
        return (alignments[directionOfWeight(set, i)] * signs.at(i)) / scene.inputs[0][column];
      });
    };
    // What the r-th probe adds to the estimate is its signs times its reward.
    const probes: number[][] = [];
    let before = new Array<number>(rows).fill(0);
    for (let r = 1; r <= 16; r++) {
      const now = await estimate(r);
      probes.push(now.map((value, row) => value - before[row]));
      before = now;
    }
    const activations = forward(scene.network, scene.weights, scene.inputs[0]).inputs[1];
    const active = activations.flatMap((value, row) => (value > 0 ? [row] : []));
    const rewarded = probes.filter((added) => added.some((value) => value !== 0));
    expect(rewarded.length).toBeGreaterThan(12);
    for (const added of rewarded) {
      const reward = Math.max(...added.map(Math.abs));
      const sizes = added.map(Math.abs);
      expect(sizes).toEqual(activations.map((value) => (value > 0 ? reward : 0)));
    }
    // They are orthogonal over every 16 active units in turn.
    expect(active.length).toBeGreaterThanOrEqual(32);
    for (let from = 0; from + 16 <= active.length; from += 16) {
      const units = active.slice(from, from + 16);
      rewarded.forEach((a, index) => {
        for (const b of rewarded.slice(index + 1)) {
          expect(Math.abs(units.reduce((sum, row) => sum + a[row] * b[row], 0))).toBe(0);
        }
      });
    }
  });

  it('gives a layer that is not asked for nothing, and the others the same', async () => {
    const scene = await sceneOf([12, 24, 20, 4], 1500, 20);
    const both = await scene.placed.align(probing(), [setOf(scene, 0), setOf(scene, 2)]);
    const last = await scene.placed.align(probing(), [setOf(scene, 2)]);
    expect(both.alignments.slice(24 * 12)).toEqual(last.alignments);
    expect(last.alignments).toHaveLength(80);
  });
});
