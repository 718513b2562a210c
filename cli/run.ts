/**
 * A run of any trainer, and its files. While it is under way everything is in `FILE.partial`: a log grows by a block
 * a step, a checkpoint is replaced now and then. `FILE` itself appears whole when the run ends, so an older one is
 * never half-overwritten. Where the artifact goes into a pipe, `FILE` is in a folder for temporary files, and never
 * appears.
 */

import { closeSync, fsyncSync, openSync, rmSync, truncateSync } from 'node:fs';
import { readCheckpoint } from '../src/artifact/checkpoint.js';
import { VERSION } from '../src/artifact/container.js';
import { seedLogParts } from '../src/artifact/artifact.js';
import { type Base, type Header, parseKey } from '../src/artifact/header.js';
import { encodeLogBlock, lossOfUnits, type ReadStep } from '../src/artifact/seed-log.js';
import { openingOfLog, readUnfinishedLog, type UnfinishedLog } from '../src/artifact/unfinished-log.js';
import { requireRebuildable } from '../src/artifact/work.js';
import { ConfigError, InputError, printable } from '../src/errors.js';
import {
  encodeState,
  encodeTrained,
  headerOfState,
  headerOfTrainer,
  outcomeOf,
} from '../src/train/encode.js';
import type { RunConfig, StepRecord, Trainer } from '../src/train/trainer.js';
import { Breath, type Watch } from '../src/watch.js';
import { Destination } from './destination.js';
import { openReadable, readBytes, RUN_BYTES_MAX } from './files.js';
import { Progress } from './output.js';
import { replaceFile, temporaryPath, writeAll } from './replace-file.js';
import type { Extras, Start, Subject } from './subject.js';
import { unusable } from './system-error.js';
import {
  checkedConfig,
  partialPath,
  requireData,
  requireFree,
  requireSame,
  unfinishedHeader,
} from './unfinished.js';
import { withLock, type WriteLock } from './write-lock.js';

/** Seconds between two checkpoints, and between two syncs of a log, unless the user says otherwise. */
export const SAVE_SECONDS = 10;

/** What a step says of itself; whatever more it has goes into the metrics. */
export interface StepReport extends Omit<StepRecord, 'log' | 'lossUnits'> {
  /** For the progress line, such as `4 nonzeros`. */
  readonly detail?: string;
}

/** What a delta is trained on. */
export interface TrainedBase {
  readonly header: Base;
  readonly weights: Int8Array;
}

/** Where a run computes, and what it writes. */
export interface RunPlace {
  /** Its name for programs, and for people. */
  readonly backend: { readonly name: string; readonly summary: string };
  readonly out: string;
  /** Of a delta that is continued: the values of its base. */
  readonly rebuildBase?: (base: Base) => Promise<Int8Array>;
  /** What the artifact may have. */
  readonly budgetBytes?: number;
}

/** `Scored` is what a model is scored on at the end. */
export class Run<Config extends RunConfig, Scored, Made extends Trainer<Config> = Trainer<Config>> {
  readonly out: string;
  readonly backend: RunPlace['backend'];
  /** Of the unfinished run. */
  readonly #path: string;
  readonly #header: Header;
  /** Of a log: the file that grows by its steps. */
  #file: number | null = null;
  #saved = performance.now();

  private constructor(
    readonly trainer: Made,
    readonly subject: Subject<Config, Scored, Made>,
    { out, backend }: RunPlace,
    /** The right to write `out`, which the run gives back when it is closed. */
    readonly lock: WriteLock,
    /** Of a delta. */
    readonly base: TrainedBase | null,
  ) {
    this.out = out;
    this.backend = backend;
    this.#path = partialPath(out);
    const { data, inputs } = subject;
    this.#header = headerOfTrainer(trainer, {
      data: { name: data.name, hash: data.hash },
      inputs,
      ...(base && { base: base.header }),
    });
  }

  /**
   * Starts a run.
   * @throws {ConfigError} when an unfinished run would be lost, another process writes the file, the configuration
   * does not fit, or the artifact would not fit the budget
   * @throws {InputError} when the file cannot be written
   */
  static start<Config extends RunConfig, Scored, Made extends Trainer<Config>>(
    config: Config,
    subject: Subject<Config, Scored, Made>,
    place: RunPlace,
    base: TrainedBase | null = null,
  ): Promise<Run<Config, Scored, Made>> {
    return withLock(place.out, async (lock) => {
      requireFree(place.out);
      return Run.#create(config, subject, place, lock, base, { base: base?.weights }, async (run) => {
        if (config.artifact === 'log') {
          requireRebuildable(run.#header, config.steps, stagesOf(config)[0]);
          const opening = openingOfLog(run.#header);
          await replaceFile(run.#path, [opening]);
          run.#grow(opening.length);
          return;
        }
        // The first values take nearly as many bytes as the last.
        if (config.artifact === 'packed' && !base) await run.#requireBudget(place.budgetBytes);
        await run.save();
      });
    });
  }

  /**
   * Continues the run that `out` is the end of.
   * @throws {InputError} when there is none, or the data are not those it was trained on
   * @throws {ArtifactError} when its base is not found
   */
  static resume<Config extends RunConfig, Scored, Made extends Trainer<Config>>(
    subject: Subject<Config, Scored, Made>,
    place: RunPlace,
  ): Promise<Run<Config, Scored, Made>> {
    const { out, rebuildBase } = place;
    return withLock(out, async (lock) => {
      const header = await unfinishedHeader(out);
      requireData(header, subject.data, out);
      const config = checkedConfig<Config>(header, subject.settings, (found: Config) => subject.check(found));
      const base =
        header.base && rebuildBase ? { header: header.base, weights: await rebuildBase(header.base) } : null;
      const start = { base: base?.weights, key: parseKey(header.key) };
      return Run.#create(config, subject, place, lock, base, start, async (run) => {
        requireSame(headerOfState(run.trainer, run.#header), header, run.#path);
        if (header.kind !== 'log') return run.#restore(await readBytes(run.#path, RUN_BYTES_MAX));
        const file = openReadable(run.#path);
        try {
          await run.#continue(readUnfinishedLog(file));
        } finally {
          file.close();
        }
      });
    });
  }

  /** A run on which `begin` was successful; else nothing of it is left. */
  static async #create<Config extends RunConfig, Scored, Made extends Trainer<Config>>(
    config: Config,
    subject: Subject<Config, Scored, Made>,
    place: RunPlace,
    lock: WriteLock,
    base: TrainedBase | null,
    start: Start,
    begin: (run: Run<Config, Scored, Made>) => Promise<void>,
  ): Promise<Run<Config, Scored, Made>> {
    const trainer = await subject.create(config, start);
    try {
      const run = new Run(trainer, subject, place, lock, base);
      await begin(run);
      return run;
    } catch (error) {
      await trainer.release();
      throw error;
    }
  }

  /** Continues from a checkpoint. */
  async #restore(bytes: Uint8Array): Promise<void> {
    const state = readCheckpoint(bytes);
    const { steps } = this.config;
    if (state.step > steps) {
      throw new InputError(`"${printable(this.#path)}" expected at most ${steps} steps, got ${state.step}`);
    }
    try {
      await this.trainer.restore(state);
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new InputError(`"${printable(this.#path)}" ${cause.message}`, { cause });
    }
  }

  /** Applies the steps of an unfinished log, and lets it grow on. */
  async #continue(log: UnfinishedLog): Promise<void> {
    const { steps } = this.config;
    const stages = stagesOf(this.config);
    const progress = new Progress();
    const breath = new Breath(progress.watch('replaying', 'steps'));
    let done = 0;
    for (const step of log.replaySteps()) {
      done += 1;
      if (!stages.includes(step.nonzeros) || step.seedStep !== done || done > steps) {
        throw new InputError(
          `"${printable(this.#path)}" expected at most ${steps} steps of ${stages} nonzeros, in order`,
        );
      }
      if (breath.due()) await breath.take(done, log.steps);
      await this.trainer.replay(step);
    }
    progress.clear();
    if (log.version === VERSION) this.#grow(log.length);
    else this.#grow(await replaceFile(this.#path, this.#blocksOf(log)));
  }

  get config(): Config {
    return this.trainer.config;
  }

  /** The model, for people. */
  get modelName(): string {
    return this.trainer.graph.name;
  }

  /** What it does, for people: `nodes, pool`. */
  get title(): string {
    const delta = this.base ? [`a delta on ${printable(this.base.header.name)}`] : [];
    return [this.subject.title(this.trainer), ...delta].join(', ');
  }

  /** Steps done. */
  get step(): number {
    return this.trainer.step;
  }

  get parameters(): number {
    return this.trainer.graph.parameters;
  }

  get forwardPassesPerStep(): number {
    return this.trainer.forwardPassesPerStep;
  }

  /** What there is to say at the end beside accuracy and bytes. */
  extras(scored: Scored, watch?: Watch): Promise<Extras> {
    return this.subject.extras(this.trainer, scored, watch);
  }

  /**
   * One step, and now and then a checkpoint. When it returns, a log has the step on disk.
   * @param note - told of the step before the files are, so that it never knows fewer steps
   * @param saveSeconds - how long a run may go without a checkpoint
   */
  async next(note: (report: StepReport) => void = () => {}, saveSeconds = SAVE_SECONDS): Promise<StepReport> {
    const { log, lossUnits = 0, ...record } = await this.trainer.next();
    let report: StepReport = record;
    if (log) {
      const kept = log.coefficients.reduce((sum, value) => sum + Math.abs(value), 0);
      report = { ...record, ...{ nonzeros: log.nonzeros, kept, detail: `${log.nonzeros} nonzeros` } };
    }
    note(report);
    if (log) {
      const step = { ...log, seedStep: record.step, loss: lossOfUnits(lossUnits) };
      this.#write(encodeLogBlock(this.#header, record.step, [step]));
    }
    if (performance.now() - this.#saved >= saveSeconds * 1000) await this.save();
    return report;
  }

  /** Makes sure that the run could go on from here. */
  async save(): Promise<void> {
    if (this.#file !== null) fsyncSync(this.#file);
    else await replaceFile(this.#path, [await encodeState(this.trainer, this.#header)]);
    this.#saved = performance.now();
  }

  /**
   * Writes the artifact and takes the unfinished run away.
   * @param out - where the artifact goes
   * @param change - makes of the artifact the one that is written
   * @returns the artifact; null where a file has it, which it need not fit in memory for
   */
  async finish(
    out = Destination.open(this.out, { force: true }, []),
    change?: (artifact: Uint8Array) => Promise<Uint8Array>,
  ): Promise<Uint8Array | null> {
    let artifact: Uint8Array | null = null;
    await this.#inParts(async (parts) => {
      if (change || out.path === null) {
        const whole = new Uint8Array(Buffer.concat([...parts]));
        artifact = change ? await change(whole) : whole;
      }
      await out.write(artifact ? [artifact] : parts, this.lock);
    });
    this.discard();
    return artifact;
  }

  /** Takes the unfinished run away. */
  discard(): void {
    this.close();
    rmSync(this.#path, { force: true });
    rmSync(temporaryPath(this.#path), { force: true }); // of a run that was killed while it saved
  }

  /** Closes the file, and lets others write; what was trained stays. */
  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
    this.lock.release();
  }

  /** Has the finished artifact written, of a log its own steps in larger blocks, one after another. */
  async #inParts(write: (parts: Iterable<Uint8Array>) => Promise<void>): Promise<void> {
    if (this.config.artifact !== 'log') {
      return write([await encodeTrained(this.trainer, this.#header, { base: this.base?.weights })]);
    }
    const { step } = this.trainer;
    const outcome = await outcomeOf(this.trainer, await this.trainer.values());
    const file = openReadable(this.#path);
    const progress = new Progress();
    try {
      const log = readUnfinishedLog(file);
      if (log.steps !== step) {
        throw new InputError(
          `"${printable(this.#path)}" expected ${step} steps, got ${log.steps}: was it changed?`,
        );
      }
      await write(seedLogParts(this.#header, shown(log, progress), outcome));
    } finally {
      progress.clear();
      file.close();
    }
  }

  async #requireBudget(budgetBytes = Number.POSITIVE_INFINITY): Promise<void> {
    if (budgetBytes === Number.POSITIVE_INFINITY) return;
    const { length } = await encodeTrained(this.trainer, this.#header);
    if (length <= budgetBytes) return;
    throw new ConfigError(
      `"--budget" expected a model of at most ${budgetBytes} bytes, got one of ${length}, ` +
        `${length - budgetBytes} too many: use a smaller "--width" or "--hidden", fewer "--blocks", or "--tied true"`,
    );
  }

  /** A log of an older version as an unfinished one of this version, a block a step. */
  *#blocksOf(log: UnfinishedLog): Generator<Uint8Array> {
    yield openingOfLog(this.#header);
    for (const step of log.replaySteps()) yield encodeLogBlock(this.#header, step.step, [step]);
  }

  /** Opens the growing log at a length, which cuts off a step that was half written. */
  #grow(length: number): void {
    try {
      truncateSync(this.#path, length);
      this.#file = openSync(this.#path, 'a');
    } catch (cause) {
      throw unusable(this.#path, 'to be writable', cause);
    }
  }

  #write(bytes: Uint8Array): void {
    try {
      writeAll(this.#file as number, bytes);
    } catch (cause) {
      throw unusable(this.#path, 'to take the next step of the log', cause);
    }
  }
}

/** Of a log, the nonzeros of its directions, a stage each. */
function stagesOf(config: RunConfig): readonly number[] {
  return (config as RunConfig & { readonly nonzeros: readonly number[] }).nonzeros;
}

/** The steps of a log, with progress. */
function* shown(log: UnfinishedLog, progress: Progress): Generator<ReadStep> {
  const { onProgress } = progress.watch('writing the log', 'steps');
  for (const step of log.replaySteps()) {
    onProgress?.(step.step, log.steps);
    yield step;
  }
}
