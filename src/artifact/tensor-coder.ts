/**
 * The values of one tensor of a packed artifact. Trits have three codings, of which the writer takes the
 * smallest that is fast enough; all other values are coded each by itself.
 */

import { expected } from '../errors.js';
import type { Tensor } from '../ternary/model.js';
import { isWithin, VALUE_RANGES, type Values } from '../ternary/precision.js';
import { type ByteReader, ByteWriter } from './bytes.js';
import { decoderOf } from './container.js';
import { imageStrides } from './image-stride.js';
import { SignedCoder, TritCoder } from './integer-coder.js';
import { decodeInterleaved, encodeInterleaved } from './interleaved-coder.js';
import { KERNEL_TRITS, openRangeCodedKernel } from './kernels/range-coded.js';
import { decodeNeighbours, encodeNeighbours } from './neighbour-coder.js';
import { type RangeDecoder, RangeEncoder } from './range-coder.js';

/** How a tensor's values are coded. */
export const TensorCoding = {
  /** In order, each with regard to the two before at most. */
  plain: 0,
  /** Trits predicted from those around: the fewest bytes. */
  neighbours: 1,
  /** Trits by static statistics: the fastest to read. */
  interleaved: 2,
} as const;
export type TensorCoding = (typeof TensorCoding)[keyof typeof TensorCoding];

/** Trits of a tensor from which on reading fast counts for more than the last bytes. */
const FAST_SIZE = 2 ** 20;
/** Two to the right and a stride up must have come before. */
const STRIDE_MIN = 4;

/**
 * The payload of a tensor's section.
 * @param values - [rows × columns], row-major
 * @throws {ConfigError} when one is out of the tensor's range
 */
export function encodeTensor(tensor: Tensor, values: Int8Array): Uint8Array {
  for (const value of values) {
    if (!isWithin(tensor.values, value)) {
      throw expected(tensor.name, `values in ${VALUE_RANGES[tensor.values].join('…')}`, value);
    }
  }
  if (tensor.values !== 'trit') return encodeTensorAs(TensorCoding.plain, tensor, values);
  if (values.length >= FAST_SIZE) return encodeTensorAs(TensorCoding.interleaved, tensor, values);
  return smallest(
    [TensorCoding.plain, TensorCoding.neighbours].map((one) => encodeTensorAs(one, tensor, values)),
  );
}

/**
 * The payload of a tensor's section in one coding.
 * @param coding - plain where the values are no trits
 */
export function encodeTensorAs(coding: TensorCoding, tensor: Tensor, values: Int8Array): Uint8Array {
  const { columns } = tensor;
  switch (coding) {
    case TensorCoding.plain:
      return coded(coding).raw(encodePlain(tensor.values, values)).finish();
    case TensorCoding.neighbours:
      return smallest(
        imageStrides(columns).map((stride) =>
          coded(coding)
            .integer(stride)
            .raw(encodeNeighbours(values, columns, stride))
            .finish(),
        ),
      );
    case TensorCoding.interleaved:
      return coded(coding).raw(encodeInterleaved(values, columns)).finish();
    default:
      return coding satisfies never;
  }
}

function coded(coding: TensorCoding): ByteWriter {
  return new ByteWriter().u8(coding);
}

function smallest(payloads: readonly Uint8Array[]): Uint8Array {
  return payloads.reduce((best, one) => (one.length < best.length ? one : best));
}

/**
 * Reads what {@link encodeTensor} wrote.
 * @param values - [rows × columns], receives them
 * @throws {ArtifactError} when the payload does not hold them
 */
export function decodeTensor(reader: ByteReader, tensor: Tensor, values: Int8Array): void {
  const coding = reader.u8('coding');
  if (coding !== TensorCoding.plain && tensor.values !== 'trit') {
    throw reader.fault(`expected coding 0 of ${tensor.name}, got ${coding}`, reader.offset - 1);
  }
  switch (coding) {
    case TensorCoding.plain: {
      const decoder = decoderOf(reader);
      decodePlain(decoder, tensor, values);
      decoder.expectEnd();
      return;
    }
    case TensorCoding.neighbours: {
      const stride = reader.integer('stride', tensor.columns);
      if (stride > 0 && stride < STRIDE_MIN)
        throw reader.fault(`expected a stride of 0 or above 3, got ${stride}`);
      const decoder = decoderOf(reader);
      decodeNeighbours(decoder, values, tensor.columns, stride);
      decoder.expectEnd();
      return;
    }
    case TensorCoding.interleaved:
      decodeInterleaved(reader, values, tensor.columns);
      return;
    default:
      throw reader.fault(`expected coding 0, 1 or 2, got ${coding}`, reader.offset - 1);
  }
}

/** Values one after another, as version 1 has them, too. */
function encodePlain(kind: Values, values: Int8Array): Uint8Array {
  const encoder = new RangeEncoder();
  const coder = coderOf(kind);
  for (const value of values) coder.encode(encoder, value);
  return encoder.finish();
}

/**
 * Reads plainly coded values, as version 1 has them, too.
 * @throws {ArtifactError} when the bytes have ended or a value is out of range
 */
export function decodePlain(decoder: RangeDecoder, tensor: Tensor, values: Int8Array): void {
  const trits = tensor.values === 'trit' && values.length >= KERNEL_TRITS;
  const kernel = trits ? openRangeCodedKernel() : null;
  if (kernel === null) decodePlainByDefinition(decoder, tensor, values);
  else decoder.delegate((bytes, state) => kernel.plain(bytes, state, values));
}

/** The same in JavaScript: what the kernel must compute of trits. */
export function decodePlainByDefinition(decoder: RangeDecoder, tensor: Tensor, values: Int8Array): void {
  const coder = coderOf(tensor.values);
  for (let i = 0; i < values.length; i++) {
    const value = coder.decode(decoder);
    if (!isWithin(tensor.values, value)) {
      throw decoder.fault(
        `expected values of ${tensor.name} in ${VALUE_RANGES[tensor.values].join('…')}, got ${value}`,
      );
    }
    values[i] = value;
  }
}

function coderOf(values: Values): TritCoder | SignedCoder {
  return values === 'trit' ? new TritCoder() : new SignedCoder();
}
