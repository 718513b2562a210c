/**
 * The safetensors container (huggingface/safetensors, "Format"): a strict reader of bytes that may lie,
 * and a writer. What its tensors mean is export.ts's and import.ts's.
 *
 *   file   = length:u64 header data          little-endian; header is `length` bytes of UTF-8 JSON
 *   header = { "__metadata__": {text: text}, name: { dtype, shape, data_offsets: [begin, end] } … }
 *
 * Offsets count from the start of the data. Tensors do not overlap and leave no byte between them, as
 * the format has it.
 */

import { InputError, printable } from '../errors.js';
import { nameOfFormat } from './other-formats.js';

/** Bytes of an element. Other types of the format (complex, sub-byte) are refused. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const;
export type Dtype = keyof typeof DTYPE_BYTES;

/** Bytes before the header: its length. */
const LENGTH_BYTES = 8;
/** Where the header begins. */
export const HEADER_AT = LENGTH_BYTES;
/**
 * The header may not be longer: room for a log of the training among the metadata, as some files have it. The
 * format's own limit is 100 MB, which as JSON would unfold to gigabytes.
 */
export const SAFETENSORS_HEADER_MAX = 2 ** 23;
/** A shape may not have more dimensions: no tensor that is known has, and 2 can be used. */
export const DIMENSIONS_MAX = 8;
/** The writer pads the header with spaces so that the data begin at a multiple of this, as the format's own does. */
const ALIGNMENT = 8;

/** Keys that a tensor takes: its name, dtype, shape and data_offsets. */
const TENSOR_KEYS = 4;

/** One tensor of a file. */
export interface SafeTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** A view of the file's bytes: as many as dtype and shape say. */
  readonly bytes: Uint8Array;
}

/** What a file holds. */
export interface SafetensorsFile {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes, each with its place in the file. */
  readonly tensors: readonly (SafeTensor & { readonly offset: number })[];
}

/** A tensor of a file, with its place. */
export type FileTensor = SafetensorsFile['tensors'][number];

/**
 * Reads a safetensors file. Nothing is allocated but the header's JSON: tensors are views.
 * @param bytes - the whole file; kept by reference
 * @throws {InputError} saying what is wrong and at which byte
 * @example const { metadata, tensors } = readSafetensors(await readFile('model.safetensors'));
 */
export function readSafetensors(bytes: Uint8Array): SafetensorsFile {
  try {
    return readContainer(bytes);
  } catch (cause) {
    const other = cause instanceof InputError ? nameOfFormat(bytes) : null;
    if (other === null) throw cause;
    throw new InputError(`safetensors: expected a file of safetensors, got ${other}`, { cause });
  }
}

function readContainer(bytes: Uint8Array): SafetensorsFile {
  if (bytes.length < LENGTH_BYTES) {
    throw fault('length', bytes.length, `${LENGTH_BYTES} bytes, got ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getBigUint64(0, true);
  const most = Math.min(SAFETENSORS_HEADER_MAX, bytes.length - LENGTH_BYTES);
  if (length > BigInt(most)) {
    const remedy =
      length < bytes.length ? ': leave some metadata out' : ': cut short, or no file of safetensors?';
    throw fault(
      'length',
      0,
      `a header of at most ${most} bytes in a file of ${bytes.length}, got ${length}${remedy}`,
    );
  }
  const start = LENGTH_BYTES + Number(length);
  const text = decodeHeader(bytes.subarray(LENGTH_BYTES, start));
  const header = parseHeader(text);
  const metadata = checkMetadata(header.__metadata__);
  const tensors = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => checkTensor(name, entry))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  const keys = !Object.hasOwn(header, '__metadata__') ? 0 : 1 + Object.keys(metadata).length;
  if (countColons(text) !== keys + TENSOR_KEYS * tensors.length) {
    throw fault('header', HEADER_AT, 'every key once: rename or leave out what stands twice');
  }
  let at = 0;
  for (const { name, begin, end } of tensors) {
    const shown = `"${printable(name)}"`;
    if (begin !== at) {
      const why =
        begin < at ? 'it shares bytes with another tensor: save a copy of it, or' : 'a hole in the data:';
      const remedy = `${why} save the file again with the library of safetensors`;
      throw fault(shown, start + at, `to begin at ${at} of the data, got ${begin}: ${remedy}`);
    }
    if (end > bytes.length - start) {
      const left = bytes.length - start;
      throw fault(shown, start + begin, `to end within ${left} bytes of data, got ${end}: cut short?`);
    }
    at = end;
  }
  if (start + at !== bytes.length) {
    throw fault(
      'data',
      start + at,
      `the end, got ${bytes.length - start - at} bytes of no tensor: cut them off`,
    );
  }
  return {
    metadata,
    tensors: tensors.map(({ name, dtype, shape, begin, end }) => ({
      ...{ name, dtype, shape, offset: start + begin },
      bytes: bytes.subarray(start + begin, start + end),
    })),
  };
}

/**
 * Writes a safetensors file.
 * @param metadata - texts by name
 * @param tensors - those of wider elements first, so that all are aligned
 * @example encodeSafetensors({}, [{ name: 'x', dtype: 'U8', shape: [2], bytes: Uint8Array.of(1, 2) }])
 */
export function encodeSafetensors(
  metadata: Readonly<Record<string, string>>,
  tensors: readonly SafeTensor[],
): Uint8Array {
  let end = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes }): [string, object] => {
    const begin = end;
    end += bytes.length;
    return [name, { dtype, shape, data_offsets: [begin, end] }];
  });
  const json = new TextEncoder().encode(
    JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }),
  );
  const length = ALIGNMENT * Math.ceil(json.length / ALIGNMENT);
  const file = new Uint8Array(LENGTH_BYTES + length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  file.fill(0x20, LENGTH_BYTES, LENGTH_BYTES + length);
  file.set(json, LENGTH_BYTES);
  let at = LENGTH_BYTES + length;
  for (const { bytes } of tensors) {
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

function decodeHeader(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw fault('header', HEADER_AT, 'JSON in UTF-8', cause);
  }
}

function parseHeader(text: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw fault('header', HEADER_AT, `JSON: ${printable((cause as Error).message)}`, cause);
  }
  if (!isRecord(header)) throw fault('header', HEADER_AT, 'a JSON object');
  return header;
}

/**
 * Colons outside of texts, of JSON that has been parsed: one a key. A key that stands twice, of which
 * readers may take either, shows as one too many.
 */
function countColons(json: string): number {
  return json.replace(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1;
}

function checkMetadata(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {}; // null is none for the format's own reader
  if (!isRecord(value) || !Object.values(value).every((entry) => typeof entry === 'string')) {
    throw fault(
      'header',
      HEADER_AT,
      '"__metadata__" to be an object of texts: write numbers and lists as texts, or leave them out',
    );
  }
  return value as Record<string, string>;
}

/** What a header says of a tensor; that its bytes are there is the caller's to check. */
function checkTensor(name: string, value: unknown) {
  const wrong = (what: string) => fault('header', HEADER_AT, `"${printable(name)}" to have ${what}`);
  if (!isRecord(value) || Object.keys(value).sort().join() !== 'data_offsets,dtype,shape') {
    throw wrong('dtype, shape and data_offsets');
  }
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    const got = typeof dtype === 'string' ? `"${printable(dtype)}"` : 'something else';
    throw wrong(`a dtype of ${Object.keys(DTYPE_BYTES).join(', ')}, got ${got}`);
  }
  if (!isCounts(shape) || shape.length > DIMENSIONS_MAX) {
    throw wrong(`a shape of at most ${DIMENSIONS_MAX} sizes`);
  }
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw wrong('data_offsets [begin, end]');
  }
  const [begin, end] = offsets;
  const size = shape.reduce((product, one) => product * one, DTYPE_BYTES[dtype as Dtype]);
  // A product past 2^53 has lost bits, but is far above any file's length.
  if (end - begin !== size) throw wrong(`${size} bytes, as ${dtype} [${shape.join()}], got ${end - begin}`);
  return { name, dtype: dtype as Dtype, shape, begin, end };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((one) => Number.isSafeInteger(one) && one >= 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Where a tensor is, for a message. */
export function placeOf({ name, offset }: FileTensor): string {
  return `"${printable(name)}" at byte ${offset}`;
}

/** A fault of what the header says altogether. */
export function headerFault(what: string, cause?: unknown, where = 'header'): InputError {
  const options = cause === undefined ? undefined : { cause };
  return new InputError(`safetensors: ${where} at byte ${HEADER_AT}: ${what}`, options);
}

function fault(where: string, offset: number, what: string, cause?: unknown): InputError {
  const options = cause === undefined ? undefined : { cause };
  return new InputError(`safetensors: ${where} at byte ${offset}: expected ${what}`, options);
}
