/** Packed weights as version 1 had them, all tensors in one section: read, and no longer written. */

import type { Model } from '../../ternary/model.js';
import type { ByteReader } from '../bytes.js';
import { decoderOf } from '../container.js';
import { decodePlain } from '../tensor-coder.js';

/**
 * The values of all tensors in model order.
 * @throws {ArtifactError} when the section does not hold them
 */
export function decodePackedV1(reader: ByteReader, { tensors, parameters }: Model): Int8Array {
  const decoder = decoderOf(reader);
  const weights = new Int8Array(parameters);
  for (const tensor of tensors) {
    const { offset, rows, columns } = tensor;
    decodePlain(decoder, tensor, weights.subarray(offset, offset + rows * columns));
  }
  decoder.expectEnd();
  return weights;
}
