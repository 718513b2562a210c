/** The library as an application uses it: train, save, load, predict, in Node. A page does the same in slow/browser.test.ts. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { train as trainSte } from '../src/backprop/index.js';
import { load, openArtifact, train } from '../src/index.js';
import { differences } from '../src/artifact/delta.js';
import { encodePacked } from '../src/artifact/artifact.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { ArtifactError, ConfigError, InputError } from '../src/errors.js';
import type { NoiseStepConfig } from '../src/perturb/config.js';
import { randomText } from './support/transformers.js';
import { tinyTrainingSet } from './support/tiny-data.js';
import { tinyConfig } from './support/tiny-runs.js';

let folder: string;
const at = (name: string) => join(folder, name);
const backend = 'wasm' as const;

/** Trains to the end, and gives the artifact. */
async function trained(config: Partial<NoiseStepConfig>): Promise<Uint8Array> {
  const training = await train(tinyTrainingSet, {
    config: { ...tinyConfig, ...config },
    backend,
    threads: 1,
  });
  for await (const { step } of training) expect(step).toBe(training.step);
  const bytes = await training.save();
  await training.close();
  return bytes;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-load-'));
  await writeFile(at('pool.tern'), await trained({ artifact: 'pool' }));
});
afterAll(() => rm(folder, { recursive: true }));

const { width } = tinyTrainingSet;
const example = (index: number) => tinyTrainingSet.inputs.slice(index * width, (index + 1) * width);

describe('load', () => {
  it('takes a path, a URL, bytes, a buffer and a Blob, and predicts the same', async () => {
    const bytes = await readFile(at('pool.tern'));
    const sources = [
      ...[at('pool.tern'), pathToFileURL(at('pool.tern')), new Uint8Array(bytes)],
      ...[new Uint8Array(bytes).buffer, new Blob([new Uint8Array(bytes)])],
      `data:application/octet-stream;base64,${bytes.toString('base64')}`,
    ];
    const predictions = [];
    for (const source of sources) {
      const model = await load(source, { backend });
      const pixels = example(3).map((value) => 2 * value); // bytes, of which an input is half
      predictions.push(await model.predict(pixels));
      await model.close();
    }
    for (const one of predictions) expect(one).toEqual(predictions[0]);
    const [{ probabilities, probability, index, label }] = predictions;
    expect(probabilities.reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 12);
    expect(Math.max(...probabilities)).toBe(probability);
    expect(probabilities[index]).toBe(probability);
    expect(label).toBe(index);
  });

  it('takes values of another range, and pixels of a canvas of any size', async () => {
    const model = await load(at('pool.tern'), { backend });
    const bytes = example(5).map((value) => 2 * value);
    const right = await model.predict(bytes);
    const reals = Float32Array.from(bytes, (value) => value / 255);
    expect((await model.predict(reals, { range: [0, 1] })).index).toBe(right.index);
    const side = Math.sqrt(width);
    for (const scale of Number.isInteger(side) ? [1, 3] : []) {
      const size = side * scale;
      const data = Uint8ClampedArray.from({ length: 4 * size * size }, (_, i) => {
        const [x, y] = [Math.floor(i / 4) % size, Math.floor(Math.floor(i / 4) / size)];
        const value = bytes[Math.floor(y / scale) * side + Math.floor(x / scale)];
        return i % 4 === 3 ? 255 : value;
      });
      const seen = await model.predict({ data, width: size, height: size });
      expect(seen.index).toBe(right.index);
    }
    await model.close();
  });

  it('says what does not fit', async () => {
    const model = await load(at('pool.tern'), { backend });
    await expect(model.predict(new Uint8Array(3))).rejects.toThrow(`"input" expected ${width} values, got 3`);
    await expect(model.predict('text')).rejects.toThrow(ConfigError);
    await expect(model.predict(new Float32Array(width).fill(Number.NaN))).rejects.toThrow('finite numbers');
    await expect(model.predict(new Uint8Array(width), { range: [1, 1] })).rejects.toThrow('"range"');
    await model.close();
    await expect(load(at('none.tern'), { backend })).rejects.toThrow(InputError);
    await expect(load(new Uint8Array(7), { backend })).rejects.toThrow(ArtifactError);
  });

  it('rebuilds a delta on its base', async () => {
    const base = await readFile(at('pool.tern'));
    const model = await load(base, { backend });
    const values = await model.placed.readWeights();
    const moved = values.map((value, i) => (i % 7 === 0 ? 0 : value));
    const { header, network, weightsHash: hash } = openArtifact(base);
    const delta = encodePacked(
      { ...header, base: { name: 'pool.tern', hash } },
      differences(network, values, moved),
      { steps: 1, weightsHash: await weightsHash(moved, network.tensors) },
    );
    const changed = await load(delta, { backend, bases: [base] });
    expect(await changed.placed.readWeights()).toEqual(moved);
    await expect(load(delta, { backend })).rejects.toThrow('expected a base');
    await changed.close();
    await model.close();
  });
});

describe('train', () => {
  it.each(['log', 'pool', 'packed'] as const)('saves a %s that the steps come to', async (artifact) => {
    const bytes = await trained({ artifact });
    const model = await load(bytes, { backend });
    expect(openArtifact(bytes)).toMatchObject({ kind: artifact, steps: tinyConfig.steps });
    expect((await model.predict(example(0))).probabilities).toHaveLength(model.labels.length);
    await model.close();
  });

  it('continues from a checkpoint to the same bytes, after a signal stopped it', async () => {
    const config = { ...tinyConfig, artifact: 'pool' as const };
    const stop = new AbortController();
    const first = await train(tinyTrainingSet, { config, backend, threads: 1, signal: stop.signal });
    await expect(async () => {
      for await (const { step } of first) if (step === 2) stop.abort(new Error('enough'));
    }).rejects.toThrow('enough');
    expect(first.step).toBe(2);
    const checkpoint = await first.checkpoint();
    await first.close();
    const second = await train(tinyTrainingSet, { checkpoint, backend, threads: 1 });
    expect(second.step).toBe(2);
    for await (const { step } of second) expect(step).toBeGreaterThan(2);
    expect(Buffer.compare(await second.save(), await readFile(at('pool.tern')))).toBe(0);
    await second.close();
  });

  it('takes a text, whose model predicts and writes', async () => {
    const shape = { blocks: 1, loopTo: 1, width: 16, heads: 2, keyHeads: 2, hidden: 16, context: 8 };
    const training = await train(randomText(1, 400), {
      ...{ config: { ...shape, batch: 2, steps: 3 }, backend, threads: 1 },
    });
    for await (const { loss } of training) expect(loss).toBeGreaterThan(0);
    const model = await load(await training.save(), { backend });
    await training.close();
    const { label, probabilities } = await model.predict('ab');
    expect(probabilities).toHaveLength(256);
    expect(label).toBe(probabilities.indexOf(Math.max(...probabilities)));
    const bytes: number[] = [];
    for await (const byte of model.sample('ab', { length: 20, seed: 's' })) bytes.push(byte);
    expect(bytes).toHaveLength(20);
    await expect(model.predict([1, 2])).rejects.toThrow('takes a text');
    await model.close();
  });

  it('by backprop continues from a checkpoint to the same bytes', async () => {
    const config = { model: '36-8-4', logitScale: 480, shards: 2, steps: 6, batch: 32 };
    const options = { config, backend: 'wasm' } as const;
    const whole = await trainSte(tinyTrainingSet, { ...options, threads: 1 });
    for await (const { learningRate } of whole) expect(learningRate).toBeGreaterThanOrEqual(0);
    const first = await trainSte(tinyTrainingSet, { ...options, threads: 1 });
    for await (const { step } of first) if (step === 3) break;
    const checkpoint = await first.checkpoint();
    const second = await trainSte(tinyTrainingSet, { checkpoint, backend: 'wasm', threads: 1 });
    for await (const { step } of second) expect(step).toBeGreaterThan(3);
    const bytes = await whole.save();
    expect(Buffer.compare(await second.save(), bytes)).toBe(0);
    for (const training of [whole, first, second]) await training.close();
    const model = await load(bytes, { backend });
    expect((await model.predict(example(0))).probabilities).toHaveLength(model.labels.length);
    await model.close();
  });

  it('names a preset that there is not', async () => {
    await expect(train(tinyTrainingSet, { preset: 'none' as never, backend })).rejects.toThrow('"preset"');
  });
});
