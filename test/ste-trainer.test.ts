/**
 * Whole ste runs on the tiny data: what training evaluates is what the artifact computes, on every
 * TensorFlow.js backend and for every quantizer; nothing leaks; a run goes on where it stopped.
 */

import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodePacked, encodeSeedPool, openArtifact } from '../src/artifact/artifact.js';
import { perceptronArtifact } from '../src/artifact/perceptron.js';
import { formatKey, headerOf } from '../src/artifact/header.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { exampleBatches } from '../src/backend/batch.js';
import { evaluateExamples } from '../src/backend/evaluate.js';
import { checkSteConfig, type SteConfig } from '../src/backprop/config.js';
import { QUANTIZER_PRECISIONS, QUANTIZERS } from '../src/backprop/quantizers/names.js';
import { openTensorflow, type TensorflowBackend } from '../src/backprop/tensorflow.js';
import { SteTrainer } from '../src/backprop/trainer.js';
import { ConfigError } from '../src/errors.js';
import { reference } from './support/backends.js';
import { webgpuFault } from './support/adapter.js';
import { because } from './support/missing.js';
import { tensorflowBackends, tinySte } from './support/tensorflow.js';
import { tinyTrainingSet } from './support/tiny-data.js';

// Made on cpu by this file's own run, 0.2.0.
const GOLDEN_KEY = [1934132846, 3153143620] as const;
const GOLDEN_LOSSES = [1.4291698, 1.4135395, 1.409577];

/** Trains to the end; the losses on the way. */
async function losses(trainer: SteTrainer): Promise<number[]> {
  const all: number[] = [];
  while (trainer.step < trainer.config.steps) all.push((await trainer.next()).loss);
  return all;
}

/** The artifact of a trainer as it is. */
async function encode(trainer: SteTrainer<SteConfig>): Promise<Uint8Array> {
  const { config, graph, key, counts } = trainer;
  const { artifact } = config;
  const header = headerOf(graph, {
    ...{ kind: artifact, key: formatKey(key) },
    ...{ cut: artifact === 'pool' ? config.cut : 0, directions: counts, config: { ...config } },
    data: { name: 'tiny', hash: '0'.repeat(64) },
  });
  const values = await trainer.values();
  const outcome = { steps: trainer.step, weightsHash: await weightsHash(values, graph.tensors) };
  return artifact === 'pool'
    ? encodeSeedPool(header, await trainer.poolCoefficients(), outcome)
    : encodePacked(header, values, outcome);
}

/** What the artifact's integer network makes of the training set. */
async function integerScore(bytes: Uint8Array) {
  const artifact = perceptronArtifact(openArtifact(bytes));
  const placed = await reference.place(artifact.network, { batch: 600 });
  await placed.writeWeights(await rebuildVerified(artifact, reference));
  return evaluateExamples(placed, tinyTrainingSet);
}

async function expectSameScore(trainer: SteTrainer<SteConfig>): Promise<void> {
  const own = await trainer.evaluate(exampleBatches(tinyTrainingSet, 100));
  const exact = await integerScore(await encode(trainer));
  expect(own.accuracy).toBe(exact.accuracy);
  expect(own.loss).toBeCloseTo(exact.loss, 3); // float against fixed point
}

describe.each(tensorflowBackends)('on %s', (name, open) => {
  const missing = name === 'webgpu' && webgpuFault !== null;
  let backend: TensorflowBackend;
  beforeAll(async () => {
    if (!missing) backend = await open();
  });
  afterAll(() => backend?.close());

  describe.skipIf(missing)(`a run${missing ? because(webgpuFault) : ''}`, () => {
    it.each(['packed', 'pool'] as const)(
      'of a %s artifact learns, and evaluates what the artifact does',
      async (artifact) => {
        const rate = artifact === 'pool' ? 0.2 : tinySte.learningRate;
        const trainer = await SteTrainer.create(
          { ...tinySte, artifact, learningRate: rate },
          tinyTrainingSet,
        );
        await expectSameScore(trainer);
        const all = await losses(trainer);
        expect(all.at(-1)).toBeLessThan(all[0] * 0.95);
        await expectSameScore(trainer);
        await trainer.release();
      },
    );

    it('has the losses that it has on the others', async () => {
      // The first is the same but for the rounding of float32, the others drift with the order of sums.
      const trainer = await SteTrainer.create({ ...tinySte, steps: 3 }, tinyTrainingSet, { key: GOLDEN_KEY });
      const all = await losses(trainer);
      GOLDEN_LOSSES.forEach((loss, i) => expect(all[i]).toBeCloseTo(loss, i === 0 ? 5 : 3));
      await trainer.release();
    });

    it('leaves no tensor behind', async () => {
      const before = tf.memory().numTensors;
      const trainer = await SteTrainer.create({ ...tinySte, clipNorm: 1, steps: 100 }, tinyTrainingSet);
      await trainer.next();
      const { numTensors } = tf.memory();
      const steps = name === 'webgpu' ? 10 : 99;
      for (let step = 0; step < steps; step++) await trainer.next();
      expect(tf.memory().numTensors).toBe(numTensors);
      await trainer.release();
      expect(tf.memory().numTensors).toBe(before);
    });

    it('restored from its state goes on to the same losses and bytes', async () => {
      // A software adapter takes its time over Muon.
      const config: SteConfig =
        name === 'webgpu'
          ? { ...tinySte, steps: 8 }
          : { ...tinySte, quantizer: ['elastic'], optimizer: 'muon', schedule: 'one-cycle' };
      const whole = await SteTrainer.create(config, tinyTrainingSet);
      const all = await losses(whole);
      const first = await SteTrainer.create(config, tinyTrainingSet);
      for (let step = 0; step < 5; step++) await first.next();
      const state = await first.state();
      await first.release();
      const second = await SteTrainer.create(config, tinyTrainingSet);
      await second.restore(state);
      expect(await losses(second)).toEqual(all.slice(5));
      expect(await encode(second)).toEqual(await encode(whole));
      await whole.release();
      await second.release();
    });
  });
});

describe('on wasm', () => {
  let backend: TensorflowBackend;
  beforeAll(async () => {
    backend = await openTensorflow('wasm');
  });
  afterAll(() => backend.close());

  it.each(QUANTIZERS)('%s trains a net that its artifact computes alike', async (quantizer) => {
    for (const centred of [true, false]) {
      const trainer = await SteTrainer.create(
        { ...tinySte, quantizer: [quantizer], centred },
        tinyTrainingSet,
      );
      const all = await losses(trainer);
      expect(all.at(-1)).toBeLessThan(all[0]);
      await expectSameScore(trainer);
      const { precision } = perceptronArtifact(openArtifact(await encode(trainer))).network;
      expect(new Set(precision)).toEqual(new Set([QUANTIZER_PRECISIONS[quantizer]]));
      await trainer.release();
    }
  });

  it('a net of mixed precision is computed alike by its artifact', async () => {
    const config: SteConfig = {
      ...tinySte,
      quantizer: ['int8-row', 'sparse', 'int4'],
      threshold: [1, 0.8, 1],
    };
    const trainer = await SteTrainer.create(config, tinyTrainingSet);
    await losses(trainer);
    await expectSameScore(trainer);
    await trainer.release();
  });

  it.each(['adamw', 'muon'] as const)('%s lowers the loss under every schedule', async (optimizer) => {
    for (const schedule of ['constant', 'linear', 'cosine', 'one-cycle', 'two-stage'] as const) {
      const trainer = await SteTrainer.create({ ...tinySte, optimizer, schedule }, tinyTrainingSet);
      const all = await losses(trainer);
      expect(all.at(-1), schedule).toBeLessThan(all[0]);
      await trainer.release();
    }
  });

  it('the same seed gives the same bytes, another seed others', async () => {
    const bytes = async (seed: string) => {
      const trainer = await SteTrainer.create({ ...tinySte, seed }, tinyTrainingSet);
      await losses(trainer);
      const result = await encode(trainer);
      await trainer.release();
      return result;
    };
    expect(await bytes('one')).toEqual(await bytes('one'));
    expect(await bytes('one')).not.toEqual(await bytes('two'));
  });

  it('a state of another shape is refused', async () => {
    const trainer = await SteTrainer.create(tinySte, tinyTrainingSet);
    const { step, arrays = [] } = await trainer.state();
    await expect(trainer.restore({ step, arrays: arrays.slice(1) })).rejects.toThrow(RangeError);
    const other = arrays.with(0, new Float32Array(3));
    await expect(trainer.restore({ step, arrays: other })).rejects.toThrow(RangeError);
    await trainer.release();
  });
});

describe('a configuration is refused with what was expected:', () => {
  it.each([
    [{ quantizer: ['absmin'] }, /"quantizer" expected one or more names out of absmean/],
    [{ quantizer: ['absmean', 'int8'] }, /one entry for all layers, or 3/],
    [{ threshold: [0] }, /"threshold" expected one or more numbers of σ above 0/],
    [{ model: '36-x' }, /"model" expected layer widths/],
    [{ model: '1100-8-4', quantizer: ['int8'] }, /sums below 2\^24/],
    [{ artifact: 'pool', pool: 2 }, /"pool" expected at least 3, one a tensor, got 2/],
    [{ artifact: 'log' }, /"artifact" expected packed or pool, got "log"/],
    [{ optimizer: 'sgd' }, /"optimizer" expected adamw or muon/],
    [{ schedule: 'step' }, /"schedule" expected constant or linear/],
    [{ learningRate: 0 }, /"learningRate" expected a number above 0/],
    [{ warmup: 1 }, /"warmup" expected a share/],
  ])('%j', (change, message) => {
    const config = { ...tinySte, ...change } as SteConfig;
    expect(() => checkSteConfig(config)).toThrow(ConfigError);
    expect(() => checkSteConfig(config)).toThrow(message);
  });
});
