/**
 * The coefficients of a seed pool: of each tensor with directions, how they are coded and how many bytes
 * that takes, so that one tensor can be rebuilt without the others.
 */

import { type DirectionSet, poolSets } from '../random/directions.js';
import { coefficientLimit } from '../random/latents.js';
import { ByteReader, ByteWriter } from './bytes.js';
import { decoderOf } from './container.js';
import { type Header, parseKey } from './header.js';
import { graphOf } from '../ternary/builders/index.js';
import { imageStrides } from './image-stride.js';
import { decodeMoves, decodePlain, encodeMoves, encodePlain, PoolCoding, type Shape } from './pool-coder.js';

/**
 * Predicting looks at every weight of the tensor, so that a file would take long to open that has few
 * bytes and many weights. Those are coded plainly.
 */
const PREDICTED_SIZE_MAX = 2 ** 20;
const PREDICTED_SIZE_FREE = 2 ** 16;
const PREDICTED_SIZE_PER_BYTE = 2 ** 10;

/** Whether a tensor of so many weights may be predicted from coefficients of so many bytes. */
function isPredictable(size: number, bytes: number): boolean {
  return size <= Math.min(PREDICTED_SIZE_MAX, PREDICTED_SIZE_FREE + PREDICTED_SIZE_PER_BYTE * bytes);
}

/** One tensor's part of a pool. */
interface Part {
  readonly set: DirectionSet;
  readonly shape: Shape;
  /** Of its first coefficient. */
  readonly first: number;
}

/**
 * The payload of a pool's section.
 * @param coefficients - [Σ K]
 */
export function encodePool(header: Header, coefficients: Int16Array): Uint8Array {
  const writer = new ByteWriter();
  const limit = coefficientLimit(header.cut);
  for (const { set, shape, first } of partsOf(header)) {
    const values = coefficients.subarray(first, first + set.directions);
    const candidates = [new ByteWriter().u8(PoolCoding.plain).raw(encodePlain(values)).finish()];
    for (const stride of set.size <= PREDICTED_SIZE_MAX ? imageStrides(shape.columns) : []) {
      const coded = encodeMoves(set, shape, stride, limit, values);
      const candidate = new ByteWriter().u8(PoolCoding.moves).integer(stride).raw(coded).finish();
      if (isPredictable(set.size, candidate.length)) candidates.push(candidate);
    }
    const smallest = candidates.reduce((best, one) => (one.length < best.length ? one : best));
    writer.integer(smallest.length).raw(smallest);
  }
  return writer.finish();
}

/**
 * Reads what {@link encodePool} wrote.
 * @param only - index of a tensor whose coefficients alone are wanted; the others are passed over
 * @returns [Σ K] coefficients, those passed over 0
 * @throws {ArtifactError} when the payload does not hold them
 */
export function decodePool(reader: ByteReader, header: Header, only?: number): Int16Array {
  const coefficients = new Int16Array(header.directions.reduce((sum, count) => sum + count, 0));
  const limit = coefficientLimit(header.cut);
  for (const { set, shape, first } of partsOf(header)) {
    const length = reader.integer('length of the coefficients of a tensor');
    const start = reader.offset;
    reader.take(length, 'coefficients of a tensor');
    if (only !== undefined && only !== set.group) continue;
    const part = new ByteReader(reader.bytes, reader.section, start, start + length, reader.base);
    const values = coefficients.subarray(first, first + set.directions);
    const coding = part.u8('coding');
    if (coding !== PoolCoding.plain && coding !== PoolCoding.moves) {
      throw part.fault(`expected coding 0 or 1, got ${coding}`, start);
    }
    if (coding === PoolCoding.moves && !isPredictable(set.size, length)) {
      throw part.fault(`expected coding 0 of ${set.size} weights in ${length} bytes, got 1`, start);
    }
    const stride = coding === PoolCoding.moves ? part.integer('stride', shape.columns) : 0;
    const decoder = decoderOf(part);
    if (coding === PoolCoding.plain) decodePlain(decoder, limit, values);
    else decodeMoves(decoder, set, shape, stride, limit, values);
    decoder.expectEnd();
  }
  reader.expectEnd();
  return coefficients;
}

/** The tensors that have directions, in model order. */
function partsOf(header: Header): Part[] {
  const { tensors } = graphOf(header);
  let first = 0;
  return poolSets(tensors, parseKey(header.key), header.directions).map((set) => {
    const part = { set, shape: tensors[set.group], first };
    first += set.directions;
    return part;
  });
}
