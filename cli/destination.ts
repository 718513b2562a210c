/**
 * Where a verb writes what it makes, as `--out` names it. A regular file is replaced whole, under its lock; standard
 * output, pipes and devices are written to as they are. All that can be refused is refused before any work is done.
 */

import {
  accessSync,
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  rmdirSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { isUrl } from '../src/artifact/url-request.js';
import { ConfigError, InputError, printable, TernseedError } from '../src/errors.js';
import { requireOneStdin } from './files.js';
import { unusable } from './system-error.js';
import { identityOf, type Place, placeOf, STDOUT } from './place.js';
import { replaceFile, temporaryPath } from './replace-file.js';
import { lockPath, requireNoWriter, WriteLock } from './write-lock.js';

export interface DestinationOptions {
  /** Whether what is there may be replaced. */
  readonly force?: boolean;
  /** Whether one JSON object is going to standard output. */
  readonly json?: boolean;
}

/** Milliseconds between two looks at a pipe that nobody reads, or that is full. */
const POLL_MS = 5;

export class Destination {
  readonly #place: Place;
  readonly #force: boolean;

  private constructor(
    /** As the user wrote it. */
    readonly name: string,
    place: Place,
    force: boolean,
  ) {
    this.#place = place;
    this.#force = force;
  }

  /**
   * Looks at the place that `--out` names, and checks all that can be known before there is anything to write.
   * @param inputs - what the verb reads: none of it may be the file that is written
   * @throws {ConfigError} when something is there already and may not be replaced, or is an input
   * @throws {InputError} when the place cannot be written
   */
  static open(
    name: string,
    { force = false, json = false }: DestinationOptions,
    inputs: readonly string[],
  ): Destination {
    requireOneStdin(inputs);
    if (name === '') throw new ConfigError('"--out" expected a file, got an empty name');
    let place: Place;
    try {
      place = placeOf(name, STDOUT);
    } catch (cause) {
      throw unusable(name, 'to be writable', cause);
    }
    const out = new Destination(name, place, force);
    if (out.isStdout && json) {
      throw new ConfigError(
        '"--json" prints an object on standard output, where "--out" sends bytes: leave one of them out',
      );
    }
    out.#checkPlace();
    out.keepClearOf(inputs);
    return out;
  }

  /** Of a regular file, there or not: where it is, all links followed. */
  get path(): string | null {
    return this.#place.kind === 'file' ? this.#place.path : null;
  }

  get isStdout(): boolean {
    return this.#place.kind === 'descriptor' && this.#place.descriptor === STDOUT;
  }

  /** Where what is there to say to people goes. */
  get remarks(): NodeJS.WritableStream {
    return this.isStdout ? process.stderr : process.stdout;
  }

  /**
   * Checks that files which are read are not the one that is written, by whatever name.
   * @throws {ConfigError} when one is
   */
  keepClearOf(inputs: readonly string[]): void {
    const { path } = this;
    const { stats } = this.#place;
    const mine = [
      ...(stats && (stats.isFile() || stats.isFIFO()) ? [`${stats.dev}:${stats.ino}`] : []),
      ...(path === null ? [] : [identityOf(temporaryPath(path)), identityOf(lockPath(path))]),
    ];
    for (const input of inputs) {
      const identity = isUrl(input) ? null : identityOf(input);
      if (identity === null || !mine.includes(identity)) continue;
      throw new ConfigError(
        `"--out" expected a file that is not read for it, got "${printable(this.name)}", which would ` +
          `destroy "${printable(input)}": choose another`,
      );
    }
  }

  /**
   * Checks that nothing has come to be there since it was looked at.
   * @throws {ConfigError} when something has
   */
  requireUnchanged(): void {
    const { path } = this;
    if (path === null || this.#force) return; // without force, nothing was there
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) throw this.#taken();
  }

  /**
   * Writes it all.
   * @param parts - may be made as they are written
   * @param held - the lock of the file, if the caller has it
   * @returns how many bytes there are
   * @throws {ConfigError} when another process writes the file
   * @throws {InputError} when the place does not take it; a regular file is then as it was
   */
  async write(parts: Iterable<Uint8Array>, held?: WriteLock): Promise<number> {
    const { path } = this;
    if (path === null) return this.#pour(parts);
    const lock = held ?? WriteLock.take(path);
    try {
      this.requireUnchanged();
      return await replaceFile(path, parts);
    } finally {
      if (lock !== held) lock.release();
    }
  }

  /**
   * Where long work may keep files beside its end: beside a regular file, else in a folder of its own, which goes with
   * the process if nothing is left in it.
   * @param name - of the file that would be there
   */
  workplace(name: string): string {
    if (this.path !== null) return this.path;
    const folder = mkdtempSync(join(tmpdir(), 'ternseed-'));
    process.on('exit', () => {
      try {
        rmdirSync(folder);
      } catch {
        // An unfinished run is left in it, which has been said.
      }
    });
    return join(folder, name);
  }

  #checkPlace(): void {
    const { name } = this;
    const place = this.#place;
    const { stats } = place;
    if (place.kind === 'descriptor' && isatty(place.descriptor)) {
      throw new ConfigError(`"--out" expected a file or a pipe, got "${printable(name)}", a terminal`);
    }
    if (place.kind === 'file') requireNoWriter(place.path);
    if (place.kind !== 'descriptor' && stats && (stats.isFile() || stats.isBlockDevice()) && !this.#force) {
      throw this.#taken();
    }
    requireWritable(name, place);
    if (place.kind !== 'file') return;
    if (/\.(lock|partial)$/.test(place.path)) {
      throw new ConfigError(
        `"--out" expected a name that does not end as files beside artifacts do, got "${printable(name)}"`,
      );
    }
    try {
      accessSync(dirname(place.path), constants.W_OK);
    } catch (cause) {
      throw this.#closed(cause);
    }
  }

  /** A file that may be written in a folder that may not cannot be replaced whole; only the user may want less. */
  #closed(cause: unknown): InputError {
    const { path } = this;
    const { message } = unusable(this.name, 'to be writable', cause);
    if (path === null || this.#place.stats === null) return new InputError(message, { cause });
    return new InputError(
      `${message}: what is there can only be replaced by a file beside it; "--out -" writes to standard output, ` +
        'which may be sent there',
      { cause },
    );
  }

  #taken(): ConfigError {
    return new ConfigError(
      `"${printable(this.name)}" expected to be free, got a file that is there: choose another name, or replace it with "--force"`,
    );
  }

  /** Bytes into something that is no regular file, or is open already. */
  async #pour(parts: Iterable<Uint8Array>): Promise<number> {
    const place = this.#place;
    let length = 0;
    try {
      const file =
        place.kind === 'descriptor' ? place.descriptor : await openOther(place as Place & { path: string });
      try {
        for (const bytes of parts) {
          await pour(file, bytes);
          length += bytes.length;
        }
      } finally {
        if (place.kind !== 'descriptor') closeSync(file);
      }
    } catch (cause) {
      throw cause instanceof TernseedError ? cause : unusable(this.name, 'to take all bytes', cause);
    }
    return length;
  }
}

/**
 * Checks that a place can be written, as far as that is known before it is.
 * @param name - as the user wrote it
 * @throws {InputError} when it cannot
 */
export function requireWritable(name: string, place: Place): void {
  const refuse = (got: string) => new InputError(`"${printable(name)}" expected to be writable, got ${got}`);
  if (place.stats?.isDirectory()) throw refuse('a folder');
  if (place.kind === 'descriptor') return;
  if (place.stats?.isSocket()) throw refuse('a socket');
  try {
    const folder = dirname(place.path);
    if (!statSync(folder).isDirectory()) throw refuse('a file where a folder should be');
    accessSync(place.stats ? place.path : folder, constants.W_OK);
  } catch (cause) {
    throw cause instanceof InputError ? cause : unusable(name, 'to be writable', cause);
  }
}

/** Opens a pipe, as soon as somebody reads it, or a device. Waiting here, not in the system, leaves signals their way. */
export async function openOther({ path, stats }: Place & { path: string }): Promise<number> {
  const { O_WRONLY, O_NONBLOCK = 0, O_NOCTTY = 0, O_TRUNC } = constants;
  const flags = O_WRONLY | O_NOCTTY | (stats?.isFIFO() ? O_NONBLOCK : 0) | (stats?.isFile() ? O_TRUNC : 0);
  for (;;) {
    try {
      return openSync(path, flags);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENXIO' || !stats?.isFIFO()) throw cause;
    }
    await sleep(POLL_MS);
  }
}

/** Writes all of the bytes to something that may not take them yet. */
async function pour(file: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    try {
      done += writeSync(file, bytes, done);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN') throw cause;
      await sleep(POLL_MS);
    }
  }
}
