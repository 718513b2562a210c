/**
 * Training by the library: steps one by one, a signal to stop by, checkpoints, and the artifact at the end. What the
 * command line does with files is done here with bytes.
 */

import { readCheckpoint } from '../artifact/checkpoint.js';
import { type Header, parseKey } from '../artifact/header.js';
import { headerOfInputs, type Inputs } from '../artifact/inputs.js';
import { type LogStep, lossOfUnits } from '../artifact/seed-log.js';
import { shiftLimit, type TrainingSet } from '../data/batches.js';
import { ConfigError, expected } from '../errors.js';
import type { Key } from '../random/philox.js';
import { encodeState, encodeTrained, headerOfTrainer } from './encode.js';
import type { RunConfig, StepRecord, Trainer } from './trainer.js';

/** Labelled examples as the trainer takes them, or the bytes of a text. */
export type TrainingData = (TrainingSet & { readonly scaling?: Inputs }) | Uint8Array | string;

/** What every trainer takes. */
export interface TrainingOptions<Config = RunConfig> {
  /** A preset, whose settings `config` changes; `default` if left out. */
  readonly preset?: string | undefined;
  readonly config?: Partial<Config> | undefined;
  /** For the backends that have threads; all cores if left out. */
  readonly threads?: number | undefined;
  /** Ends the steps: the iteration throws its reason, and what was trained can still be saved. */
  readonly signal?: AbortSignal | undefined;
  /** What the artifact calls the data; `examples` or `text` if left out. */
  readonly name?: string | undefined;
  /** A checkpoint to continue from, with the same data; its settings are those of its run. */
  readonly checkpoint?: Uint8Array | undefined;
}

type Presets = Readonly<Record<string, object>>;

/** How a trainer is made. */
export interface TrainerMaker<Made extends Trainer> {
  readonly presets: { readonly examples: Presets; readonly text: Presets };
  ofExamples(config: object, data: TrainingSet, start: { readonly key?: Key }): Promise<Made>;
  ofText(config: object, text: Uint8Array, start: { readonly key?: Key }): Promise<Made>;
  /** Closes what was opened for it. */
  close(): Promise<void>;
}

/**
 * Begins or continues a training; what the maker has opened is closed where that fails.
 * @throws {ConfigError} when settings or data do not fit
 */
export async function beginTraining<Made extends Trainer>(
  data: TrainingData,
  options: TrainingOptions<object>,
  maker: TrainerMaker<Made>,
): Promise<Training<Made>> {
  try {
    return await begin(data, options, maker);
  } catch (error) {
    await maker.close();
    throw error;
  }
}

async function begin<Made extends Trainer>(
  data: TrainingData,
  { preset, config, signal, name, checkpoint }: TrainingOptions<object>,
  maker: TrainerMaker<Made>,
): Promise<Training<Made>> {
  const text = typeof data === 'string' ? new TextEncoder().encode(data) : data;
  const state = checkpoint && readCheckpoint(checkpoint);
  const start = state ? { key: parseKey(state.header.key) } : {};
  const isText = text instanceof Uint8Array;
  const usual = presetOf(maker.presets[isText ? 'text' : 'examples'], preset);
  const settings = {
    ...(isText ? usual : withoutVainShift(usual, text)),
    ...config,
    ...state?.header.config,
  };
  const trainer = isText
    ? await maker.ofText(settings, text, start)
    : await maker.ofExamples(settings, text, start);
  try {
    if (trainer.config.artifact === 'log' && state) {
      throw new ConfigError(
        '"checkpoint" expected that of a pool or of packed weights: a log is its own checkpoint',
      );
    }
    const header = headerOfTrainer(trainer, {
      data: { name: name ?? (isText ? 'text' : 'examples'), hash: '' },
      inputs: isText || !text.scaling ? undefined : headerOfInputs(text.scaling),
    });
    if (state) await trainer.restore(state);
    return new Training(trainer, header, signal, () => maker.close());
  } catch (error) {
    await trainer.release();
    throw error;
  }
}

/** A run of a trainer that keeps nothing on disk. */
export class Training<Made extends Trainer = Trainer> implements AsyncIterable<StepRecord> {
  /** Of a log. */
  readonly #steps: LogStep[] = [];

  constructor(
    readonly trainer: Made,
    /** Of the finished artifact. */
    readonly header: Header,
    readonly signal: AbortSignal | undefined,
    readonly onClose: () => Promise<void>,
  ) {}

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
      const { log, step, lossUnits = 0 } = record;
      if (log) this.#steps.push({ ...log, seedStep: step, loss: lossOfUnits(lossUnits) });
      yield record;
    }
  }

  /** Everything that is needed to continue from here, for the option `checkpoint`. */
  checkpoint(): Promise<Uint8Array> {
    return encodeState(this.trainer, this.header);
  }

  /** The artifact of what was trained so far: bytes of a `.tern` file, which `load` takes. */
  save(): Promise<Uint8Array> {
    return encodeTrained(this.trainer, this.header, { steps: this.#steps });
  }

  /** Frees the model, and the backend if it was opened for it. */
  async close(): Promise<void> {
    await this.trainer.release();
    await this.onClose();
  }
}

/** A preset's shift is for images; where there are none, or smaller ones, it falls away. */
export function withoutVainShift<Config extends { readonly shift?: number }>(
  config: Config,
  { image }: Pick<TrainingSet, 'image'>,
): Config {
  return (config.shift ?? 0) < shiftLimit(image) ? config : { ...config, shift: 0 };
}

function presetOf(presets: Presets, name = 'default'): object {
  if (Object.hasOwn(presets, name)) return presets[name];
  throw expected('preset', Object.keys(presets).join(', '), name);
}
