/** A noise-step run on a text and its files: a checkpoint of all latents is replaced now and then. */

import { encodePacked } from '../src/artifact/artifact.js';
import { encodeArrays, readArrays } from '../src/artifact/checkpoint.js';
import { differences } from '../src/artifact/delta.js';
import { formatKey, type Header, parseKey } from '../src/artifact/header.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import type { Backend } from '../src/backend/backend.js';
import type { TextData } from '../src/data/text.js';
import { InputError, printable } from '../src/errors.js';
import {
  checkTextNoiseStepConfig,
  TEXT_NOISE_STEP_KEYS,
  type TextNoiseStepConfig,
} from '../src/perturb/text-config.js';
import { TextNoiseStepTrainer } from '../src/perturb/text-trainer.js';
import { shapeOf, transformerName } from '../src/ternary/transformer.js';
import { rebuildBase } from './bases.js';
import { readBytes, RUN_BYTES_MAX } from './files.js';
import { replaceFile } from './replace-file.js';
import type { TrainedBase } from './noise-step-run.js';
import {
  checkedConfig,
  type Extras,
  partialPath,
  requireBudget,
  requireData,
  requireFree,
  requireSame,
  Run,
  type StepReport,
} from './run.js';
import { withLock, type WriteLock } from './write-lock.js';

export class NoiseStepTextRun extends Run<TextNoiseStepConfig, Uint8Array> {
  readonly #header: Header;

  private constructor(
    readonly trainer: TextNoiseStepTrainer,
    readonly backend: Backend,
    out: string,
    data: TextData,
    lock: WriteLock,
    /** Of a delta. */
    readonly base: TrainedBase | null,
  ) {
    super(out, lock);
    this.#header = headerOf(trainer, data, base);
  }

  /**
   * Starts a run.
   * @param budgetBytes - what the artifact may have
   * @throws {ConfigError} when an unfinished run would be lost, another process writes the file, the configuration
   * does not fit, or the artifact would not fit the budget
   * @throws {InputError} when the file cannot be written
   */
  static async start(
    config: TextNoiseStepConfig,
    data: TextData,
    backend: Backend,
    out: string,
    base: TrainedBase | null,
    budgetBytes: number,
  ): Promise<NoiseStepTextRun> {
    return withLock(out, async (lock) => {
      requireFree(out);
      const trainer = await TextNoiseStepTrainer.create(config, data.train, backend, base?.weights);
      const run = new NoiseStepTextRun(trainer, backend, out, data, lock, base);
      // The first values take nearly as many bytes as the last.
      if (!base) await requireBudget(() => run.encode(), budgetBytes);
      await run.save();
      return run;
    });
  }

  /**
   * Goes on with the run that `out` is the end of.
   * @param named - files that its base may be in, if it has one
   * @throws {InputError} when there is none, or the text is not the one it was trained on
   * @throws {ArtifactError} when its base is not found
   */
  static async resume(
    data: TextData,
    backend: Backend,
    out: string,
    named: readonly string[],
  ): Promise<NoiseStepTextRun> {
    return withLock(out, async (lock) => {
      const { header, step, arrays } = readArrays(await readBytes(partialPath(out), RUN_BYTES_MAX));
      requireData(header, data, out);
      const config = checkedConfig(header, TEXT_NOISE_STEP_KEYS, checkTextNoiseStepConfig);
      const wanted = header.base;
      const base = wanted
        ? { header: wanted, weights: await rebuildBase(wanted, out, named, backend) }
        : null;
      const key = parseKey(header.key);
      const trainer = await TextNoiseStepTrainer.create(config, data.train, backend, base?.weights, key);
      const run = new NoiseStepTextRun(trainer, backend, out, data, lock, base);
      requireSame(run.#checkpointHeader(), header, run.path);
      if (step > config.steps) {
        throw new InputError(`"${printable(run.path)}" expected at most ${config.steps} steps, got ${step}`);
      }
      try {
        await run.trainer.restore({ step, arrays });
      } catch (cause) {
        if (!(cause instanceof RangeError)) throw cause;
        throw new InputError(`"${printable(run.path)}" ${cause.message}`, { cause });
      }
      return run;
    });
  }

  get config(): TextNoiseStepConfig {
    return this.trainer.config;
  }

  get modelName(): string {
    return transformerName(this.trainer.model);
  }

  get title(): string {
    const { train } = this.config;
    return `noise-step, ${train === 'head' ? 'head alone' : 'nodes'}${this.base ? `, a delta on ${printable(this.base.header.name)}` : ''}`;
  }

  get step(): number {
    return this.trainer.step;
  }

  get parameters(): number {
    return this.trainer.model.parameters;
  }

  get forwardPassesPerStep(): number {
    return this.trainer.forwardPassesPerStep;
  }

  async extras(): Promise<Extras> {
    return { json: {}, rows: [] };
  }

  protected async train(note: (report: StepReport) => void): Promise<StepReport> {
    const record = await this.trainer.next();
    note(record);
    return record;
  }

  protected async checkpoint(): Promise<void> {
    const { step, arrays } = this.trainer.state();
    await replaceFile(this.path, [encodeArrays(this.#checkpointHeader(), step, arrays)]);
  }

  protected async encode(): Promise<Uint8Array> {
    const { values, model, step } = this.trainer;
    const hash = await weightsHash(values, model.tensors);
    const kept = this.base ? differences(model, this.base.weights, values) : values;
    return encodePacked(this.#header, kept, { steps: step, weightsHash: hash });
  }

  #checkpointHeader(): Header {
    const directions = this.trainer.model.tensors.map(() => 0);
    return { ...this.#header, kind: 'checkpoint', directions };
  }
}

function headerOf(
  { config, model, key }: TextNoiseStepTrainer,
  { name, hash }: TextData,
  base: TrainedBase | null,
): Header {
  return {
    ...{ kind: 'packed', model: shapeOf(model), key: formatKey(key), cut: 0, directions: [] },
    config: { ...config },
    data: { name, hash },
    ...(base && { base: base.header }),
  };
}
