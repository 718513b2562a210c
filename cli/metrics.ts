/** `--metrics FILE`: a JSON line a step, into a file, which a resumed run continues, or whatever else takes lines. */

import { closeSync, existsSync, ftruncateSync, openSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ConfigError, printable } from '../src/errors.js';
import { type Destination, openOther, requireWritable } from './destination.js';
import { openReadable } from './files.js';
import { unusable } from './system-error.js';
import { identityOf, type Place, placeOf, STDOUT } from './place.js';
import { temporaryPath, writeAll } from './replace-file.js';
import type { StepReport } from './run.js';
import { partialPath } from './unfinished.js';
import { lockPath } from './write-lock.js';

export interface MetricsOptions {
  /** Whether a run goes on, whose lines are there already. */
  readonly resumed: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Read at once of metrics, which may be longer than a text can be. */
const WINDOW_BYTES = 2 ** 20;
/** By which every line begins. */
const BEGINNING = '{"step":';

/** Where the lines go; found and checked before any work is done, opened when the first step is known. */
export class Metrics {
  #file: number | null = null;

  private constructor(
    readonly name: string,
    readonly place: Place,
  ) {}

  /**
   * Looks at the place that `--metrics` names.
   * @param out - where the artifact goes
   * @param inputs - what the run reads
   * @returns null where there is no name
   * @throws {ConfigError} when something else would be lost there
   * @throws {InputError} when the place cannot be written
   */
  static find(
    name: string | undefined,
    { resumed, force = false, json = false }: MetricsOptions,
    out: Destination,
    inputs: readonly string[],
  ): Metrics | null {
    if (name === undefined) return null;
    let place: Place;
    try {
      place = placeOf(name, STDOUT);
    } catch (cause) {
      throw unusable(name, 'to be writable', cause);
    }
    const metrics = new Metrics(name, place);
    const { stats } = place;
    requireWritable(name, place);
    if (metrics.isStdout && (json || out.isStdout)) {
      throw new ConfigError(
        `"--metrics" sends lines to standard output, as "${json ? '--json' : '--out'}" does with something else: leave one of them out`,
      );
    }
    const identity = stats?.isFile() ? `${stats.dev}:${stats.ino}` : null;
    const read = inputs.find((input) => identity !== null && identityOf(input) === identity);
    if (read !== undefined || metrics.#isBeside(out.path)) {
      throw new ConfigError(
        `"--metrics" expected a file of its own, got "${printable(name)}", the same as "${printable(read ?? out.name)}" or a file beside it`,
      );
    }
    if (!stats?.isFile() || stats.size === 0n || place.kind !== 'file' || force) return metrics;
    if (resumed && metrics.#lengthUpTo(0) !== null) return metrics;
    throw new ConfigError(
      resumed
        ? `"--metrics" expected the lines of this run in "${printable(name)}", got something else: choose another name, or replace it with "--force"`
        : `"${printable(name)}" expected to be free, got a file that is there: choose another name, or replace it with "--force"`,
    );
  }

  get isStdout(): boolean {
    return this.place.kind === 'descriptor' && this.place.descriptor === STDOUT;
  }

  /**
   * Opens it.
   * @param first - the step that the run is at: lines of later ones are dropped, because they come again
   */
  async open(first: number): Promise<void> {
    const { place } = this;
    try {
      if (place.kind === 'descriptor') {
        this.#file = place.descriptor;
      } else if (place.kind === 'other') {
        this.#file = await openOther(place);
      } else {
        const kept = first > 0 ? (this.#lengthUpTo(first) ?? 0) : 0;
        this.#file = openSync(place.path, 'a');
        ftruncateSync(this.#file, kept);
      }
    } catch (cause) {
      throw unusable(this.name, 'to be writable', cause);
    }
  }

  /** One line, at once: a run that dies after it finds the step when it is resumed. */
  add(report: StepReport): void {
    const line = JSON.stringify({ ...report, detail: undefined }); // that is for the progress line
    try {
      writeAll(this.#file as number, new TextEncoder().encode(`${line}\n`));
    } catch (cause) {
      throw unusable(this.name, 'to take the next line', cause);
    }
  }

  close(): void {
    if (this.#file !== null && this.place.kind !== 'descriptor') closeSync(this.#file);
    this.#file = null;
  }

  /** How many bytes the lines up to a step have, which come first; null where there is anything but such lines. */
  #lengthUpTo(step: number): number | null {
    const { path } = this.place as Place & { path: string };
    if (!existsSync(path)) return 0;
    const file = openReadable(path);
    const decoder = new TextDecoder();
    let kept: number | null = null;
    try {
      for (let begin = 0; begin < file.size;) {
        const bytes = file.read(begin, WINDOW_BYTES);
        let at = 0;
        for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, at)) {
          const found = stepOf(decoder.decode(bytes.subarray(at, end)));
          if (found === null) return null;
          if (found > step) kept ??= begin + at;
          at = end + 1;
        }
        // A run that was killed may have written half of its last line.
        if (at === 0)
          return BEGINNING.startsWith(decoder.decode(bytes.subarray(0, BEGINNING.length)))
            ? (kept ?? begin)
            : null;
        begin += at;
      }
      return kept ?? file.size;
    } finally {
      file.close();
    }
  }

  /** Whether it is the artifact, or one of the files that are kept beside it. */
  #isBeside(path: string | null): boolean {
    if (path === null || this.place.kind !== 'file') return false;
    const mine = locationOf(this.place.path);
    return [path, partialPath(path), lockPath(path), temporaryPath(path)].some(
      (other) => locationOf(other) === mine,
    );
  }
}

function locationOf(path: string): string {
  const folder = dirname(path);
  return join(existsSync(folder) ? realpathSync.native(folder) : folder, basename(path));
}

/** The step of a metrics line; null for any other. */
function stepOf(line: string): number | null {
  try {
    const { step } = JSON.parse(line) as { step?: unknown };
    return typeof step === 'number' ? step : null;
  } catch {
    return null;
  }
}
