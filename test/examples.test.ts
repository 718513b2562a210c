/**
 * Every `@example` of a docstring runs, and gives the value that it says it gives: `expression // value`, or
 * `expression // value, as …`. What examples take for granted (an artifact, a placed model, files) is made here.
 */

import * as tf from '@tensorflow/tfjs-core';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { encodePacked } from '../src/artifact/artifact.js';
import { headerOf } from '../src/artifact/header.js';
import { levelOf } from '../src/artifact/linear-predictor.js';
import { BitModel, RangeEncoder } from '../src/artifact/range-coder.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import type { Placed } from '../src/backend/backend.js';
import { openTensorflow } from '../src/backprop/tensorflow.js';
import {
  exportSafetensors,
  load,
  openArtifact,
  openArtifactFrom,
  perceptronArtifact,
  rebuild,
  rebuildVerified,
  urlSource,
} from '../src/index.js';
import { ABSMEAN } from '../src/quantize/rules.js';
import { poolSets } from '../src/random/directions.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { type Transformer, transformerOf } from '../src/ternary/builders/transformer.js';
import { webgpuFault } from './support/adapter.js';
import { reference } from './support/backends.js';
import { tinySte } from './support/tensorflow.js';
import { tinyTrainingSet, writeTinyData } from './support/tiny-data.js';
import { tinyConfig, tinyRun } from './support/tiny-runs.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Example {
  readonly file: string;
  readonly code: string;
}

/** The examples of all docstrings. */
const examples = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.includes('assembly'))
  .sort()
  .flatMap((file): Example[] =>
    Array.from(readFileSync(join(ROOT, 'src', file), 'utf8').matchAll(/\/\*\*[\s\S]*?\*\//g), ([doc]) => doc)
      .flatMap((doc) => {
        const text = doc.replace(/^\s*\/?\*+\/? ?/gm, '').replace(/\s*\*\/$/, '');
        return text.split(/^@/m).filter((tag) => tag.startsWith('example'));
      })
      .map((tag) => ({ file, code: tag.slice('example'.length).trim() })),
  );

type Scope = Record<string, unknown>;
const model = transformerOf({ ...SMALL_SHAPE, context: 64 });
const shape = { ...SMALL_SHAPE, width: 128 };
const written = { prompt: new TextEncoder().encode('to'), length: 3, temperature: 1, topK: 5, key: [1, 2] };
const layers = { centred: true, gain: 40, logitScale: 300 };
/** Trains for as long as a test may take. */
const shortly =
  (train: (data: unknown, options: object) => unknown) =>
  (data: unknown, { config, ...options }: { config: object }) =>
    train(data, { ...options, config: { ...config, steps: 2, batch: 20 } });
const digits = { inputs: pseudoRandom(40 * 64, 128), labels: pseudoRandom(40, 10), count: 40, width: 64 };

/** What the examples of a file take for granted beside what all may. */
const SCOPES: Record<string, (exports: Scope, code: string) => Scope | Promise<Scope>> = {
  'artifact/byte-source.ts': () => ({ input: { files: [new Blob([common.bytes as BlobPart])] } }),
  'artifact/inputs.ts': () => ({ pixels: pseudoRandom(36, 256), prediction: 0 }),
  'artifact/integer-coder.ts': () => ({
    ...{
      encoder: new RangeEncoder(),
      coefficients: [3, -1, 0],
      trits: [1, 0, -1],
      value: -2,
      y: 1.5,
      levelOf,
    },
  }),
  'artifact/range-coder.ts': (_, code) => {
    const encoder = new RangeEncoder();
    encoder.encodeBit(new BitModel(), 1);
    return { model: new BitModel(), ...(code.includes('Decoder') && { bytes: encoder.finish() }) };
  },
  'artifact/loaded-model.ts': async (_, code) => ({
    model: await load(/sample|'The '/.test(code) ? textFile : (common.bytes as Uint8Array), {
      backend: reference,
    }),
    context: { getImageData: () => ({ data: new Uint8ClampedArray(4 * 280 ** 2), width: 280, height: 280 }) },
    ...{ bytes: [], values: Float32Array.from({ length: 36 }, (_, i) => i / 36) },
  }),
  'artifact/on-demand.ts': (_, code) => ({
    ...{ pixels: pseudoRandom(36, 256), write() {} },
    ...(code.includes('sample') && { placed: placedText, options: written }),
  }),
  'backend/backend.ts': () => tinyTrainingSet as unknown as Scope,
  'backend/batch.ts': () => ({ placed: placedText }),
  'backend/evaluate.ts': (_, code) => ({
    ...{ text: { validation: randomText(1, 300) } },
    ...(code.includes('evaluateText') && { placed: placedText }),
  }),
  'backend/sample.ts': () => ({
    placed: placedText,
    write() {},
    options: written,
  }),
  'backprop/quantizers/threshold.ts': () => ({ ABSMEAN }),
  'backprop/train.ts': ({ train }) => ({ ...digits, train: shortly(train as never) }),
  'backprop/trainer.ts': () => ({ config: { ...tinySte, steps: 2 } }),
  'data/idx.ts': async (_, code) => {
    const name = `train-images-idx3-ubyte${code.includes('gunzip') ? '.gz' : ''}`;
    const bytes = await readFile(join(folder, 'data/fashion-mnist/train-images-idx3-ubyte'));
    return { bytes: name.endsWith('gz') ? gzipSync(bytes) : bytes };
  },
  'exchange/export-gguf.ts': () => ({ artifact: openArtifact(wideTextFile), rebuildVerified }),
  'exchange/export-json.ts': () => ({ process: { stdout: { write() {} } } }),
  'exchange/export-safetensors.ts': () => ({ rebuildVerified }),
  'ops/bounds.ts': () => ({ networkOf, options: layers }),
  'perturb/selection.ts': () => ({ out: new Int8Array(4) }),
  'perturb/train.ts': ({ train }) => ({ ...digits, train: shortly(train as never) }),
  'perturb/trainer.ts': () => ({ config: { ...tinyConfig, steps: 2 } }),
  'random/allocation.ts': () => ({ networkOf, options: layers }),
  'random/directions.ts': () => ({ set: poolSets(networkOf([8, 4], layers).tensors, [1, 2], [5])[0] }),
  'random/philox.ts': () => ({ out: new Uint32Array(4) }),
  'ternary/builders/transformer.ts': () => ({ shape }),
  'watch.ts': () => ({ watch: {}, total: 3 }),
};

let common: Scope;
let placedText: Placed;
let textFile: Uint8Array;
let wideTextFile: Uint8Array;
let folder: string;
const home = process.cwd();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-examples-'));
  const { bytes } = await tinyRun({ artifact: 'log', model: '36-40-4', steps: 120 }, reference);
  const artifact = perceptronArtifact(openArtifact(bytes));
  const weights = await rebuild(artifact, reference);
  for (const path of ['models', 'data/fashion-mnist']) await mkdir(join(folder, path), { recursive: true });
  await writeTinyData(join(folder, 'data/fashion-mnist'));
  const mlp = exportSafetensors(artifact, weights, { form: 'f32', producer: 'test 1.0' });
  const files = {
    'mnist.tern': bytes,
    'models/mnist.tern': bytes,
    'mlp.safetensors': mlp,
    'model.safetensors': mlp,
    'model.pt': Uint8Array.of(0x50, 0x4b, 3, 4),
    'tinyshakespeare.txt': randomText(1, 4000),
  };
  for (const [name, file] of Object.entries(files)) await writeFile(join(folder, name), file);
  // Files by their path, and the same by URL: example.org has none of them.
  vi.stubGlobal('fetch', async (url: string, { headers = {} }: RequestInit = {}) => {
    const file = await readFile(join(folder, String(url).replace(/^https:\/\/example\.org\//, '')));
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(headers).get('range') ?? '') ?? [];
    if (from === undefined) return new Response(new Uint8Array(file));
    return new Response(new Uint8Array(file.subarray(Number(from), Number(to) + 1)), {
      status: 206,
      headers: { 'content-range': `bytes ${from}-${Math.min(Number(to), file.length - 1)}/${file.length}` },
    });
  });
  process.chdir(folder);
  await openTensorflow('cpu');
  const placed = await reference.place(artifact.network, { batch: 1000 });
  await placed.writeWeights(weights);
  const data = { train: tinyTrainingSet, test: tinyTrainingSet };
  placedText = await reference.place(model, { batch: 64 });
  await placedText.writeWeights(randomValues(model, 3));
  textFile = await packed(model);
  wideTextFile = await packed(transformerOf({ ...SMALL_SHAPE, width: 256, hidden: 256 }));
  common = {
    readFile,
    tf,
    openArtifactFrom,
    urlSource,
    openTensorflow,
    artifact,
    log: artifact,
    bytes,
    weights,
    placed,
    data,
    backend: reference,
  };
});
afterAll(async () => {
  process.chdir(home);
  vi.unstubAllGlobals();
  await rm(folder, { recursive: true });
});

/** An artifact of random weights. */
async function packed(of: Transformer): Promise<Uint8Array> {
  const values = randomValues(of, 3);
  const header = headerOf(of, {
    ...{ kind: 'packed' as const, key: '0'.repeat(16), cut: 0, directions: [], config: {} },
    data: { name: 'none', hash: '' },
  });
  return encodePacked(header, values, { steps: 0, weightsHash: await weightsHash(values, of.tensors) });
}

function pseudoRandom(length: number, below: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * i * 31 + i * 17 + (i >> 3)) % below);
}

const AsyncFunction = (async () => {}).constructor as new (
  ...parts: string[]
) => (...values: unknown[]) => unknown;

/** What a program comes to whose last line is `expression // value`, and the value; else nothing. */
function checkedParts(code: string): { before: string; expression: string; value: string } | null {
  const [, before, expression, value] = /^([\s\S]*?)([^;\n]*\S)\s+\/\/ (.*)$/.exec(code) ?? [];
  if (value === undefined || /^\s*(const|for|await backend|placed)\b/.test(expression)) return null;
  return { before, expression, value: value.replace(/, as .*$/, '') };
}

describe('an example of', () => {
  it('every folder is found', () => {
    expect(examples.length).toBeGreaterThan(70);
  });

  it.each(examples)('$file: $code', async ({ file, code }) => {
    if (file.includes('webgpu') && webgpuFault !== null) return; // whose other tests say that they are skipped
    const exports = (await import(/* @vite-ignore */ join(ROOT, 'src', file))) as Scope;
    const scope = { ...common, ...exports, ...(await SCOPES[file]?.(exports, code)) };
    const run = (program: string) =>
      new AsyncFunction(...Object.keys(scope), `{ ${program} }`)(...Object.values(scope));
    const checked = checkedParts(code);
    if (checked === null) await run(`${code}\n`);
    else {
      const { before, expression, value } = checked;
      const found = await run(`${before}; return ${expression}\n`);
      const right = await run(`return ${value}\n`);
      if (JSON.stringify(right)?.includes('.')) expect(closeTo(found, right), `${found}`).toBe(true);
      else expect(found).toEqual(right);
    }
  });
});

/** Whether all numbers of two values are near each other. */
function closeTo(found: unknown, right: unknown): boolean {
  const numbers = (value: unknown) => (JSON.stringify(value).match(/-?\d+(\.\d+)?/g) ?? []).map(Number);
  const [mine, theirs] = [numbers(found), numbers(right)];
  return mine.length === theirs.length && mine.every((one, i) => Math.abs(one - theirs[i]) < 1e-4);
}
