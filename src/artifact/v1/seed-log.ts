/** Log blocks as version 1 had them: read, and no longer written. */

import { NONZEROS_MAX, STEPS_MAX } from '../../random/directions.js';
import type { ByteReader } from '../bytes.js';
import { decoderOf } from '../container.js';
import type { Header } from '../header.js';
import { SignedCoder, TritCoder } from '../integer-coder.js';
import { BitModel } from '../range-coder.js';
import type { BlockRange, ReadStep } from '../seed-log.js';
import type { WorkMeter } from '../work.js';

const NONZERO_BITS = 21;

/** The step numbers of a block, read without its coefficients. */
export function readBlockRangeV1(reader: ByteReader): BlockRange {
  const first = reader.integer('first step', STEPS_MAX);
  const count = reader.integer('number of steps', STEPS_MAX);
  if (count < 1) throw reader.fault('expected at least one step');
  return { first, count, seedStep: first };
}

/**
 * The steps of a block, one at a time; the coefficients' array is used again for the next.
 * @param meter - of the work that its steps may ask for
 * @throws {ArtifactError} when the block does not hold what it says, or asks for more than the file is worth
 */
export function* readLogBlockV1(reader: ByteReader, header: Header, meter: WorkMeter): Generator<ReadStep> {
  const { first, count } = readBlockRangeV1(reader);
  const decoder = decoderOf(reader);
  const change = new BitModel();
  const losses = new SignedCoder();
  const trits = new TritCoder();
  const coefficients = new Int8Array(header.directions.reduce((sum, one) => sum + one, 0));
  const fault = (what: string) => decoder.fault(what);
  let nonzeros = 0;
  let loss = 0;
  let read = 0;
  for (let step = 0; step < count; step++) {
    if (decoder.decodeBit(change)) nonzeros = decoder.decodeDirect(NONZERO_BITS);
    if (nonzeros < 1 || nonzeros > NONZEROS_MAX) {
      throw decoder.fault(`expected 1…${NONZEROS_MAX} nonzeros, got ${nonzeros}`);
    }
    meter.begin(nonzeros, fault);
    loss += losses.decode(decoder);
    for (let k = 0; k < coefficients.length; k++) coefficients[k] = trits.decode(decoder);
    meter.end(nonzeros, coefficients, fault);
    const bytes = decoder.bytesRead - read;
    read += bytes;
    yield { step: first + step, seedStep: first + step, nonzeros, loss, coefficients, bytes };
  }
  decoder.expectEnd();
}
