/**
 * Whole small runs: every backend must reach the same losses and the same weights, the ones
 * pinned here, and training must work. A changed hash means that artifacts made before no
 * longer replay to what they promise.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import { weightsHash } from '../src/artifact/weights-hash.js';
import type { Backend } from '../src/backend/backend.js';
import type { TrainingSet } from '../src/data/batches.js';
import type { NoiseStepConfig } from '../src/perturb/config.js';
import { NoiseStepTrainer } from '../src/perturb/trainer.js';
import { philox } from '../src/random/philox.js';
import { fastBackends, keepOpen, reference } from './support/backends.js';

/** Philox bytes under a key of the data's own, so that no run draws them, too. */
function noise(count: number, stream: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(count / 16) * 4);
  for (let at = 0; at < words.length; at += 4) {
    philox([2024, 11], at, 0, 0, stream, words.subarray(at, at + 4));
  }
  return Uint8Array.from({ length: count }, (_, i) => words[i >> 2] >>> (8 * (i & 3)));
}

/** Four clusters in 16 dimensions whose noise is half as wide as they are apart. */
function clusters(count: number): TrainingSet {
  const centres = noise(4 * 16, 0);
  const spread = noise(count * 16, 1);
  const inputs = Uint8Array.from(spread, (draw, i) => {
    const centre = centres[((i >> 4) % 4) * 16 + (i & 15)] / 2;
    return Math.max(0, Math.min(127, Math.floor(centre + (draw - 128) / 4)));
  });
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 4);
  return { inputs, labels, count, width: 16, image: { rows: 4, columns: 4, channels: 1, planar: false } };
}

const data = clusters(300);

const base: NoiseStepConfig = {
  model: '16-24-12-4',
  centred: true,
  gain: 25,
  logitScale: 1600,
  perturb: 'nodes',
  artifact: 'pool',
  train: 'all',
  seed: 'golden',
  steps: 25,
  batch: 100,
  shift: 0,
  holdout: 0,
  cut: 1,
  directions: 60,
  nonzeros: [4, 2, 1],
  nonzerosBelow: [1.2, 0.8],
  keep: 0.5,
  pool: 400,
  learningRate: 0.3,
  hold: 0.5,
  beta1: 0.9,
  beta2: 0.99,
  probes: 4,
  sigma: 51,
  rewardShift: 5,
};

// Made by: npx vitest run test/golden-runs.test.ts (a run that differs prints its hash); made again when the key of
// a seed became the start of its SHA-256.
// lossBits: what the loss must fall below; chance is 2.
const GOLDEN: [name: string, change: Partial<NoiseStepConfig>, hash: string, lossBits: number][] = [
  [
    'nodes, pool, cut 1',
    { perturb: 'nodes', artifact: 'pool', cut: 1 },
    'f929b764eaea030a868aa7ddd77d56ccf527ca4afcb94062ac82dbfa29fc3439',
    0.9,
  ],
  [
    'nodes, log, cut 1',
    { perturb: 'nodes', artifact: 'log', cut: 1 },
    '2f6e1bb9b557ed765a2b609eddbeaba71f06987c2e84870b50abac253e4e96f6',
    0.9,
  ],
  [
    'nodes, packed, cut 0, not centred',
    { perturb: 'nodes', artifact: 'packed', cut: 0, centred: false },
    '5c5660d396a98c930ae43adb6195c50096923274de4d031e413ac99c0cf747f1',
    1,
  ],
  [
    'nodes, pool, shifted images',
    { perturb: 'nodes', artifact: 'pool', shift: 1 },
    'c79a28f2c07dbf2cdaaea819c4123d52f75d37e7d7a5981e15a452cea795b394',
    1.92,
  ],
  [
    'weights, log, cut 0',
    { perturb: 'weights', artifact: 'log', cut: 0 },
    '402e128c026ce5183baa86ad6b90b67514c7d669188ff1b8596caeccdd03961a',
    1.5,
  ],
  [
    'weights, pool, cut 1',
    { perturb: 'weights', artifact: 'pool', cut: 1 },
    '6674ba18dbf0dc121c21d5b733874da5cc70215f34d60a3dc3fa17ab56c83d02',
    1.7,
  ],
];

async function run(change: Partial<NoiseStepConfig>, backend: Backend) {
  const config = { ...base, ...change };
  const trainer = await NoiseStepTrainer.create(config, data, backend);
  const losses: number[] = [];
  while (trainer.step < config.steps) losses.push((await trainer.next()).lossUnits);
  const hash = await weightsHash(await trainer.placed.readWeights());
  await trainer.placed.release();
  return { hash, losses };
}

/** Mean of the last five losses in bits. */
function lastBits(losses: readonly number[]): number {
  return losses.slice(-5).reduce((sum, units) => sum + units / 65_536, 0) / 5;
}

const backendOf = keepOpen();

describe.each(GOLDEN)('%s', (_, change, hash, lossBits) => {
  let oracle: Awaited<ReturnType<typeof run>>;
  beforeAll(async () => {
    oracle = await run(change, reference);
  });

  it('has its golden weights on the reference', () => {
    expect(oracle.hash).toBe(hash);
  });

  it.each(fastBackends)('has the same weights and losses on %s', async (name) => {
    expect(await run(change, backendOf(name))).toEqual(oracle);
  });

  it('learns', () => {
    expect(lastBits(oracle.losses)).toBeLessThan(lossBits);
  });
});

it('the estimator of the nodes trains the hidden layers: without them the loss stays twice as high', async () => {
  const all = await run({ steps: 60 }, reference);
  const head = await run({ steps: 60, train: 'head' }, reference);
  expect(lastBits(head.losses)).toBeGreaterThan(2 * lastBits(all.losses));
});
