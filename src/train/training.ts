/**
 * Training by the library: steps one by one, a signal to stop by, checkpoints, and the artifact at the end. What the
 * command line does with files is done here with bytes.
 */

import { encodePacked, encodeSeedLog, encodeSeedPool } from '../artifact/artifact.js';
import { encodeArrays, encodeCheckpoint, readArrays, readCheckpoint } from '../artifact/checkpoint.js';
import { type Base, formatKey, type Header, headerOf, parseKey } from '../artifact/header.js';
import { headerOfInputs, type Inputs, type InputsHeader } from '../artifact/inputs.js';
import { type LogStep, lossOfUnits } from '../artifact/seed-log.js';
import { weightsHash } from '../artifact/weights-hash.js';
import type { Backend } from '../backend/backend.js';
import { type BackendChoice, openBackend } from '../backend/open.js';
import type { TrainingSet } from '../data/batches.js';
import { ConfigError, expected } from '../errors.js';
import type { NoiseStepConfig, TextNoiseStepConfig } from '../perturb/config.js';
import {
  PRESETS,
  type PresetName,
  TEXT_NOISE_STEP_PRESETS,
  type TextNoiseStepPresetName,
} from '../perturb/presets.js';
import { type AnyNoiseStepConfig, NoiseStepTrainer, type StepRecord } from '../perturb/trainer.js';

/** Labelled examples as the trainer takes them, or the bytes of a text. */
export type TrainingData = (TrainingSet & { readonly scaling?: Inputs }) | Uint8Array | string;

export interface TrainingOptions {
  /** A preset, whose settings `config` changes; `default` if left out. */
  readonly preset?: PresetName | TextNoiseStepPresetName | undefined;
  readonly config?: Partial<NoiseStepConfig> | Partial<TextNoiseStepConfig> | undefined;
  /** What computes, or its name; `auto` if left out. One that is given open stays open. */
  readonly backend?: Backend | BackendChoice | undefined;
  /** For the backends that have threads; all cores if left out. */
  readonly threads?: number | undefined;
  /** Ends the steps: the iteration throws its reason, and what was trained can still be saved. */
  readonly signal?: AbortSignal | undefined;
  /** What the artifact calls the data; `examples` or `text` if left out. */
  readonly name?: string | undefined;
  /** A checkpoint to continue from, with the same data; its settings are those of its run. */
  readonly checkpoint?: Uint8Array | undefined;
}

/**
 * Begins to train by noise-step, without backprop.
 * @param data - labelled examples, or a text
 * @throws {ConfigError} when settings or data do not fit
 * @throws {BackendError} when the backend that was named cannot run here
 * @example
 * const training = await train({ inputs, labels, count, width }, { preset: 'small', config: { model: '64-32-10' } });
 * for await (const { step, loss } of training) console.log(step, loss);
 * const artifact = await training.save();
 * await training.close();
 */
export async function train(data: TrainingData, options: TrainingOptions = {}): Promise<Training> {
  const { backend: choice = 'auto', threads } = options;
  const own = typeof choice === 'string' ? await openBackend(choice, threads) : null;
  const backend = own ?? (choice as Backend);
  try {
    return await Training.begin(data, options, backend, async () => own?.close());
  } catch (error) {
    await own?.close();
    throw error;
  }
}

/** A run of the trainer that keeps nothing on disk. */
export class Training implements AsyncIterable<StepRecord> {
  /** Of a log. */
  readonly #steps: LogStep[] = [];

  private constructor(
    readonly trainer: NoiseStepTrainer,
    /** Of the finished artifact. */
    readonly header: Header,
    readonly signal: AbortSignal | undefined,
    readonly onClose: () => Promise<void>,
  ) {}

  /** See {@link train}. */
  static async begin(
    data: TrainingData,
    { preset, config, signal, name, checkpoint }: TrainingOptions,
    backend: Backend,
    onClose: () => Promise<void>,
  ): Promise<Training> {
    const text = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    const state = checkpoint && openCheckpoint(checkpoint);
    const key = state && parseKey(state.header.key);
    const isText = text instanceof Uint8Array;
    const settings = {
      ...settingsOf(isText ? TEXT_NOISE_STEP_PRESETS : PRESETS, preset),
      ...config,
      ...state?.header.config,
    };
    const trainer: NoiseStepTrainer = isText
      ? await NoiseStepTrainer.ofText(settings as unknown as TextNoiseStepConfig, text, backend, { key })
      : await NoiseStepTrainer.create(settings as unknown as NoiseStepConfig, text, backend, { key });
    const { config: found } = trainer;
    if (found.artifact === 'log' && state) {
      throw new ConfigError(
        '"checkpoint" expected that of a pool or of packed weights: a log is its own checkpoint',
      );
    }
    const inputs = isText || !text.scaling ? undefined : headerOfInputs(text.scaling);
    const about = { name: name ?? (isText ? 'text' : 'examples'), hash: '' };
    const training = new Training(
      trainer,
      headerOfTrainer(trainer, about, undefined, inputs),
      signal,
      onClose,
    );
    if (state) await trainer.restore(state);
    return training;
  }

  /** Steps done. */
  get step(): number {
    return this.trainer.step;
  }

  /** The steps that are left, one by one; leaving the loop stops the training, and another loop continues it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<StepRecord> {
    const { trainer, signal } = this;
    while (trainer.step < trainer.config.steps) {
      signal?.throwIfAborted();
      const record = await trainer.next();
      const { log, step, lossUnits } = record;
      if (log) this.#steps.push({ ...log, seedStep: step, loss: lossOfUnits(lossUnits) });
      yield record;
    }
  }

  /** Everything that is needed to continue from here, for the option `checkpoint`. */
  async checkpoint(): Promise<Uint8Array> {
    return encodeState(this.trainer, this.header);
  }

  /** The artifact of what was trained so far: bytes of a `.tern` file, which `load` takes. */
  async save(): Promise<Uint8Array> {
    const { trainer, header } = this;
    const values = await trainer.values();
    const outcome = { steps: trainer.step, weightsHash: await weightsHash(values, trainer.graph.tensors) };
    const { artifact } = trainer.config;
    switch (artifact) {
      case 'log':
        return encodeSeedLog(header, this.#steps, outcome);
      case 'pool':
        return encodeSeedPool(header, trainer.poolCoefficients(), outcome);
      case 'packed':
        return encodePacked(header, values, outcome);
      default:
        return artifact satisfies never;
    }
  }

  /** Frees the model, and the backend if it was opened for it. */
  async close(): Promise<void> {
    await this.trainer.placed.release();
    await this.onClose();
  }
}

function settingsOf(presets: Readonly<Record<string, object>>, name = 'default'): object {
  if (Object.hasOwn(presets, name)) return presets[name];
  throw expected('preset', Object.keys(presets).join(', '), name);
}

/** What the finished artifact of a run says of it. */
export function headerOfTrainer<Config extends AnyNoiseStepConfig>(
  { config, graph, key, counts }: NoiseStepTrainer<Config>,
  data: Header['data'],
  base?: Base,
  inputs?: InputsHeader,
): Header {
  return headerOf(graph, {
    kind: config.artifact,
    key: formatKey(key),
    cut: config.cut ?? 0,
    directions: config.artifact === 'packed' ? [] : counts,
    config: { ...config },
    data,
    ...(base && { base }),
    ...(inputs && { inputs }),
  });
}

/** The header of an unfinished run: of a log it is that of the artifact. */
export function headerOfState<Config extends AnyNoiseStepConfig>(
  { config, counts, graph }: NoiseStepTrainer<Config>,
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
export function encodeState<Config extends AnyNoiseStepConfig>(
  trainer: NoiseStepTrainer<Config>,
  header: Header,
): Uint8Array {
  const { step, pool, arrays } = trainer.state();
  const own = headerOfState(trainer, header);
  if (pool) return encodeCheckpoint(own, step, pool);
  if (arrays) return encodeArrays(own, step, arrays);
  throw new ConfigError('a log is its own checkpoint: save it');
}

/** A checkpoint of a pool, or of real latents. */
export function openCheckpoint(bytes: Uint8Array) {
  try {
    return readArrays(bytes);
  } catch {
    return readCheckpoint(bytes);
  }
}
