/**
 * A noise-step run and the files it keeps. While it is under way everything is in
 * `FILE.partial`: a log grows by a block a step, a pool's checkpoint is replaced now and then.
 * `FILE` itself appears whole when the run ends, so an older one is never half-overwritten.
 */

import { closeSync, existsSync, fsyncSync, openSync, rmSync, statSync, truncateSync } from 'node:fs';
import { encodePacked, encodeSeedLog, encodeSeedPool, type Outcome } from '../src/artifact/artifact.js';
import {
  encodeCheckpoint,
  kindOfUnfinished,
  openingOfLog,
  readCheckpoint,
  readUnfinishedLog,
} from '../src/artifact/checkpoint.js';
import { encodeHeader, formatKey, type Header } from '../src/artifact/header.js';
import { encodeLogBlock, type LogStep, lossOfUnits } from '../src/artifact/seed-log.js';
import { toHex, weightsHash } from '../src/artifact/weights-hash.js';
import type { Backend } from '../src/backend/backend.js';
import type { Dataset, Examples } from '../src/data/dataset.js';
import { ConfigError, expected, InputError, printable } from '../src/errors.js';
import { CONFIG_KEYS, checkConfig, type NoiseStepConfig } from '../src/perturb/config.js';
import { NoiseStepTrainer, type StepRecord } from '../src/perturb/trainer.js';
import { readBytes, unusable, writeAll, writeWhole } from './files.js';

/** Seconds between two checkpoints of a pool, and between two syncs of a log, unless the user says otherwise. */
export const SAVE_SECONDS = 10;

/** Takes the last examples of a training set away, to choose on. */
export function splitTraining(
  train: Examples,
  holdout: number,
): { train: Examples; heldOut: Examples | null } {
  if (holdout === 0) return { train, heldOut: null };
  if (holdout >= train.count) throw expected('holdout', `fewer than ${train.count} examples`, holdout);
  const part = (from: number, to: number): Examples => ({
    ...train,
    inputs: train.inputs.subarray(from * train.width, to * train.width),
    labels: train.labels.subarray(from, to),
    count: to - from,
  });
  return {
    train: part(0, train.count - holdout),
    heldOut: part(train.count - holdout, train.count),
  };
}

export class TrainingRun {
  readonly #path: string;
  readonly #header: Header;
  /** Of a log: the steps so far, and the file that grows by them. */
  readonly #steps: LogStep[] = [];
  #file: number | null = null;
  #saved = performance.now();

  private constructor(
    readonly trainer: NoiseStepTrainer,
    readonly out: string,
    data: Dataset,
  ) {
    const { config, network, key, counts } = trainer;
    this.#path = partialPath(out);
    this.#header = {
      kind: config.artifact,
      model: network.widths.join('-'),
      centred: network.centred,
      gain: network.gain,
      logitScale: network.logitScale,
      key: formatKey(key),
      cut: config.cut,
      directions: config.artifact === 'packed' ? [] : counts,
      config: { ...config },
      data: { name: data.name, hash: data.hash },
    };
  }

  /**
   * Starts a run.
   * @throws {ConfigError} when an unfinished run would be lost, or the configuration does not fit
   * @throws {InputError} when the file cannot be written
   */
  static async start(
    config: NoiseStepConfig,
    data: Dataset,
    backend: Backend,
    out: string,
  ): Promise<TrainingRun> {
    if (existsSync(out) && statSync(out).isDirectory()) {
      throw new InputError(`"${printable(out)}" expected to be writable, got a folder`);
    }
    if (existsSync(partialPath(out))) {
      throw new ConfigError(
        `"${printable(partialPath(out))}" holds an unfinished run: go on with "--resume ${printable(out)}", or delete it`,
      );
    }
    const { train } = splitTraining(data.train, config.holdout);
    const trainer = await NoiseStepTrainer.create(config, train, backend);
    const run = new TrainingRun(trainer, out, data);
    if (config.artifact === 'log') {
      const opening = openingOfLog(run.#header);
      writeWhole(run.#path, opening);
      run.#grow(opening.length);
    } else {
      run.save();
    }
    return run;
  }

  /**
   * Goes on with the run that `out` is the end of.
   * @throws {InputError} when there is none, or the data are not those it was trained on
   */
  static async resume(data: Dataset, backend: Backend, out: string): Promise<TrainingRun> {
    const bytes = await readBytes(partialPath(out));
    const log = kindOfUnfinished(bytes) === 'log' ? readUnfinishedLog(bytes) : null;
    const checkpoint = log ? null : readCheckpoint(bytes);
    const header = (log ?? checkpoint)?.header as Header;
    if (header.data.hash !== data.hash) {
      throw new InputError(
        `"${printable(out)}" expected the data it was trained on (${printable(header.data.name)}), got others`,
      );
    }
    const config = configOf(header);
    const { train } = splitTraining(data.train, config.holdout);
    const trainer = await NoiseStepTrainer.create(config, train, backend);
    const run = new TrainingRun(trainer, out, data);
    run.#checkHeader(header);
    if (log) {
      const stray = log.steps.findIndex(({ nonzeros }) => !config.nonzeros.includes(nonzeros));
      if (stray >= 0 || log.steps.length > config.steps) {
        throw new InputError(
          `"${printable(run.#path)}" expected at most ${config.steps} steps of ${config.nonzeros} nonzeros`,
        );
      }
      for (const step of log.steps) {
        await trainer.replay(step);
        run.#steps.push(step);
      }
      run.#grow(log.length);
    } else if (checkpoint) {
      await trainer.restore(checkpoint);
    }
    return run;
  }

  /**
   * One step; when it returns, a log has it on disk.
   * @param note - told of the step before the log is, so that it never knows fewer steps
   * @param saveSeconds - how long a pool may go without a checkpoint
   */
  async next(note?: (record: StepRecord) => void, saveSeconds = SAVE_SECONDS): Promise<StepRecord> {
    const record = await this.trainer.next();
    note?.(record);
    if (record.log) {
      const step = { ...record.log, loss: lossOfUnits(record.lossUnits) };
      this.#steps.push(step);
      this.#write(encodeLogBlock(record.step, [step]));
    }
    if (performance.now() - this.#saved >= saveSeconds * 1000) this.save();
    return record;
  }

  /** Makes sure that the run could go on from here. */
  save(): void {
    if (this.#file !== null) fsyncSync(this.#file);
    else {
      const { step, pool } = this.trainer.state();
      if (pool)
        writeWhole(
          this.#path,
          encodeCheckpoint({ ...this.#header, directions: this.trainer.counts }, step, pool),
        );
    }
    this.#saved = performance.now();
  }

  /** Writes the artifact and takes the unfinished run away. */
  async finish(): Promise<void> {
    const { trainer } = this;
    const trits = await trainer.placed.readWeights();
    const outcome: Outcome = { steps: trainer.step, weightsHash: await weightsHash(trits) };
    writeWhole(this.out, this.#encode(trits, outcome));
    this.close();
    rmSync(this.#path, { force: true });
    rmSync(`${this.#path}.tmp`, { force: true }); // of a run that was killed while it saved
  }

  /** Takes back a run that has not begun. */
  discard(): void {
    this.close();
    rmSync(this.#path, { force: true });
  }

  /** Closes the file of a log; what was trained stays. */
  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  /** A run goes on only from a header that it would write itself. */
  #checkHeader(header: Header): void {
    const { kind, data } = header;
    const directions = kind === 'checkpoint' ? this.trainer.counts : this.#header.directions;
    const mine = encodeHeader({ ...this.#header, kind, data, directions });
    if (toHex(mine) !== toHex(encodeHeader(header))) {
      throw new InputError(`"${printable(this.#path)}" expected a header that fits its configuration`);
    }
  }

  #encode(trits: Int8Array, outcome: Outcome): Uint8Array {
    const { artifact } = this.trainer.config;
    switch (artifact) {
      case 'log':
        return encodeSeedLog(this.#header, this.#steps, outcome);
      case 'pool':
        return encodeSeedPool(this.#header, this.trainer.poolCoefficients(), outcome);
      case 'packed':
        return encodePacked(this.#header, trits, outcome);
      default:
        return artifact satisfies never;
    }
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

/** Where the unfinished run of an artifact is kept. */
export function partialPath(out: string): string {
  return `${out}.partial`;
}

/**
 * The configuration that an artifact's header holds, checked.
 * @throws {InputError} when it is not one of a noise-step run
 */
export function configOf(header: Header): NoiseStepConfig {
  const config = header.config as unknown as NoiseStepConfig;
  const unknown = Object.keys(config).find((key) => !CONFIG_KEYS.includes(key as keyof NoiseStepConfig));
  try {
    if (unknown !== undefined) throw new ConfigError(`"${printable(unknown)}" is not a setting`);
    checkConfig(config);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new InputError(`the configuration in the header does not hold: ${cause.message}`, { cause });
  }
  return config;
}
