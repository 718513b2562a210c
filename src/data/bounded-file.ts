/** Whole files of a bounded size; a pipe has no size before it ends, and a device may have no end. Only for Node. */

import { open } from 'node:fs/promises';
import { InputError, printable } from '../errors.js';

/** Read at once; between two of them others have their turn. */
const PIECE_BYTES = 2 ** 22;

/**
 * Reads a file to its end.
 * @param most - bytes that it may have
 * @param came - told of each piece, and how many bytes the file says that it has: none of a pipe
 * @returns all of it
 * @throws {InputError} when it is longer, or a device; what the system has to say is thrown as it is
 */
export async function readBounded(
  path: string,
  most: number,
  came?: (piece: Uint8Array, bytes: number) => void,
): Promise<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const about = await file.stat();
    if (about.isCharacterDevice() || about.isBlockDevice()) {
      throw new InputError(`"${printable(path)}" expected a file or a pipe, got a device`);
    }
    const { size } = about; // 0 of what has none
    const tooLong = (got: string) =>
      new InputError(`"${printable(path)}" expected at most ${most} bytes, got ${got}`);
    if (size > most) throw tooLong(String(size));
    let bytes = new Uint8Array(size + 1); // one more, to see the end
    let length = 0;
    for (;;) {
      if (length === bytes.length) {
        const grown = new Uint8Array(Math.min(most + 1, Math.max(2 * length, PIECE_BYTES)));
        grown.set(bytes);
        bytes = grown;
      }
      const wanted = Math.min(PIECE_BYTES, bytes.length - length);
      const { bytesRead } = await file.read(bytes, length, wanted, null);
      if (bytesRead === 0) return bytes.subarray(0, length);
      length += bytesRead;
      if (length > most) throw tooLong('more');
      came?.(bytes.subarray(length - bytesRead, length), size);
    }
  } finally {
    await file.close();
  }
}
