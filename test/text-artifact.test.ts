/** Packed artifacts of transformers, and what the command line does with them. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodePacked, openArtifact } from '../src/artifact/artifact.js';
import { perceptronArtifact } from '../src/artifact/perceptron.js';
import { bytesSource } from '../src/artifact/byte-source.js';
import type { Header } from '../src/artifact/header.js';
import { openArtifactFrom } from '../src/artifact/open-from.js';
import { rebuildRows, rebuildTensor, rebuildVerified } from '../src/artifact/rebuild.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { batchOfWindows } from '../src/backend/batch.js';
import { evaluateText } from '../src/backend/evaluate.js';
import { sample } from '../src/backend/sample.js';
import { type TransformerShape, transformerOf } from '../src/ternary/builders/transformer.js';
import { reference } from './support/backends.js';
import { cli, onlyObject } from './support/cli.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

const TINY: TransformerShape = { ...SMALL_SHAPE, keyHeads: 2 };

async function textArtifact(shape: TransformerShape = TINY): Promise<Uint8Array> {
  const model = transformerOf(shape);
  const values = randomValues(model, 5);
  const header: Header = {
    ...{ kind: 'packed', model: shape, key: '0'.repeat(16), cut: 0, directions: [] },
    ...{ config: { seed: '5' }, data: { name: 'none', hash: '0'.repeat(64) } },
  };
  return encodePacked(header, values, { steps: 0, weightsHash: await weightsHash(values, model.tensors) });
}

describe('a packed transformer', () => {
  it.each([
    ['with a head of its own', {}],
    ['tied and ternary, with a loop', { tied: true, embedding: 'ternary', loops: 3, loopFrom: 1 } as const],
  ])('%s opens to the values that were written, whole and by parts', async (_, change) => {
    const shape = { ...TINY, ...change };
    const bytes = await textArtifact(shape);
    const artifact = openArtifact(bytes);
    const values = randomValues(transformerOf(shape), 5);
    expect(artifact.header.model).toEqual(shape);
    expect(artifact.network).toEqual(transformerOf(shape));
    expect(await rebuildVerified(artifact, reference)).toEqual(values);
    const { name, offset, columns } = artifact.network.tensors[3];
    expect(rebuildRows(artifact, name, { from: 2, to: 5 })).toEqual(
      values.slice(offset + 2 * columns, offset + 5 * columns),
    );
    const distant = await openArtifactFrom(bytesSource(bytes));
    expect(await distant.rebuildTensor('scales')).toEqual(rebuildTensor(artifact, 'scales'));
    expect(() => perceptronArtifact(artifact)).toThrow(/expected a perceptron, got text-2x32/);
  });

  it('says which part of its shape is wrong', async () => {
    const model = transformerOf(TINY);
    const outcome = { steps: 0, weightsHash: '0'.repeat(64) };
    const header = openArtifact(await textArtifact()).header as Header;
    const values = randomValues(model, 5);
    const write = (changed: object) => encodePacked({ ...header, ...changed } as Header, values, outcome);
    expect(() => write({ model: { ...TINY, heads: 5 } })).toThrow(/"keyHeads" expected a divisor of 5/);
    expect(() => openArtifact(write({ kind: 'packed', cut: 99 }))).toThrow(
      /header at byte 8: expected "cut"/,
    );
  });
});

describe('evaluateText', () => {
  it('predicts every byte but the first once, however the windows lie', async () => {
    const model = transformerOf(TINY);
    const placed = await reference.place(model, { batch: 4 });
    await placed.writeWeights(randomValues(model, 5));
    const text = randomText(1, 75);
    const scores = new Map<number, number>();
    for (const stride of [16, 5, 1]) {
      const { examples, bitsPerByte } = await evaluateText(placed, text, { windows: 4, stride });
      expect(examples).toBe(74);
      // By hand: the loss of each byte from the window that counts for it.
      let units = 0;
      for (let at = 1; at <= 74; at++) {
        const windowEnd = at <= 16 ? 16 : Math.min(74, 16 + stride * Math.ceil((at - 16) / stride));
        const start = windowEnd - 16;
        placed.load(batchOfWindows(text.slice(start, start + 17), 16));
        units += (await placed.evaluate()).losses[at - start - 1];
      }
      expect(bitsPerByte).toBeCloseTo(units / 74 / 65_536, 10);
      scores.set(stride, bitsPerByte);
    }
    expect(new Set(scores.values()).size).toBe(3);
  });
});

describe('sample', () => {
  const options = { prompt: Uint8Array.of(97), length: 40, temperature: 1, topK: 256, key: [1, 2] as const };

  async function bytesOf(change: object): Promise<number[]> {
    const model = transformerOf(TINY);
    const placed = await reference.place(model, { batch: 1 });
    await placed.writeWeights(randomValues(model, 5));
    const bytes: number[] = [];
    for await (const byte of sample(placed, { ...options, ...change })) bytes.push(byte);
    return bytes;
  }

  it('repeats with its key, past the end of the context, and differs with another', async () => {
    const bytes = await bytesOf({});
    expect(bytes).toHaveLength(40);
    expect(await bytesOf({})).toEqual(bytes);
    expect(await bytesOf({ key: [3, 2] })).not.toEqual(bytes);
  });

  it('of the likeliest byte alone is what temperature 0 takes', async () => {
    expect(await bytesOf({ topK: 1 })).toEqual(await bytesOf({ temperature: 0 }));
  });

  it('draws bytes as often as their probabilities say', async () => {
    const model = transformerOf({ ...TINY, context: 2 });
    const placed = await reference.place(model, { batch: 1 });
    await placed.writeWeights(randomValues(model, 5));
    placed.restart();
    const logits = Array.from(await placed.next(97), (logit) => 2 ** (logit / 65_536 / 2)); // at temperature 2
    const total = logits.reduce((a, b) => a + b);
    const counts = new Array<number>(256).fill(0);
    const draws = 2000;
    for (let seed = 0; seed < draws; seed++) {
      const one = sample(placed, { ...options, length: 1, temperature: 2, key: [seed, 9] });
      counts[(await one.next()).value as number] += 1;
    }
    const likeliest = logits.indexOf(Math.max(...logits));
    const share = logits[likeliest] / total;
    expect(Math.abs(counts[likeliest] / draws - share)).toBeLessThan(
      4 * Math.sqrt((share * (1 - share)) / draws),
    );
  });

  it.each([
    [{ prompt: new Uint8Array(0) }, /"prompt" expected at least one byte/],
    [{ topK: 0 }, /"topK" expected 1…256, got 0/],
    [{ temperature: Number.NaN }, /"temperature" expected a number in 0…100, got NaN/],
  ])('refuses %o', async (change, message) => {
    await expect(bytesOf(change)).rejects.toThrow(message);
  });
});

describe('the command line', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ternseed-text-'));
    await writeFile(at('model.tern'), await textArtifact());
    await writeFile(at('text'), randomText(1, 2000));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('inspects, verifies, evaluates and samples', async () => {
    const run = async (...args: string[]) => onlyObject((await cli([...args, '--json'])).stdout);
    const about = await run('inspect', at('model.tern'));
    expect(about).toMatchObject({ kind: 'packed', model: TINY, parameters: transformerOf(TINY).parameters });
    expect((await run('verify', at('model.tern'), '--backend', 'reference')).ok).toBe(true);
    const scored = await run('eval', at('model.tern'), '--data', at('text'), '--backend', 'reference');
    expect(scored).toMatchObject({ examples: 199, stride: 16, weightsHash: about.weightsHash });
    expect(scored.bitsPerByte).toBeGreaterThan(1);
    const text = await run('sample', at('model.tern'), '--length', '30', '--backend', 'reference');
    expect(text).toMatchObject({ seed: '1', weightsHash: about.weightsHash });
    const human = await cli(['inspect', at('model.tern')]);
    expect(human.stdout).toContain('text-2x32');
    expect(human.stdout).toContain('4 of queries, 2 of keys and values');
  });

  it('says so when a model is not of the kind that a verb takes', async () => {
    const exported = await cli(['export', at('model.tern'), '--to', 'safetensors', '--out', at('x')]);
    expect(exported.code).toBe(3);
    expect(exported.stderr).toContain('expected a perceptron, got text-2x32');
    const short = await cli(['eval', at('model.tern'), '--data', at('none'), '--backend', 'reference']);
    expect(short.code).toBe(3);
    expect(short.stderr).toContain('expected to be readable, got no such file or folder');
  });
});
