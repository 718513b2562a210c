/**
 * Reading whole files, and writing them so that they are there entirely or not at all: beside
 * the target, then renamed over it.
 */

import { closeSync, fstatSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { WHOLE_BYTES_MAX } from '../src/artifact/byte-source.js';
import type { Readable } from '../src/artifact/unfinished-log.js';
import { isUrl, urlSource } from '../src/artifact/url-source.js';
import { readBounded } from '../src/data/bounded-file.js';
import { InputError, printable, TernseedError } from '../src/errors.js';
import { shown } from './output.js';

/** What a run of one's own leaves may be as large as one array. */
export const RUN_BYTES_MAX = 2 ** 32 - 1;

/**
 * Reads an artifact or a model, by its path or its URL.
 * @throws {InputError} when it cannot be read, or has more than 2³⁰ bytes
 */
export async function readPathOrUrl(name: string): Promise<Uint8Array> {
  if (!isUrl(name)) return readBytes(name);
  return shown(`fetching ${printable(name)}`, 'bytes', async (watch) => {
    const source = await urlSource(name, watch);
    return source.read(0, source.size);
  });
}

/**
 * Reads a file.
 * @param most - bytes that it may have
 * @throws {InputError} when it cannot be read, or is longer
 */
export async function readBytes(path: string, most = WHOLE_BYTES_MAX): Promise<Uint8Array> {
  try {
    return await shown(`reading ${printable(path)}`, 'bytes', ({ onProgress }) => {
      let done = 0;
      return readBounded(path, most, (piece, size) => {
        done += piece.length;
        onProgress?.(done, Math.max(done, size));
      });
    });
  } catch (cause) {
    throw cause instanceof InputError ? cause : unusable(path, 'to be readable', cause);
  }
}

/**
 * Opens a file that may be too large for memory; the caller closes it.
 * @throws {InputError} when it cannot be read
 */
export function openReadable(path: string): Readable & { close(): void } {
  const checked = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (cause) {
      throw unusable(path, 'to be readable', cause);
    }
  };
  const file = checked(() => openSync(path, 'r'));
  return {
    size: checked(() => fstatSync(file).size),
    read: (offset, length) =>
      checked(() => {
        const bytes = new Uint8Array(length);
        let done = 0;
        for (let read = -1; read !== 0 && done < length; done += read) {
          read = readSync(file, bytes, done, length - done, offset + done);
        }
        return bytes.subarray(0, done);
      }),
    close: () => closeSync(file),
  };
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
