/**
 * Files that are there entirely or not at all: written beside the target, synced, renamed over it, and the folder
 * synced, so that the name is on the disk when the call returns.
 *
 * `write-file-atomic` does nearly this; but it takes the file as one buffer, replaces a link that leads nowhere yet,
 * follows one in place of its own temporary file, and does not sync the folder.
 */

import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { TernseedError } from '../src/errors.js';
import { unusable } from './system-error.js';

/** Milliseconds that a file is written without a look at signals. */
const BREATH = 100;
/** Milliseconds between two looks at a pipe that is full. */
const FULL_POLL_MS = 2;

/** Temporary files that are being written: they go when the process ends. */
const unfinished = new Set<string>();
process.on('exit', () => {
  for (const path of unfinished) rmSync(path, { force: true });
});

/** The temporary file of a target: one name, so that what a killed process left is written over. */
export function temporaryPath(path: string): string {
  return `${path}.tmp`;
}

/**
 * Replaces a file, or makes it. Mode and, where the system lets us, owner stay; whoever has the old file open or
 * by another name keeps the old bytes.
 * @param path - of a regular file or of nothing yet; its lock is held
 * @param parts - may be made as they are written, so that the whole need not be in memory
 * @returns how many bytes it has
 * @throws {InputError} when the folder or the disk does not take it; the target is as it was
 */
export async function replaceFile(path: string, parts: Iterable<Uint8Array>): Promise<number> {
  const beside = temporaryPath(path);
  try {
    const old = statSync(path, { throwIfNoEntry: false });
    rmSync(beside, { force: true });
    const file = openSync(beside, 'wx', old ? 0o600 : 0o666); // never through a link that lies there
    unfinished.add(beside);
    let length = 0;
    try {
      let breath = performance.now();
      for (const bytes of parts) {
        writeAll(file, bytes);
        length += bytes.length;
        if (performance.now() - breath < BREATH) continue;
        await setImmediate(); // signals are handled here
        breath = performance.now();
      }
      if (old) keepOwnerAndMode(file, old);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(beside, path);
    unfinished.delete(beside);
    syncFolder(dirname(path));
    return length;
  } catch (cause) {
    if (unfinished.delete(beside)) rmSync(beside, { force: true });
    throw cause instanceof TernseedError ? cause : unusable(path, 'to be writable', cause);
  }
}

/** Writes all of the bytes, however many the system takes at a time, or how long it takes none. */
export function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    try {
      done += writeSync(file, bytes, done);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN') throw cause;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_POLL_MS);
    }
  }
}

/** The owner first: a change of it takes bits of the mode away. */
function keepOwnerAndMode(file: number, { uid, gid, mode }: Stats): void {
  const mine = fstatSync(file);
  // Who may not give a file away may still be in its group.
  for (const owner of [uid, mine.uid]) {
    if (mine.uid === owner && mine.gid === gid) break;
    try {
      fchownSync(file, owner, gid);
      break;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EPERM') throw cause;
    }
  }
  fchmodSync(file, mode & 0o7777);
}

/** Makes sure that the names of a folder are on the disk, where a system has a way to. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  let folder: number | null = null;
  try {
    folder = openSync(path, 'r');
    fsyncSync(folder);
  } catch (cause) {
    // Folders that may be written and not read, and file systems that sync by themselves.
    if (!['EACCES', 'EINVAL', 'ENOTSUP'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
  } finally {
    if (folder !== null) closeSync(folder);
  }
}
