/**
 * A strict reader of IDX files of unsigned bytes, the format of MNIST, and of the gzip around them.
 * Format: two zero bytes, a type, the number of dimensions, each dimension as a big-endian u32, the data
 * (http://yann.lecun.com/exdb/mnist/, "THE IDX FILE FORMAT"). Runs in browsers; files are dataset.ts's.
 */

import { gunzipSync } from 'fflate';
import { crc32 } from '../artifact/crc32.js';
import { InputError, printable } from '../errors.js';

/**
 * The most bytes that a data file may unpack to: twenty times MNIST, and still one allocation that any
 * machine and browser grants.
 */
export const UNPACKED_LIMIT_BYTES = 2 ** 30;

const UNSIGNED_BYTE = 0x08;
const MAX_DIMENSIONS = 4;

// Deflate spends at least one bit on a length and one on a distance for 258 bytes (RFC 1951).
const MAX_DEFLATE_RATIO = 1032;
const GZIP_HEADER_BYTES = 10;
const GZIP_TRAILER_BYTES = 8;

/** An IDX file's content. */
export interface IdxArray {
  /** One to four dimensions, each at least 1. */
  shape: number[];
  /** Row-major, as many bytes as the product of the shape; a view of the bytes that were parsed. */
  data: Uint8Array;
}

/**
 * Reads an IDX file of unsigned bytes.
 * @param bytes - the whole file, not compressed
 * @param name - the file's name, for errors
 * @throws {InputError} when the header is of another type or the sizes do not fit the file exactly
 * @example const { shape, data } = parseIdx(bytes, 'train-images-idx3-ubyte'); // shape [60000, 28, 28]
 */
export function parseIdx(bytes: Uint8Array, name: string): IdxArray {
  const magic = hex(bytes.subarray(0, 4));
  const dimensions = bytes[3] ?? 0;
  const known = bytes[0] === 0 && bytes[1] === 0 && bytes[2] === UNSIGNED_BYTE;
  if (!known || dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw fault(name, 0, `an IDX file of unsigned bytes, 00 00 08 01…0${MAX_DIMENSIONS}`, magic);
  }
  const start = 4 + 4 * dimensions;
  if (bytes.length < start) {
    throw fault(name, bytes.length, `a header of ${start} bytes`, `${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape: number[] = [];
  let size = 1; // may pass 2^53 and lose bits, but then it is far above any file's length
  for (let offset = 4; offset < start; offset += 4) {
    const dimension = view.getUint32(offset);
    if (dimension === 0) throw fault(name, offset, 'a dimension of 1 or more', '0');
    shape.push(dimension);
    size *= dimension;
  }
  const data = bytes.subarray(start);
  if (data.length !== size) {
    throw fault(name, start, `${shape.join('×')} = ${size} bytes of data`, `${data.length}`);
  }
  return { shape, data };
}

/**
 * Unpacks a gzip file of one member, or returns bytes that do not begin as gzip unchanged.
 * Nothing is allocated before the size that the file states is found within the limit, and nothing beyond it.
 * @param bytes - the whole file
 * @param name - the file's name, for errors
 * @param limitBytes - the most that may come out
 * @throws {InputError} when the file is damaged, cut short or unpacks to more than the limit
 * @example const raw = gunzipBounded(bytes, 'train-images-idx3-ubyte.gz', UNPACKED_LIMIT_BYTES);
 */
export function gunzipBounded(bytes: Uint8Array, name: string, limitBytes: number): Uint8Array {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const least = GZIP_HEADER_BYTES + GZIP_TRAILER_BYTES;
  if (bytes.length < least) {
    throw fault(name, bytes.length, `a gzip file of at least ${least} bytes`, `${bytes.length}`);
  }
  // RFC 1952: 8 is deflate, the upper three flags are reserved
  if (bytes[2] !== 8) throw fault(name, 2, 'gzip method 8', `${bytes[2]}`);
  if (bytes[3] >= 0x20) throw fault(name, 3, 'gzip flags below 0x20', `0x${hex(bytes.subarray(3, 4))}`);
  const trailer = bytes.length - GZIP_TRAILER_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset + trailer, GZIP_TRAILER_BYTES);
  const checksum = view.getUint32(0, true);
  const size = view.getUint32(4, true);
  const most = Math.min(limitBytes, bytes.length * MAX_DEFLATE_RATIO);
  if (size > most) throw fault(name, trailer + 4, `at most ${most} unpacked bytes`, `${size}`);

  const unpacked = inflate(bytes, name, size);
  if (unpacked.length !== size) {
    const got = unpacked.length > size ? 'more' : `${unpacked.length}`;
    throw fault(name, trailer + 4, `${size} unpacked bytes in one gzip member`, got);
  }
  const actual = crc32(unpacked);
  if (actual !== checksum) {
    throw fault(name, trailer, `unpacked bytes of CRC-32 ${word(checksum)}`, word(actual));
  }
  return unpacked;
}

// One byte more than is stated, to see whether there is more; fflate never grows a buffer given to it.
function inflate(bytes: Uint8Array, name: string, size: number): Uint8Array {
  try {
    return gunzipSync(bytes, { out: new Uint8Array(size + 1) });
  } catch (cause) {
    const message = printable(cause instanceof Error ? cause.message : String(cause));
    throw new InputError(`"${printable(name)}" expected an undamaged gzip file, got: ${message}`, { cause });
  }
}

function fault(name: string, offset: number, what: string, got: string): InputError {
  return new InputError(`"${printable(name)}" expected ${what}, got ${got}, at byte ${offset}`);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ') || 'no bytes';
}

function word(value: number): string {
  return value.toString(16).padStart(8, '0');
}
