/** `ternseed diff A B`: in how many weights two networks of one shape differ. */

import { type Artifact, isOfPerceptron, openArtifact } from '../src/artifact/artifact.js';
import { modelName } from '../src/artifact/header.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { InputError } from '../src/errors.js';
import { isTernary } from '../src/ternary/network.js';
import { readPathOrUrl } from './files.js';
import { count, percent, printResult, table } from './output.js';

export interface DiffOptions {
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function diff(a: string, b: string, options: DiffOptions): Promise<void> {
  const [first, second] = [openArtifact(await readPathOrUrl(a)), openArtifact(await readPathOrUrl(b))];
  if (shapeOf(first) !== shapeOf(second)) {
    throw new InputError(`expected two networks of one shape, got ${shapeOf(first)} and ${shapeOf(second)}`);
  }
  const backend = await openBackend(options.backend, options.threads);
  try {
    const [left, right] = [await rebuildVerified(first, backend), await rebuildVerified(second, backend)];
    const byTensor = first.network.tensors.map(({ name, rows, columns, offset }) => {
      const size = rows * columns;
      const mine = left.subarray(offset, offset + size);
      return {
        name,
        weights: size,
        changed: mine.filter((weight, i) => weight !== right[offset + i]).length,
      };
    });
    const changedTrits = byTensor.reduce((sum, { changed }) => sum + changed, 0);
    const share = (changed: number, weights: number) =>
      `${count(changed)} of ${count(weights)} (${percent(changed / weights)})`;
    printResult(options.json, { changedTrits, parameters: left.length, byTensor }, [
      `${a} and ${b} differ in ${share(changedTrits, left.length)} weights`,
      ...table(byTensor.map(({ name, changed, weights }) => [name, share(changed, weights)] as const)),
    ]);
  } finally {
    await backend.close();
  }
}

/** What two artifacts must have in common to be compared, as people read it. */
function shapeOf(artifact: Artifact): string {
  if (!isOfPerceptron(artifact))
    return `${modelName(artifact.header)} of ${JSON.stringify(artifact.header.model)}`;
  const { header, network } = artifact;
  return isTernary(network) ? header.model : `${header.model} of ${network.precision.join(', ')}`;
}
