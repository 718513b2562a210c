/** A noise-step run and its files: a log grows by a block a step, other checkpoints are replaced now and then. */

import { closeSync, fsyncSync, openSync, truncateSync } from 'node:fs';
import { encodePacked, encodeSeedPool, type Outcome, seedLogParts } from '../src/artifact/artifact.js';
import { readArrays, readCheckpoint } from '../src/artifact/checkpoint.js';
import { VERSION } from '../src/artifact/container.js';
import { differences } from '../src/artifact/delta.js';
import { type Base, type Header, parseKey } from '../src/artifact/header.js';
import { headerOfInputs, type InputsHeader } from '../src/artifact/inputs.js';
import { encodeLogBlock, lossOfUnits, type ReadStep } from '../src/artifact/seed-log.js';
import { openingOfLog, readUnfinishedLog, type UnfinishedLog } from '../src/artifact/unfinished-log.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { requireRebuildable } from '../src/artifact/work.js';
import type { Backend } from '../src/backend/backend.js';
import type { Dataset, Examples } from '../src/data/dataset.js';
import type { TextData } from '../src/data/text.js';
import { InputError, printable } from '../src/errors.js';
import {
  NOISE_STEP_SETTINGS,
  checkConfig,
  checkTextNoiseStepConfig,
  type NoiseStepConfig,
  TEXT_NOISE_STEP_SETTINGS,
  type TextNoiseStepConfig,
} from '../src/perturb/config.js';
import { type AnyNoiseStepConfig, type NoiseStepStart, NoiseStepTrainer } from '../src/perturb/trainer.js';
import type { Settings } from '../src/settings/setting.js';
import type { Graph } from '../src/ternary/graph.js';
import { encodeState, headerOfState, headerOfTrainer } from '../src/train/training.js';
import { Breath } from '../src/watch.js';
import { rebuildBase } from './bases.js';
import { openReadable, readBytes, RUN_BYTES_MAX } from './files.js';
import { unusable } from './system-error.js';
import { Progress } from './output.js';
import { replaceFile, writeAll } from './replace-file.js';
import {
  checkedConfig,
  type Extras,
  partialPath,
  requireBudget,
  requireData,
  requireFree,
  requireSame,
  Run,
  splitTraining,
  type StepReport,
  unfinishedHeader,
} from './run.js';
import { withLock, type WriteLock } from './write-lock.js';

/** What a delta is trained on. */
export interface TrainedBase {
  readonly header: Base;
  readonly weights: Int8Array;
}

/** What a run is trained on, and which settings that has. */
export interface NoiseStepSubject<Config extends AnyNoiseStepConfig, Data> {
  readonly data: Data;
  readonly inputs?: InputsHeader | undefined;
  readonly settings: Settings;
  check(config: Config): Graph;
  create(config: Config, backend: Backend, start: NoiseStepStart): Promise<NoiseStepTrainer<Config>>;
}

/** Labelled examples. */
export function ofExamples(data: Dataset): NoiseStepSubject<NoiseStepConfig, Dataset> {
  return {
    data,
    inputs: headerOfInputs(data.inputs),
    settings: NOISE_STEP_SETTINGS,
    check: checkConfig,
    create: (config, backend, start) =>
      NoiseStepTrainer.create(config, splitTraining(data.train, config.holdout).train, backend, start),
  };
}

/** A text. */
export function ofText(data: TextData): NoiseStepSubject<TextNoiseStepConfig, TextData> {
  return {
    data,
    settings: TEXT_NOISE_STEP_SETTINGS,
    check: checkTextNoiseStepConfig,
    create: (config, backend, start) => NoiseStepTrainer.ofText(config, data.train, backend, start),
  };
}

/** Where a run computes, and what it writes. */
export interface NoiseStepPlace {
  readonly backend: Backend;
  readonly out: string;
  /** Of a delta that is resumed, files that its base may be in. */
  readonly named?: readonly string[];
  /** What the artifact may have. */
  readonly budgetBytes?: number;
}

export class NoiseStepRun<Config extends AnyNoiseStepConfig = NoiseStepConfig, Scored = Examples> extends Run<
  Config,
  Scored
> {
  readonly #header: Header;
  readonly backend: Backend;
  /** Of a log: the file that grows by its steps. */
  #file: number | null = null;

  private constructor(
    readonly trainer: NoiseStepTrainer<Config>,
    subject: NoiseStepSubject<Config, Dataset | TextData>,
    { backend, out }: NoiseStepPlace,
    lock: WriteLock,
    /** Of a delta. */
    readonly base: TrainedBase | null,
  ) {
    super(out, lock);
    this.backend = backend;
    const { name, hash } = subject.data;
    this.#header = headerOfTrainer(trainer, { name, hash }, base?.header, subject.inputs);
  }

  /**
   * Starts a run.
   * @throws {ConfigError} when an unfinished run would be lost, another process writes the file, the configuration
   * does not fit, or the artifact would not fit the budget
   * @throws {InputError} when the file cannot be written
   */
  static start<Config extends AnyNoiseStepConfig, Scored = Examples>(
    config: Config,
    subject: NoiseStepSubject<Config, Dataset | TextData>,
    place: NoiseStepPlace,
    base: TrainedBase | null = null,
  ): Promise<NoiseStepRun<Config, Scored>> {
    const { out, backend, budgetBytes = Number.POSITIVE_INFINITY } = place;
    return withLock(out, async (lock) => {
      requireFree(out);
      const trainer = await subject.create(config, backend, { base: base?.weights });
      const run = new NoiseStepRun<Config, Scored>(trainer, subject, place, lock, base);
      if (config.artifact === 'log') {
        requireRebuildable(run.#header, config.steps, (config.nonzeros as number[])[0]);
        const opening = openingOfLog(run.#header);
        await replaceFile(run.path, [opening]);
        run.#grow(opening.length);
        return run;
      }
      // The first values take nearly as many bytes as the last.
      if (config.artifact === 'packed' && !base) await requireBudget(() => run.encode(), budgetBytes);
      await run.save();
      return run;
    });
  }

  /**
   * Continues the run that `out` is the end of.
   * @throws {InputError} when there is none, or the data are not those it was trained on
   * @throws {ArtifactError} when its base is not found
   */
  static resume<Config extends AnyNoiseStepConfig, Scored = Examples>(
    subject: NoiseStepSubject<Config, Dataset | TextData>,
    place: NoiseStepPlace,
  ): Promise<NoiseStepRun<Config, Scored>> {
    const { out, backend, named = [] } = place;
    return withLock(out, async (lock) => {
      const path = partialPath(out);
      const header = await unfinishedHeader(out);
      requireData(header, subject.data, out);
      const config = checkedConfig<Config>(header, subject.settings, (found: Config) => subject.check(found));
      const base = header.base
        ? { header: header.base, weights: await rebuildBase(header.base, out, named, backend) }
        : null;
      const start = { base: base?.weights, key: parseKey(header.key) };
      const trainer = await subject.create(config, backend, start);
      const run = new NoiseStepRun<Config, Scored>(trainer, subject, place, lock, base);
      requireSame(headerOfState(trainer, run.#header), header, run.path);
      if (header.kind !== 'log') {
        await run.#restore(await readBytes(path, RUN_BYTES_MAX));
        return run;
      }
      const file = openReadable(path);
      try {
        await run.#continue(readUnfinishedLog(file));
      } finally {
        file.close();
      }
      return run;
    });
  }

  /** Continues from a checkpoint. */
  async #restore(bytes: Uint8Array): Promise<void> {
    const state = this.trainer.state().pool ? readCheckpoint(bytes) : readArrays(bytes);
    const { steps } = this.config;
    if (state.step > steps) {
      throw new InputError(`"${printable(this.path)}" expected at most ${steps} steps, got ${state.step}`);
    }
    try {
      await this.trainer.restore(state);
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new InputError(`"${printable(this.path)}" ${cause.message}`, { cause });
    }
  }

  /** Applies the steps of an unfinished log, and lets it grow on. */
  async #continue(log: UnfinishedLog): Promise<void> {
    const { steps } = this.config;
    const stages = this.config.nonzeros as number[];
    const progress = new Progress();
    const breath = new Breath(progress.watch('replaying', 'steps'));
    let done = 0;
    for (const step of log.replaySteps()) {
      done += 1;
      if (!stages.includes(step.nonzeros) || step.seedStep !== done || done > steps) {
        throw new InputError(
          `"${printable(this.path)}" expected at most ${steps} steps of ${stages} nonzeros, in order`,
        );
      }
      if (breath.due()) await breath.take(done, log.steps);
      await this.trainer.replay(step);
    }
    progress.clear();
    if (log.version === VERSION) this.#grow(log.length);
    else this.#grow(await replaceFile(this.path, this.#blocksOf(log)));
  }

  get config(): Config {
    return this.trainer.config;
  }

  get modelName(): string {
    return this.trainer.graph.name;
  }

  get title(): string {
    const { train, artifact } = this.config;
    const perturb = 'perturb' in this.config ? this.config.perturb : 'nodes';
    const delta = this.base ? [`a delta on ${printable(this.base.header.name)}`] : [];
    return [perturb, ...(train === 'head' ? ['head alone'] : []), artifact, ...delta].join(', ');
  }

  get step(): number {
    return this.trainer.step;
  }

  get parameters(): number {
    return this.trainer.graph.parameters;
  }

  get forwardPassesPerStep(): number {
    return this.trainer.forwardPassesPerStep;
  }

  async extras(): Promise<Extras> {
    return { json: { deviceBytes: this.trainer.placed.memory }, rows: [] };
  }

  protected override closeFiles(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  /** When it returns, a log has the step on disk. */
  protected async train(note: (report: StepReport) => void): Promise<StepReport> {
    const { log, lossUnits, ...record } = await this.trainer.next();
    if (!log) {
      note(record);
      return record;
    }
    const kept = log.coefficients.reduce((sum, value) => sum + Math.abs(value), 0);
    const report = { ...record, nonzeros: log.nonzeros, kept, detail: `${log.nonzeros} nonzeros` };
    note(report);
    const step = { ...log, seedStep: record.step, loss: lossOfUnits(lossUnits) };
    this.#write(encodeLogBlock(this.#header, record.step, [step]));
    return report;
  }

  protected async checkpoint(): Promise<void> {
    if (this.#file !== null) {
      fsyncSync(this.#file);
      return;
    }
    await replaceFile(this.path, [encodeState(this.trainer, this.#header)]);
  }

  protected async encode(): Promise<Uint8Array> {
    const { trainer } = this;
    const values = await trainer.values();
    const outcome = await this.#outcome(values);
    const { artifact } = trainer.config;
    switch (artifact) {
      case 'log':
        throw new TypeError('a log is written from its file');
      case 'pool':
        return encodeSeedPool(this.#header, trainer.poolCoefficients(), outcome);
      case 'packed': {
        const kept = this.base ? differences(trainer.graph, this.base.weights, values) : values;
        return encodePacked(this.#header, kept, outcome);
      }
      default:
        return artifact satisfies never;
    }
  }

  async #outcome(values: Int8Array): Promise<Outcome> {
    const { step, graph } = this.trainer;
    return { steps: step, weightsHash: await weightsHash(values, graph.tensors) };
  }

  /** Of a log, its own steps in larger blocks, one after another. */
  protected override async inParts(write: (parts: Iterable<Uint8Array>) => Promise<void>): Promise<void> {
    if (this.config.artifact !== 'log') return super.inParts(write);
    const { step } = this.trainer;
    const outcome = await this.#outcome(await this.trainer.values());
    const file = openReadable(this.path);
    const progress = new Progress();
    try {
      const log = readUnfinishedLog(file);
      if (log.steps !== step) {
        throw new InputError(
          `"${printable(this.path)}" expected ${step} steps, got ${log.steps}: was it changed?`,
        );
      }
      await write(seedLogParts(this.#header, shown(log, progress), outcome));
    } finally {
      progress.clear();
      file.close();
    }
  }

  /** A log of an older version as an unfinished one of this version, a block a step. */
  *#blocksOf(log: UnfinishedLog): Generator<Uint8Array> {
    yield openingOfLog(this.#header);
    for (const step of log.replaySteps()) yield encodeLogBlock(this.#header, step.step, [step]);
  }

  /** Opens the growing log at a length, which cuts off a step that was half written. */
  #grow(length: number): void {
    try {
      truncateSync(this.path, length);
      this.#file = openSync(this.path, 'a');
    } catch (cause) {
      throw unusable(this.path, 'to be writable', cause);
    }
  }

  #write(bytes: Uint8Array): void {
    try {
      writeAll(this.#file as number, bytes);
    } catch (cause) {
      throw unusable(this.path, 'to take the next step of the log', cause);
    }
  }
}

/** The steps of a log, with progress. */
function* shown(log: UnfinishedLog, progress: Progress): Generator<ReadStep> {
  const { onProgress } = progress.watch('writing the log', 'steps');
  for (const step of log.replaySteps()) {
    onProgress?.(step.step, log.steps);
    yield step;
  }
}
