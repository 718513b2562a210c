/** Unfinished runs: where they are kept, and whether one may be continued. */

import { existsSync } from 'node:fs';
import { headerOfUnfinished } from '../src/artifact/checkpoint.js';
import { encodeHeader, type Header } from '../src/artifact/header.js';
import { toHex } from '../src/artifact/weights-hash.js';
import type { Dataset } from '../src/data/dataset.js';
import { ConfigError, InputError, printable } from '../src/errors.js';
import type { Settings } from '../src/train/setting.js';
import { openReadable } from './files.js';
import { placeOf, STDOUT } from './place.js';

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
