/**
 * What `train` needs of a run, whichever trainer it is: steps, and the files that it keeps.
 * While a run is under way everything is in `FILE.partial`; `FILE` itself appears whole when the
 * run ends, so an older one is never half-overwritten. Where the artifact goes into a pipe, `FILE` is in a
 * folder for temporary files, and never appears.
 */

import { existsSync, rmSync } from 'node:fs';
import { headerOfUnfinished } from '../src/artifact/checkpoint.js';
import { encodeHeader, type Header } from '../src/artifact/header.js';
import { toHex } from '../src/artifact/weights-hash.js';
import type { Dataset, Examples } from '../src/data/dataset.js';
import { ConfigError, expected, InputError, printable } from '../src/errors.js';
import type { Settings } from '../src/settings/setting.js';
import type { Watch } from '../src/watch.js';
import { Destination } from './destination.js';
import { openReadable } from './files.js';
import { placeOf, STDOUT } from './place.js';
import { temporaryPath } from './replace-file.js';
import type { WriteLock } from './write-lock.js';

/** The trainers. */
export const METHODS = ['noise-step', 'ste'] as const;
export type Method = (typeof METHODS)[number];

/** Seconds between two checkpoints, and between two syncs of a log, unless the user says otherwise. */
export const SAVE_SECONDS = 10;

/** What a step says of itself; whatever more it has goes into the metrics. */
export interface StepReport {
  /** Counted from 1. */
  readonly step: number;
  /** In nats, before the update. */
  readonly loss: number;
  /** Of the batch, before the update. */
  readonly accuracy: number;
  readonly forwardPasses: number;
  /** For the progress line, such as `4 nonzeros`. */
  readonly detail?: string;
}

/** What the end of a run adds to what every run reports. */
export interface Extras {
  /** Fields of the JSON. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Lines of the table. */
  readonly rows: readonly (readonly [label: string, value: string])[];
}

/** The settings that all trainers have and `train` reads. */
export interface RunConfig {
  readonly artifact: string;
  readonly seed: string;
  readonly steps: number;
  readonly batch: number;
}

/** Those of the trainers of perceptrons. */
export interface PerceptronRunConfig extends RunConfig {
  readonly model: string;
  readonly holdout: number;
}

/** A run and its files; `Scored` is what a model is scored on at the end. */
export abstract class Run<Config extends RunConfig = PerceptronRunConfig, Scored = Examples> {
  /** Of the unfinished run. */
  protected readonly path: string;
  #saved = performance.now();

  /** @param lock - the right to write `out`, which the run gives back when it is closed */
  constructor(
    readonly out: string,
    readonly lock: WriteLock,
  ) {
    this.path = partialPath(out);
  }

  abstract readonly config: Config;
  /** The model, for people. */
  abstract readonly modelName: string;
  /** What it does, for people: `nodes, pool`. */
  abstract readonly title: string;
  /** Steps done. */
  abstract readonly step: number;
  abstract readonly parameters: number;
  abstract readonly forwardPassesPerStep: number;
  /** Where it computes: the name for programs, and for people. */
  abstract readonly backend: { readonly name: string; readonly summary: string };

  /** One step. */
  protected abstract train(note: (report: StepReport) => void): Promise<StepReport>;
  /** Writes what it takes to go on from here. */
  protected abstract checkpoint(): Promise<void>;
  /** The finished artifact. */
  protected abstract encode(): Promise<Uint8Array>;
  /** What there is to say at the end beside accuracy and bytes. */
  abstract extras(scored: Scored, watch?: Watch): Promise<Extras>;

  /**
   * One step, and now and then a checkpoint.
   * @param note - told of the step before the files are, so that it never knows fewer steps
   * @param saveSeconds - how long a run may go without a checkpoint
   */
  async next(note: (report: StepReport) => void = () => {}, saveSeconds = SAVE_SECONDS): Promise<StepReport> {
    const report = await this.train(note);
    if (performance.now() - this.#saved >= saveSeconds * 1000) await this.save();
    return report;
  }

  /** Makes sure that the run could go on from here. */
  async save(): Promise<void> {
    await this.checkpoint();
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
    await this.inParts(async (parts) => {
      if (change || out.path === null) {
        const whole = new Uint8Array(Buffer.concat([...parts]));
        artifact = change ? await change(whole) : whole;
      }
      await out.write(artifact ? [artifact] : parts, this.lock);
    });
    this.discard();
    return artifact;
  }

  /** Has the finished artifact written, in parts that may be made as they are. */
  protected async inParts(write: (parts: Iterable<Uint8Array>) => Promise<void>): Promise<void> {
    await write([await this.encode()]);
  }

  /** Takes the unfinished run away. */
  discard(): void {
    this.closeFiles();
    rmSync(this.path, { force: true });
    rmSync(temporaryPath(this.path), { force: true }); // of a run that was killed while it saved
    this.lock.release();
  }

  /** Closes what is open, and lets others write; what was trained stays. */
  close(): void {
    this.closeFiles();
    this.lock.release();
  }

  /** Closes the files of the trainer. */
  protected closeFiles(): void {}
}

/** Where the unfinished run of an artifact is kept. */
export function partialPath(out: string): string {
  return `${out}.partial`;
}

/** The unfinished run of an artifact, by whatever name that is called; null where there is none. */
export function unfinishedOf(name: string): string | null {
  try {
    const place = placeOf(name, STDOUT);
    if (place.kind !== 'file') return null;
    return existsSync(partialPath(place.path)) ? partialPath(place.path) : null;
  } catch {
    return null; // whoever opens it says why it cannot be opened
  }
}

/**
 * Checks that a new run loses no other.
 * @throws {ConfigError} when there is an unfinished one
 */
export function requireFree(out: string): void {
  const unfinished = unfinishedOf(out);
  if (unfinished === null) return;
  throw new ConfigError(
    `"${printable(unfinished)}" holds an unfinished run: continue it with "--resume ${printable(out)}", or delete it`,
  );
}

/** Of an unfinished run, its header stands within so many bytes. */
const OPENING_BYTES = 2 ** 17;

/**
 * The header of the unfinished run of an artifact.
 * @throws {InputError} when there is none
 */
export async function unfinishedHeader(out: string): Promise<Header> {
  const file = openReadable(partialPath(out));
  try {
    return headerOfUnfinished(file.read(0, OPENING_BYTES));
  } finally {
    file.close();
  }
}

/**
 * Checks that an artifact fits its budget before it is trained.
 * @param encode - makes it as it is at first
 * @throws {ConfigError} saying by how much it does not
 */
export async function requireBudget(encode: () => Promise<Uint8Array>, budgetBytes: number): Promise<void> {
  if (budgetBytes === Number.POSITIVE_INFINITY) return;
  const { length } = await encode();
  if (length <= budgetBytes) return;
  throw new ConfigError(
    `"--budget" expected a model of at most ${budgetBytes} bytes, got one of ${length}, ` +
      `${length - budgetBytes} too many: use a smaller "--width" or "--hidden", fewer "--blocks", or "--tied true"`,
  );
}

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

/**
 * Checks that a run continues with the data it was trained on.
 * @throws {InputError} when it would not
 */
export function requireData(header: Header, data: Pick<Dataset, 'hash'>, out: string): void {
  if (header.data.hash === data.hash) return;
  throw new InputError(
    `"${printable(out)}" expected the data it was trained on (${printable(header.data.name)}), got others`,
  );
}

/**
 * Checks that a run continues only from a header that it would write itself.
 * @throws {InputError} when it would not
 */
export function requireSame(mine: Header, found: Header, path: string): void {
  if (isSameHeader({ ...mine, data: found.data }, found)) return;
  throw new InputError(`"${printable(path)}" expected a header that fits its configuration`);
}

/** Whether two headers are written as the same bytes. */
export function isSameHeader(a: Header, b: Header): boolean {
  return toHex(encodeHeader(a)) === toHex(encodeHeader(b));
}

/**
 * The configuration that an artifact's header holds.
 * @param check - throws a ConfigError where it does not hold
 * @throws {InputError} when it is not one of the trainer's
 */
export function checkedConfig<Config>(
  header: Header,
  settings: Settings,
  check: (config: Config) => unknown,
): Config {
  const unknown = Object.keys(header.config).find((key) => !Object.hasOwn(settings, key));
  try {
    if (unknown !== undefined) throw new ConfigError(`"${printable(unknown)}" is not a setting`);
    check(header.config as Config);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new InputError(`the configuration in the header does not hold: ${cause.message}`, { cause });
  }
  return header.config as Config;
}
