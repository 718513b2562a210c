/**
 * The values of one tensor of a packed artifact. Trits have three codings, of which the writer takes the
 * smallest that is fast enough; all other values are coded each by itself.
 */

import { expected } from '../errors.js';
import type { Tensor } from '../ternary/network.js';
import { isWithin, VALUE_RANGES, type Values } from '../ternary/precision.js';
import { type ByteReader, ByteWriter } from './bytes.js';
import { decoderOf } from './container.js';
import { SignedCoder, TritCoder } from './integer-coder.js';
import { type RangeDecoder, RangeEncoder } from './range-coder.js';

/** How a tensor's values are coded. */
export const TensorCoding = {
  /** In order, each with regard to the two before at most. */
  plain: 0,
} as const;
export type TensorCoding = (typeof TensorCoding)[keyof typeof TensorCoding];

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
  return new ByteWriter().u8(TensorCoding.plain).raw(encodePlain(tensor.values, values)).finish();
}

/**
 * Reads what {@link encodeTensor} wrote.
 * @param values - [rows × columns], receives them
 * @throws {ArtifactError} when the payload does not hold them
 */
export function decodeTensor(reader: ByteReader, tensor: Tensor, values: Int8Array): void {
  const coding = reader.u8('coding');
  switch (coding) {
    case TensorCoding.plain: {
      const decoder = decoderOf(reader);
      decodePlain(decoder, tensor, values);
      decoder.expectEnd();
      return;
    }
    default:
      throw reader.fault(`expected coding 0 of ${tensor.name}, got ${coding}`, reader.offset - 1);
  }
}

/** Values one after another; also the body of version 1. */
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
