/**
 * Reading whole files, and writing them so that they are there entirely or not at all: beside
 * the target, then renamed over it.
 */

import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { InputError, printable } from '../src/errors.js';

/**
 * Reads a file.
 * @throws {InputError} when it cannot be read
 */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    const { buffer, byteOffset, length } = await readFile(path);
    return new Uint8Array(buffer, byteOffset, length);
  } catch (cause) {
    throw unusable(path, 'to be readable', cause);
  }
}

/**
 * Writes a file whole.
 * @throws {InputError} when the folder or the disk does not take it; the target is as it was
 */
export function writeWhole(path: string, bytes: Uint8Array): void {
  const beside = `${path}.tmp`; // one name: what a killed run left is written over
  let opened = false;
  try {
    const file = openSync(beside, 'w');
    opened = true;
    try {
      writeAll(file, bytes);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(beside, path);
  } catch (cause) {
    if (opened) rmSync(beside, { force: true });
    throw unusable(path, 'to be writable', cause);
  }
}

/** Writes all of the bytes, however many the system takes at a time. */
export function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
}

/** A system's error in our wording. */
export function unusable(path: string, what: string, cause: unknown): InputError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const reasons: Record<string, string> = {
    ENOENT: 'no such file or folder',
    ENOTDIR: 'a file where a folder should be',
    EACCES: 'permission denied',
    EROFS: 'a read-only file system',
    EISDIR: 'a folder',
    ENOSPC: 'no space left on the disk',
  };
  return new InputError(`"${printable(path)}" expected ${what}, got ${reasons[code ?? ''] ?? message}`, {
    cause,
  });
}
