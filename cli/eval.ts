/** `ternseed eval FILE --data …`: accuracy of the network that an artifact rebuilds to. */

import { openArtifact } from '../src/artifact/artifact.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { evaluateExamples } from '../src/backend/evaluate.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { loadData } from '../src/data/dataset.js';
import { expected, InputError } from '../src/errors.js';
import { readPathOrUrl } from './files.js';
import { count, percent, printResult, table } from './output.js';

export interface EvalOptions {
  readonly data: string;
  readonly split: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function evaluate(file: string, options: EvalOptions): Promise<void> {
  const { split } = options;
  if (split !== 'test' && split !== 'train') throw expected('--split', 'test or train', split);
  const artifact = openArtifact(await readPathOrUrl(file));
  const data = await loadData(options.data);
  const examples = data[split];
  const { widths } = artifact.network;
  if (examples.width !== widths[0] || examples.classes > (widths.at(-1) as number)) {
    throw new InputError(
      `"${options.data}" expected ${widths[0]} inputs and at most ${widths.at(-1)} classes, as ${file} has, ` +
        `got ${examples.width} and ${examples.classes}`,
    );
  }
  const backend = await openBackend(options.backend, options.threads);
  try {
    const started = performance.now();
    const placed = await backend.place(artifact.network, { batch: 1000 });
    await placed.writeWeights(await rebuildVerified(artifact, backend));
    const score = await evaluateExamples(placed, examples);
    const seconds = (performance.now() - started) / 1000;
    const { weightsHash } = artifact;
    printResult(options.json, { ...score, weightsHash, seconds, backend: backend.name, split }, [
      `${file} on ${data.name}, ${split} split`,
      ...table([
        ['accuracy', `${percent(score.accuracy)} of ${count(score.examples)}`],
        ['loss', `${score.loss.toFixed(4)} nats`],
        ['weights hash', weightsHash],
        ['time', `${seconds.toFixed(2)} s (${backend.summary})`],
      ]),
    ]);
  } finally {
    await backend.close();
  }
}
