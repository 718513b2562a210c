/** `ternseed replay FILE`: weights from seeds, all or one tensor, at the end or after a step. */

import { type Artifact, encodePacked, openArtifact } from '../src/artifact/artifact.js';
import { openArtifactFrom } from '../src/artifact/open-from.js';
import { isUrl, urlSource } from '../src/artifact/url-source.js';
import { rebuild, rebuildTensor, rebuildVerified } from '../src/artifact/rebuild.js';
import { packWeights, weightsHash } from '../src/artifact/weights-hash.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { parseNumber } from './config-options.js';
import { readBytes, writeWhole } from './files.js';
import { count, printResult, table } from './output.js';

export interface ReplayOptions {
  readonly out?: string;
  readonly step?: string;
  readonly tensor?: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function replay(file: string, options: ReplayOptions): Promise<void> {
  const wanted = options.step === undefined ? undefined : parseNumber('--step', options.step);
  const { artifact, last } = await openUpTo(file, wanted);
  const step = wanted ?? artifact.steps;
  const backend = await openBackend(options.backend, options.threads);
  try {
    const started = performance.now();
    const weights =
      options.tensor === undefined ? await rebuildAll() : rebuildTensor(artifact, options.tensor, step);
    const seconds = (performance.now() - started) / 1000;
    const { tensors } = artifact.network;
    const alone = tensors.filter(({ name }) => name === options.tensor).map((one) => ({ ...one, offset: 0 }));
    const hash = await weightsHash(weights, options.tensor === undefined ? tensors : alone);
    if (options.out !== undefined) {
      // A whole model becomes a packed artifact; one tensor what its hash is taken over.
      const outcome = { steps: step, weightsHash: hash };
      const whole = () => encodePacked(artifact.header, weights, outcome);
      writeWhole(options.out, options.tensor === undefined ? whole() : packWeights(weights, alone));
    }
    const part = options.tensor === undefined ? {} : { tensor: options.tensor };
    printResult(
      options.json,
      { weightsHash: hash, seconds, backend: backend.name, step, weights: weights.length, ...part },
      [
        `${file} after step ${count(step)}${options.tensor === undefined ? '' : `, ${options.tensor} alone`}`,
        ...table([
          ['weights', count(weights.length)],
          ['weights hash', hash],
          [
            'time',
            `${seconds.toFixed(3)} s (${options.tensor === undefined ? backend.summary : 'one tensor, plain TypeScript'})`,
          ],
          ...(options.out === undefined ? [] : ([['written to', options.out]] as const)),
        ]),
      ],
    );
  } finally {
    await backend.close();
  }

  function rebuildAll(): Promise<Int8Array> {
    return step === last ? rebuildVerified(artifact, backend) : rebuild(artifact, backend, step);
  }
}

/** Of a URL, no more of a log than the step needs is fetched; `last` is the step that its hash is of. */
async function openUpTo(
  file: string,
  step: number | undefined,
): Promise<{ artifact: Artifact; last: number }> {
  if (!isUrl(file)) {
    const artifact = openArtifact(await readBytes(file));
    return { artifact, last: artifact.steps };
  }
  const distant = await openArtifactFrom(await urlSource(file));
  return { artifact: await distant.load(step), last: distant.steps };
}
