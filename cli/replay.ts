/** `ternseed replay FILE`: weights from seeds, all, one tensor or some of its rows, at the end or after a step. */

import { type Artifact, encodePacked, openArtifact } from '../src/artifact/artifact.js';
import { withoutBase } from '../src/artifact/header.js';
import { type DistantArtifact, openArtifactFrom } from '../src/artifact/open-from.js';
import { isUrl } from '../src/artifact/url-request.js';
import { urlSource } from '../src/artifact/url-source.js';
import { rebuild, rebuildPart, rebuildVerified, type Rows } from '../src/artifact/rebuild.js';
import { packWeights, weightsHash } from '../src/artifact/weights-hash.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { ConfigError, printable } from '../src/errors.js';
import { type BaseOptions, baseOf } from './bases.js';
import { parseInteger, parseRange } from './config-options.js';
import { Destination } from './destination.js';
import { readBytes, requireOneStdin } from './files.js';
import { rebuildByIndex, requireLog } from './logs.js';
import { count, printResult, shown, table } from './output.js';

export interface ReplayOptions extends BaseOptions {
  readonly out?: string;
  readonly force: boolean;
  readonly step?: string;
  readonly tensor?: string;
  readonly rows?: string;
  readonly index?: boolean;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function replay(file: string, options: ReplayOptions): Promise<void> {
  const wanted = options.step === undefined ? undefined : parseInteger('--step', options.step, 0);
  if (options.index && options.tensor !== undefined) {
    throw new ConfigError('"--index" is of all weights: leave out "--tensor" or "--index"');
  }
  const inputs = [file, ...(options.base ?? [])];
  requireOneStdin(inputs);
  const out = options.out === undefined ? undefined : Destination.open(options.out, options, inputs);
  // Of a URL, no more is fetched than the step and the tensor need.
  const artifact = isUrl(file)
    ? await openArtifactFrom(await urlSource(file))
    : openArtifact(await readBytes(file));
  const step = wanted ?? artifact.steps;
  const rows = options.rows === undefined ? null : parseRows(options);
  const backend = await openBackend(options.backend, options.threads);
  try {
    const base = await baseOf(artifact, file, options, backend, out);
    const started = performance.now();
    const weights =
      options.tensor === undefined
        ? await rebuildAll(base)
        : await rebuildOne(artifact, options.tensor, rows, step, base);
    const seconds = (performance.now() - started) / 1000;
    const { tensors } = artifact.network;
    const alone = tensors
      .filter(({ name }) => name === options.tensor)
      .map((one) => ({ ...one, offset: 0, rows: rows ? rows.to - rows.from : one.rows }));
    const hash = await weightsHash(weights, options.tensor === undefined ? tensors : alone);
    if (out) {
      // A whole model becomes a packed artifact; one tensor what its hash is taken over.
      const outcome = { steps: step, weightsHash: hash };
      const whole = () => encodePacked(withoutBase(artifact.header), weights, outcome);
      await out.write([options.tensor === undefined ? whole() : packWeights(weights, alone)]);
    }
    const part = options.tensor === undefined ? {} : { tensor: options.tensor };
    const range = rows ? { rows: [rows.from, rows.to - 1] } : {};
    const what = `${options.tensor}${options.rows === undefined ? '' : `, rows ${options.rows}`}`;
    printResult(
      options.json,
      { weightsHash: hash, seconds, backend: backend.name, step, weights: weights.length, ...part, ...range },
      [
        `${printable(file)} after step ${count(step)}${options.tensor === undefined ? '' : `, ${what} alone`}`,
        ...table([
          ['weights', count(weights.length)],
          ['weights hash', hash],
          [
            'time',
            `${seconds.toFixed(3)} s (${options.tensor === undefined ? backend.summary : 'plain TypeScript'})`,
          ],
          ...(out ? ([['written to', printable(out.name)]] as const) : []),
        ]),
      ],
      out?.remarks,
    );
  } finally {
    await backend.close();
  }

  async function rebuildAll(base?: Int8Array): Promise<Int8Array> {
    const whole = 'load' in artifact ? await artifact.load(step) : artifact;
    if (options.index) return rebuildByIndex(requireLog(whole), file, step, base);
    return shown(`rebuilding ${printable(file)}`, 'steps', (watch) =>
      step === artifact.steps
        ? rebuildVerified(whole, backend, base, watch)
        : rebuild(whole, backend, step, base, watch),
    );
  }
}

async function rebuildOne(
  artifact: Artifact | DistantArtifact,
  tensor: string,
  rows: Rows | null,
  step: number,
  base: Int8Array | undefined,
): Promise<Int8Array> {
  return shown(`rebuilding ${printable(tensor)}`, 'steps', (watch) => {
    if (!('load' in artifact)) return rebuildPart(artifact, tensor, rows, step, base, watch);
    return rows
      ? artifact.rebuildRows(tensor, rows, step, base, watch)
      : artifact.rebuildTensor(tensor, step, base, watch);
  });
}

/** `16-31`: rows 16 to 31, both among them. */
function parseRows({ rows, tensor }: ReplayOptions): Rows {
  if (tensor === undefined) throw new ConfigError('"--rows" is of one tensor: name it with "--tensor"');
  const { from, to } = parseRange('--rows', rows as string);
  return { from, to: to + 1 };
}
