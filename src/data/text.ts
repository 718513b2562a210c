/** A text of bytes, and its two contiguous parts: the first nine tenths to train on, the rest to be judged by. Only for Node. */

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { InputError, printable } from '../errors.js';

export interface TextData {
  /** The file's name without its folder. */
  readonly name: string;
  /** ⌊0.9·n⌋ bytes. */
  readonly train: Uint8Array;
  readonly validation: Uint8Array;
  /** SHA-256 of the whole file in hex. */
  readonly hash: string;
}

/** Fewer bytes have no part that says anything. */
const TEXT_BYTES_MIN = 100;
const TEXT_BYTES_MAX = 2 ** 30;

/**
 * Loads a file as bytes, whatever they are.
 * @throws {InputError} when it cannot be read, or is shorter than 100 bytes or longer than 1 GiB
 * @example const { train, validation } = await loadText('tinyshakespeare.txt');
 */
export async function loadText(path: string): Promise<TextData> {
  const read = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new InputError(`"${printable(path)}" expected to be readable, got ${cause.code ?? cause.message}`, {
      cause,
    });
  });
  const bytes = new Uint8Array(read.buffer, read.byteOffset, read.length);
  if (bytes.length < TEXT_BYTES_MIN || bytes.length > TEXT_BYTES_MAX) {
    throw new InputError(
      `"${printable(path)}" expected ${TEXT_BYTES_MIN} to ${TEXT_BYTES_MAX} bytes, got ${bytes.length}`,
    );
  }
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', bytes));
  const middle = Math.floor(0.9 * bytes.length);
  return {
    name: basename(path),
    train: bytes.subarray(0, middle),
    validation: bytes.subarray(middle),
    hash: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join(''),
  };
}
