/**
 * A strict reader of IDX files, the format of MNIST, and of the gzip around them.
 * Format: two zero bytes, a type, the number of dimensions, each dimension as a big-endian u32, the data
 * (http://yann.lecun.com/exdb/mnist/, "THE IDX FILE FORMAT"). Runs in browsers; files are dataset.ts's.
 */

import { Gunzip, gunzipSync } from 'fflate';
import { crc32 } from '../artifact/crc32.js';
import { InputError, printable } from '../errors.js';

/**
 * The most bytes that a data file may unpack to: twenty times MNIST, and still one allocation that any
 * machine and browser grants.
 */
export const UNPACKED_LIMIT_BYTES = 2 ** 30;

const MAX_DIMENSIONS = 4;

/** The types of values by their number in the file, of so many bytes each, big-endian. */
const TYPES = {
  0x08: { bytes: 1, make: (size: number) => new Uint8Array(size), read: 'getUint8' },
  0x09: { bytes: 1, make: (size: number) => new Int8Array(size), read: 'getInt8' },
  0x0b: { bytes: 2, make: (size: number) => new Int16Array(size), read: 'getInt16' },
  0x0c: { bytes: 4, make: (size: number) => new Int32Array(size), read: 'getInt32' },
  0x0d: { bytes: 4, make: (size: number) => new Float32Array(size), read: 'getFloat32' },
  0x0e: { bytes: 8, make: (size: number) => new Float64Array(size), read: 'getFloat64' },
} as const;

/** The values of an IDX file: u8, i8, i16, i32, f32 or f64. */
export type IdxValues = Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;

// A member of 18 bytes is empty, and each is a call within the call before: so many bytes hold few of them.
const PUSH_BYTES = 16_384;

// Deflate spends at least one bit on a length and one on a distance for 258 bytes (RFC 1951).
const MAX_DEFLATE_RATIO = 1032;
const GZIP_HEADER_BYTES = 10;
const GZIP_TRAILER_BYTES = 8;

/** An IDX file's content. */
export interface IdxArray {
  /** One to four dimensions, each at least 1. */
  shape: number[];
  /** Row-major, as many as the product of the shape; unsigned bytes are a view of those that were parsed. */
  data: IdxValues;
}

/**
 * Reads an IDX file.
 * @param bytes - the whole file, not compressed
 * @param name - the file's name, for errors
 * @throws {InputError} when it is none, when the sizes do not fit the file exactly, or a number is not finite
 * @example const { shape, data } = parseIdx(bytes, 'train-images-idx3-ubyte'); // shape [60000, 28, 28]
 */
export function parseIdx(bytes: Uint8Array, name: string): IdxArray {
  const dimensions = bytes[3] ?? 0;
  const type = bytes[0] === 0 && bytes[1] === 0 ? TYPES[bytes[2] as keyof typeof TYPES] : undefined;
  if (!type || dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw fault(name, 0, `an IDX file, 00 00 08…0e 01…0${MAX_DIMENSIONS}`, beginningOf(bytes));
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
  const body = bytes.subarray(start);
  if (body.length !== size * type.bytes) {
    const wanted = `${shape.join('×')}${type.bytes > 1 ? `×${type.bytes}` : ''} = ${size * type.bytes} bytes of data`;
    throw fault(name, start, wanted, `${body.length}`);
  }
  if (type.read === 'getUint8') return { shape, data: body };
  const data = type.make(size);
  for (let i = 0; i < size; i++) {
    const value = view[type.read](start + i * type.bytes);
    if (!Number.isFinite(value)) throw fault(name, start + i * type.bytes, 'a finite number', `${value}`);
    data[i] = value;
  }
  return { shape, data };
}

/** What a file begins with, for people: often it is a page that says why the file is not there. */
function beginningOf(bytes: Uint8Array): string {
  const start = String.fromCharCode(...bytes.subarray(0, 40));
  if (start.startsWith('version https://git-lfs')) return 'a pointer of Git LFS: run `git lfs pull`';
  if (bytes.length >= 4 && /^[\t\n\r -~]+$/.test(start)) return `text, "${printable(start)}"`;
  return hex(bytes.subarray(0, 4));
}

/**
 * Unpacks a gzip file of one member or several, or returns bytes that do not begin as gzip unchanged.
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
  try {
    return unpackGzip(bytes, name, limitBytes);
  } catch (error) {
    // Zeros after the last member are padding; what that states of its content may end with some, too.
    const padding = bytes.length - 1 - bytes.findLastIndex((byte) => byte !== 0);
    for (let kept = 0; kept < Math.min(GZIP_TRAILER_BYTES, padding); kept++) {
      try {
        return unpackGzip(bytes.subarray(0, bytes.length - padding + kept), name, limitBytes);
      } catch (again) {
        if (!(again instanceof InputError)) throw again;
      }
    }
    throw error;
  }
}

/** Unpacks a gzip file that ends with its last member. */
function unpackGzip(bytes: Uint8Array, name: string, limitBytes: number): Uint8Array {
  // RFC 1952: 8 is deflate, the upper three flags are reserved
  if (bytes[2] !== 8) throw fault(name, 2, 'gzip method 8', `${bytes[2]}`);
  if (bytes[3] >= 0x20) throw fault(name, 3, 'gzip flags below 0x20', `0x${hex(bytes.subarray(3, 4))}`);
  const trailer = bytes.length - GZIP_TRAILER_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset + trailer, GZIP_TRAILER_BYTES);
  const checksum = view.getUint32(0, true);
  const size = view.getUint32(4, true);
  const most = Math.min(limitBytes, bytes.length * MAX_DEFLATE_RATIO);
  if (size > most) throw fault(name, trailer + 4, `at most ${most} unpacked bytes`, `${size}`, CAUSES);

  try {
    const unpacked = inflate(bytes, name, size);
    checkMember([unpacked], name, trailer, { checksum, size });
    return unpacked;
  } catch (error) {
    // The trailer is that of the last member: the file may have more than one.
    const several = error instanceof InputError ? gunzipMembers(bytes, name, most) : null;
    if (several) return several;
    throw error;
  }
}

/** What the end of a member states of its content. */
interface Trailer {
  readonly checksum: number;
  /** Modulo 2^32. */
  readonly size: number;
}

/** What is wrong with most files that are no whole gzip file. */
const CAUSES = ': it is damaged, cut short, or followed by something else';

/** Checks the content of a member, in pieces. */
function checkMember(
  pieces: readonly Uint8Array[],
  name: string,
  offset: number,
  { checksum, size }: Trailer,
): void {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (length !== size) {
    const got = length > size ? 'more' : `${length}`;
    throw fault(name, offset + 4, `${size} unpacked bytes in one gzip member`, got, CAUSES);
  }
  const actual = pieces.reduce((sum, piece) => crc32(piece, sum), 0);
  if (actual !== checksum) {
    throw fault(name, offset, `unpacked bytes of CRC-32 ${word(checksum)}`, word(actual), CAUSES);
  }
}

/**
 * Unpacks the members of a gzip file one after another, each with its own check.
 * @returns null where there is but one
 */
function gunzipMembers(bytes: Uint8Array, name: string, most: number): Uint8Array | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const all: Uint8Array[] = [];
  let member: Uint8Array[] = [];
  let total = 0;
  let members = 0;
  const ended = (end: number) => {
    const trailer = end - GZIP_TRAILER_BYTES;
    const said = { checksum: view.getUint32(trailer, true), size: view.getUint32(trailer + 4, true) };
    checkMember(member, name, trailer, said);
    for (const piece of member) all.push(piece);
    member = [];
    members += 1;
  };
  const unpacker = new Gunzip((piece) => {
    total += piece.length;
    if (total > most) throw fault(name, 0, `at most ${most} unpacked bytes in all members`, 'more');
    if (piece.length > 0) member.push(piece);
  });
  unpacker.onmember = ended;
  try {
    for (let at = 0; at < bytes.length; at += PUSH_BYTES) {
      const end = Math.min(bytes.length, at + PUSH_BYTES);
      unpacker.push(bytes.subarray(at, end), end === bytes.length);
    }
    if (members === 0) return null;
    ended(bytes.length);
  } catch (cause) {
    if (members === 0) return null;
    throw cause instanceof InputError ? cause : damaged(name, cause);
  }
  const whole = new Uint8Array(total);
  let at = 0;
  for (const piece of all) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

// One byte more than is stated, to see whether there is more; fflate never grows a buffer given to it.
function inflate(bytes: Uint8Array, name: string, size: number): Uint8Array {
  try {
    return gunzipSync(bytes, { out: new Uint8Array(size + 1) });
  } catch (cause) {
    throw damaged(name, cause);
  }
}

function damaged(name: string, cause: unknown): InputError {
  const message = printable(cause instanceof Error ? cause.message : String(cause));
  return new InputError(`"${printable(name)}" expected an undamaged gzip file, got: ${message}`, { cause });
}

function fault(name: string, offset: number, what: string, got: string, remedy = ''): InputError {
  return new InputError(`"${printable(name)}" expected ${what}, got ${got}, at byte ${offset}${remedy}`);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ') || 'no bytes';
}

function word(value: number): string {
  return value.toString(16).padStart(8, '0');
}
