/**
 * Text as a byte-level model reads it: any file, its bytes the tokens (vocabulary 256). The first
 * nine tenths are for training, the rest for testing. Only for Node; a browser has the bytes already
 * and splits them with `splitText`.
 */

import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { InputError, printable } from '../errors.js';

/** A text, split. */
export interface TextData {
  /** The file's last name. */
  readonly name: string;
  readonly train: Uint8Array;
  readonly test: Uint8Array;
  /** SHA-256 in hex over the whole file. */
  readonly hash: string;
}

/** Both parts must fit this machine's memory several times over. */
export const TEXT_BYTES_MAX = 2 ** 30;

/**
 * Loads a file.
 * @throws {InputError} when it cannot be read, is empty, or has more than {@link TEXT_BYTES_MAX} bytes
 * @example const { train, test } = await loadText('tinyshakespeare.txt');
 */
export async function loadText(path: string): Promise<TextData> {
  try {
    const about = await stat(path);
    if (!about.isFile() || about.size > TEXT_BYTES_MAX || about.size < 2) {
      const got = about.isFile() ? `${about.size} bytes` : 'something else';
      throw new InputError(
        `"${printable(path)}" expected a file of 2 to ${TEXT_BYTES_MAX} bytes, got ${got}`,
      );
    }
    return await splitText(basename(path), new Uint8Array(await readFile(path)));
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new InputError(`"${printable(path)}" expected to be readable, got ${code ?? message}`, { cause });
  }
}

/**
 * Splits a text: ⌊0.9 · length⌋ bytes for training, the rest for testing.
 * @param bytes - kept by reference
 */
export async function splitText(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<TextData> {
  const end = Math.floor((bytes.length * 9) / 10);
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', bytes));
  const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { name, train: bytes.subarray(0, end), test: bytes.subarray(end), hash };
}
