/** A pool's coefficients as version 1 had them, in one stream: read, and no longer written. */

import { coefficientLimit } from '../../random/latents.js';
import type { ByteReader } from '../bytes.js';
import { decoderOf } from '../container.js';
import type { Header } from '../header.js';
import { decodePlain } from '../pool-coder.js';

/**
 * The coefficients of all tensors, [Σ K].
 * @throws {ArtifactError} when the section does not hold them
 */
export function decodePoolV1(reader: ByteReader, { directions, cut }: Header): Int16Array {
  const decoder = decoderOf(reader);
  const coefficients = new Int16Array(directions.reduce((sum, count) => sum + count, 0));
  let first = 0;
  for (const count of directions) {
    decodePlain(decoder, coefficientLimit(cut), coefficients.subarray(first, first + count));
    first += count;
  }
  decoder.expectEnd();
  return coefficients;
}
