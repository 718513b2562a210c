/**
 * What a name on the command line leads to: a file, a descriptor that this process was given (`-`, `/dev/stdout`,
 * `<(…)`), or something else, such as a pipe or a device. Symbolic links are followed here and nowhere else, so that
 * whoever replaces a file replaces what a link leads to and never the link.
 */

import { type BigIntStats, fstatSync, lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute } from 'node:path';
import { isUrl } from '../src/artifact/url-request.js';

export const STDIN = 0;
export const STDOUT = 1;

export type Place =
  | { readonly kind: 'descriptor'; readonly descriptor: number; readonly stats: BigIntStats }
  /** `path` is no link; without stats nothing is there yet. */
  | { readonly kind: 'file'; readonly path: string; readonly stats: BigIntStats | null }
  | { readonly kind: 'other'; readonly path: string; readonly stats: BigIntStats };

/** As many as Linux follows. */
const LINKS_MAX = 40;
/** The folders of open descriptors, of this process and of others. */
const DESCRIPTORS = /^(?:\/proc\/(\d+)(?:\/task\/\d+)?|\/dev)\/fd$/;

/**
 * Finds what a name leads to.
 * @param standard - the descriptor that `-` stands for
 * @throws a system's error (`code`), where a folder on the way is missing or closed, or links go round
 */
export function placeOf(name: string, standard: typeof STDIN | typeof STDOUT): Place {
  if (name === '-') return descriptorPlace(standard);
  let path = name;
  for (let links = 0; links <= LINKS_MAX; links++) {
    const found = DESCRIPTORS.exec(realpathSync.native(dirname(path)));
    if (found && /^\d+$/.test(basename(path)) && (found[1] ?? `${process.pid}`) === `${process.pid}`) {
      return descriptorPlace(Number(basename(path)));
    }
    const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
    if (!stats?.isSymbolicLink()) {
      if (stats === null && /[\\/]$/.test(path)) throw systemError('EISDIR');
      return stats === null || stats.isFile()
        ? { kind: 'file', path, stats }
        : { kind: 'other', path, stats };
    }
    // What another process has open may have no name any more: it is written to as it is.
    if (found) return { kind: 'other', path, stats: statSync(path, { bigint: true }) };
    const target = readlinkSync(path);
    path = isAbsolute(target) ? target : `${dirname(path)}/${target}`;
  }
  throw systemError('ELOOP');
}

/** The same for the same file, whatever it is called; null where there is none. */
export function identityOf(name: string, standard: typeof STDIN | typeof STDOUT = STDIN): string | null {
  if (isUrl(name)) return name;
  try {
    const { stats } = placeOf(name, standard);
    return stats && `${stats.dev}:${stats.ino}`;
  } catch {
    return null; // whoever opens it says why it cannot be opened
  }
}

function descriptorPlace(descriptor: number): Place {
  return { kind: 'descriptor', descriptor, stats: fstatSync(descriptor, { bigint: true }) };
}

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}
