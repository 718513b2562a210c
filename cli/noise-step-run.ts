/** A noise-step run and its files: a log grows by a block a step, a pool's checkpoint is replaced now and then. */

import { closeSync, fsyncSync, openSync, truncateSync } from 'node:fs';
import { encodePacked, encodeSeedPool, type Outcome, seedLogParts } from '../src/artifact/artifact.js';
import { encodeCheckpoint, readCheckpoint } from '../src/artifact/checkpoint.js';
import { VERSION } from '../src/artifact/container.js';
import { differences } from '../src/artifact/delta.js';
import { type Base, formatKey, type Header, parseKey } from '../src/artifact/header.js';
import { headerOfInputs, type InputsHeader } from '../src/artifact/inputs.js';
import { encodeLogBlock, lossOfUnits, type ReadStep } from '../src/artifact/seed-log.js';
import { openingOfLog, readUnfinishedLog, type UnfinishedLog } from '../src/artifact/unfinished-log.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { requireRebuildable } from '../src/artifact/work.js';
import type { Backend } from '../src/backend/backend.js';
import type { Dataset } from '../src/data/dataset.js';
import { InputError, printable } from '../src/errors.js';
import { CONFIG_KEYS, checkConfig, type NoiseStepConfig } from '../src/perturb/config.js';
import { NoiseStepTrainer } from '../src/perturb/trainer.js';
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

export class NoiseStepRun extends Run {
  readonly #header: Header;
  /** Of a log: the file that grows by its steps. */
  #file: number | null = null;

  private constructor(
    readonly trainer: NoiseStepTrainer,
    readonly backend: Backend,
    out: string,
    data: Dataset,
    lock: WriteLock,
    /** Of a delta. */
    readonly base: TrainedBase | null,
  ) {
    super(out, lock);
    const { name, hash, inputs } = data;
    this.#header = headerOfTrainer(trainer, { name, hash }, base?.header, headerOfInputs(inputs));
  }

  /**
   * Starts a run.
   * @throws {ConfigError} when an unfinished run would be lost, another process writes the file, or the
   * configuration does not fit
   * @throws {InputError} when the file cannot be written
   */
  static async start(
    config: NoiseStepConfig,
    data: Dataset,
    backend: Backend,
    out: string,
    base: TrainedBase | null = null,
  ): Promise<NoiseStepRun> {
    return withLock(out, async (lock) => {
      requireFree(out);
      const { train } = splitTraining(data.train, config.holdout);
      const trainer = await NoiseStepTrainer.create(config, train, backend, base?.weights);
      const run = new NoiseStepRun(trainer, backend, out, data, lock, base);
      if (config.artifact === 'log') {
        requireRebuildable(run.#header, config.steps, config.nonzeros[0]);
        const opening = openingOfLog(run.#header);
        await replaceFile(run.path, [opening]);
        run.#grow(opening.length);
      } else {
        await run.save();
      }
      return run;
    });
  }

  /**
   * Goes on with the run that `out` is the end of.
   * @param named - files that its base may be in, if it has one
   * @throws {InputError} when there is none, or the data are not those it was trained on
   * @throws {ArtifactError} when its base is not found
   */
  static async resume(
    data: Dataset,
    backend: Backend,
    out: string,
    named: readonly string[] = [],
  ): Promise<NoiseStepRun> {
    return withLock(out, async (lock) => {
      const path = partialPath(out);
      if ((await unfinishedHeader(out)).kind !== 'log') {
        const checkpoint = readCheckpoint(await readBytes(path, RUN_BYTES_MAX));
        return NoiseStepRun.#resume(checkpoint.header, data, backend, out, named, lock, async (run) => {
          if (checkpoint.step > run.config.steps) {
            throw new InputError(
              `"${printable(path)}" expected at most ${run.config.steps} steps, got ${checkpoint.step}`,
            );
          }
          await run.trainer.restore(checkpoint);
        });
      }
      const file = openReadable(path);
      try {
        const log = readUnfinishedLog(file);
        return await NoiseStepRun.#resume(log.header, data, backend, out, named, lock, (run) =>
          run.#goOn(log),
        );
      } finally {
        file.close();
      }
    });
  }

  static async #resume(
    header: Header,
    data: Dataset,
    backend: Backend,
    out: string,
    named: readonly string[],
    lock: WriteLock,
    restore: (run: NoiseStepRun) => Promise<void>,
  ): Promise<NoiseStepRun> {
    requireData(header, data, out);
    const config = checkedConfig(header, CONFIG_KEYS, checkConfig);
    const { train } = splitTraining(data.train, config.holdout);
    const base = header.base
      ? { header: header.base, weights: await rebuildBase(header.base, out, named, backend) }
      : null;
    const key = parseKey(header.key);
    const trainer = await NoiseStepTrainer.create(config, train, backend, base?.weights, key);
    const run = new NoiseStepRun(trainer, backend, out, data, lock, base);
    requireSame(run.#unfinishedHeader(), header, run.path);
    await restore(run);
    return run;
  }

  /** Applies the steps of an unfinished log, and lets it grow on. */
  async #goOn(log: UnfinishedLog): Promise<void> {
    const { steps, nonzeros: stages } = this.config;
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

  get config(): NoiseStepConfig {
    return this.trainer.config;
  }

  get modelName(): string {
    return this.config.model;
  }

  get title(): string {
    return `${this.config.perturb}, ${this.config.artifact}`;
  }

  get step(): number {
    return this.trainer.step;
  }

  get parameters(): number {
    return this.trainer.network.parameters;
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
    const { step, pool } = this.trainer.state();
    if (!pool) return;
    await replaceFile(this.path, [encodeCheckpoint(this.#unfinishedHeader(), step, pool)]);
  }

  protected async encode(): Promise<Uint8Array> {
    const { trainer } = this;
    const trits = await trainer.placed.readWeights();
    const outcome: Outcome = { steps: trainer.step, weightsHash: await weightsHash(trits) };
    const { artifact } = trainer.config;
    switch (artifact) {
      case 'log':
        throw new TypeError('a log is written from its file');
      case 'pool':
        return encodeSeedPool(this.#header, trainer.poolCoefficients(), outcome);
      case 'packed':
        return encodePacked(this.#header, this.#packedValues(trits), outcome);
      default:
        return artifact satisfies never;
    }
  }

  /** What packed weights hold: of a delta, differences. */
  #packedValues(trits: Int8Array): Int8Array {
    return this.base ? differences(this.trainer.network, this.base.weights, trits) : trits;
  }

  /** The header of the unfinished run. */
  #unfinishedHeader(): Header {
    if (this.config.artifact === 'log') return this.#header;
    return { ...this.#header, kind: 'checkpoint', directions: this.trainer.counts };
  }

  /** Of a log, its own steps in larger blocks, one after another. */
  protected override async inParts(write: (parts: Iterable<Uint8Array>) => Promise<void>): Promise<void> {
    if (this.config.artifact !== 'log') return super.inParts(write);
    const { placed, step } = this.trainer;
    const outcome: Outcome = { steps: step, weightsHash: await weightsHash(await placed.readWeights()) };
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

/** What the finished artifact of a run says of it. */
export function headerOfTrainer(
  trainer: NoiseStepTrainer,
  data: Header['data'],
  base?: Base,
  inputs?: InputsHeader,
): Header {
  const { config, network, key, counts } = trainer;
  return {
    kind: config.artifact,
    model: network.widths.join('-'),
    centred: network.centred,
    gain: network.gain,
    logitScale: network.logitScale,
    key: formatKey(key),
    cut: config.cut,
    directions: config.artifact === 'packed' ? [] : counts,
    config: { ...config },
    data,
    ...(base && { base }),
    ...(inputs && { inputs }),
  };
}
