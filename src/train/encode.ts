/** What becomes of a trainer: its header, its checkpoint, and its artifact. */

import { encodePacked, encodeSeedLog, encodeSeedPool, type Outcome } from '../artifact/artifact.js';
import { encodeCheckpoint } from '../artifact/checkpoint.js';
import { differences } from '../artifact/delta.js';
import { formatKey, type AnyHeader, type Header, headerOf } from '../artifact/header.js';
import type { InputsHeader } from '../artifact/inputs.js';
import type { LogStep } from '../artifact/seed-log.js';
import { weightsHash } from '../artifact/weights-hash.js';
import { ConfigError } from '../errors.js';
import type { RunConfig, Trainer } from './trainer.js';

/** What an artifact says beside what its trainer knows. */
export interface About extends Pick<AnyHeader, 'data' | 'base'> {
  readonly inputs?: InputsHeader | undefined;
}

/** What the finished artifact of a run says of it. */
export function headerOfTrainer<Config extends RunConfig>(
  { config, graph, key, counts, cut }: Trainer<Config>,
  { data, base, inputs }: About,
): Header {
  return headerOf(graph, {
    kind: config.artifact,
    key: formatKey(key),
    cut,
    directions: config.artifact === 'packed' ? [] : counts,
    config: { ...config } as Readonly<Record<string, unknown>>,
    data,
    ...(base && { base }),
    ...(inputs && { inputs }),
  });
}

/** The header of an unfinished run: of a log it is that of the artifact. */
export function headerOfState<Config extends RunConfig>(
  { config, counts, graph }: Trainer<Config>,
  header: Header,
): Header {
  if (config.artifact === 'log') return header;
  const directions = counts.length > 0 ? counts : graph.tensors.map(() => 0);
  return { ...header, kind: 'checkpoint', directions };
}

/**
 * A checkpoint.
 * @throws {ConfigError} when it is a log's, which is its own
 */
export async function encodeState<Config extends RunConfig>(
  trainer: Trainer<Config>,
  header: Header,
): Promise<Uint8Array> {
  if (trainer.config.artifact === 'log') {
    throw new ConfigError('a log is its own checkpoint: save it');
  }
  return encodeCheckpoint(headerOfState(trainer, header), await trainer.state());
}

/** How a run has ended, if it ends now. */
export async function outcomeOf(
  { step, graph }: Pick<Trainer, 'step' | 'graph'>,
  values: Int8Array,
): Promise<Outcome> {
  return { steps: step, weightsHash: await weightsHash(values, graph.tensors) };
}

/**
 * The artifact of what was trained so far.
 * @param base - of a delta, the values of its base
 * @param steps - of a log, those that were trained
 */
export async function encodeTrained<Config extends RunConfig>(
  trainer: Trainer<Config>,
  header: Header,
  { base, steps = [] }: { readonly base?: Int8Array | undefined; readonly steps?: readonly LogStep[] } = {},
): Promise<Uint8Array> {
  const { graph, config } = trainer;
  const values = await trainer.values();
  const outcome = await outcomeOf(trainer, values);
  switch (config.artifact) {
    case 'log':
      return encodeSeedLog(header, steps, outcome);
    case 'pool':
      return encodeSeedPool(header, await trainer.poolCoefficients(), outcome);
    case 'packed':
      return encodePacked(header, base ? differences(graph, base, values) : values, outcome);
    default:
      return config.artifact satisfies never;
  }
}
