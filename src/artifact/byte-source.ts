/**
 * Where the bytes of an artifact come from, when not all of them are at hand: something of a known size
 * that is read in ranges. Memory and files here; paths and URLs have files of their own.
 */

import { InputError, printable } from '../errors.js';

/** A file may not be larger, however it is read: one allocation that any machine grants. */
export const WHOLE_BYTES_MAX = 2 ** 30;

/** Bytes that are read in ranges. */
export interface ByteSource {
  /** For messages. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /**
   * Reads a range, all of it.
   * @param offset - with `length`, within `size`
   * @throws {InputError} when the bytes cannot be read, or are fewer
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Frees what is open. */
  close(): Promise<void>;
}

/** A source of bytes in memory; kept by reference. */
export function bytesSource(bytes: Uint8Array, name = 'bytes'): ByteSource {
  return {
    name,
    size: bytes.length,
    read: async (offset, length) => {
      checkRange(bytes.length, offset, length);
      return bytes.subarray(offset, offset + length);
    },
    close: async () => {},
  };
}

/**
 * A source of a Blob, such as the File that a user dropped on a page.
 * @example const artifact = await openArtifactFrom(blobSource(input.files[0]));
 */
export function blobSource(blob: Blob, name = 'name' in blob ? String(blob.name) : 'blob'): ByteSource {
  return {
    name,
    size: blob.size,
    read: async (offset, length) => {
      checkRange(blob.size, offset, length);
      let bytes: Uint8Array;
      try {
        bytes = new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new InputError(
          `"${printable(name)}" expected to be readable, got ${printable((cause as Error).message)}`,
          { cause },
        );
      }
      if (bytes.length !== length) throw shortRead(name, offset, length, bytes.length);
      return bytes;
    },
    close: async () => {},
  };
}

/** A range outside of a source is the caller's fault, never the file's. */
export function checkRange(size: number, offset: number, length: number): void {
  const fits = Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length >= 0;
  if (!fits || offset + length > size) {
    throw new RangeError(`expected a range within ${size} bytes, got ${length} at ${offset}`);
  }
}

/** Fewer bytes than the size promised. */
export function shortRead(name: string, offset: number, length: number, got: number): InputError {
  return new InputError(
    `"${printable(name)}" expected ${length} bytes at byte ${offset}, got ${got}: was it cut while it was read?`,
  );
}
