/**
 * Reading whole files, and writing them so that they are there entirely or not at all: beside
 * the target, then renamed over it.
 */

import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isUrl, urlSource } from '../src/artifact/url-source.js';
import { InputError, printable, TernseedError } from '../src/errors.js';

/**
 * Reads an artifact or a model, by its path or its URL.
 * @throws {InputError} when it cannot be read
 */
export async function readPathOrUrl(name: string): Promise<Uint8Array> {
  if (!isUrl(name)) return readBytes(name);
  const source = await urlSource(name);
  return source.read(0, source.size);
}

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
 * @returns how many bytes it has
 * @throws {InputError} when the folder or the disk does not take it; the target is as it was
 */
export function writeWhole(path: string, bytes: Uint8Array): number {
  return writeParts(path, [bytes]);
}

/**
 * Writes a file whole from parts that are made as they are written, so that it need not be in memory.
 * @returns how many bytes it has
 * @throws {InputError} when the folder or the disk does not take it; the target is as it was
 */
export function writeParts(path: string, parts: Iterable<Uint8Array>): number {
  const beside = `${path}.tmp`; // one name: what a killed run left is written over
  let opened = false;
  let length = 0;
  try {
    const file = openSync(beside, 'w');
    opened = true;
    try {
      for (const bytes of parts) {
        writeAll(file, bytes);
        length += bytes.length;
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(beside, path);
    return length;
  } catch (cause) {
    if (opened) rmSync(beside, { force: true });
    throw cause instanceof TernseedError ? cause : unusable(path, 'to be writable', cause);
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
