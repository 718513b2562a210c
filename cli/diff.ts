/** `ternseed diff A B`: in how many trits two networks of one shape differ. */

import { openArtifact } from '../src/artifact/artifact.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { InputError } from '../src/errors.js';
import { readBytes } from './files.js';
import { count, percent, printResult, table } from './output.js';

export interface DiffOptions {
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function diff(a: string, b: string, options: DiffOptions): Promise<void> {
  const [first, second] = [openArtifact(await readBytes(a)), openArtifact(await readBytes(b))];
  if (first.header.model !== second.header.model) {
    throw new InputError(
      `expected two networks of one shape, got ${first.header.model} and ${second.header.model}`,
    );
  }
  const backend = await openBackend(options.backend, options.threads);
  try {
    const [left, right] = [await rebuildVerified(first, backend), await rebuildVerified(second, backend)];
    const byTensor = first.network.tensors.map(({ name, rows, columns, offset }) => {
      const size = rows * columns;
      const mine = left.subarray(offset, offset + size);
      return { name, trits: size, changed: mine.filter((trit, i) => trit !== right[offset + i]).length };
    });
    const changedTrits = byTensor.reduce((sum, { changed }) => sum + changed, 0);
    const share = (changed: number, trits: number) =>
      `${count(changed)} of ${count(trits)} (${percent(changed / trits)})`;
    printResult(options.json, { changedTrits, parameters: left.length, byTensor }, [
      `${a} and ${b} differ in ${share(changedTrits, left.length)} trits`,
      ...table(byTensor.map(({ name, changed, trits }) => [name, share(changed, trits)] as const)),
    ]);
  } finally {
    await backend.close();
  }
}
