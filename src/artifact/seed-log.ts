/**
 * The seed log: the coefficients of every step, in order, in blocks of one or more steps. A
 * run that is under way appends blocks of one step, each with its checksum, so that it can be
 * killed at any byte; a finished log is written in large blocks, whose statistics serve more
 * steps. Both are read alike.
 */

import { NONZEROS_MAX, STEPS_MAX } from '../random/directions.js';
import { type ByteReader, ByteWriter } from './bytes.js';
import { decoderOf, encodeSection, SectionType } from './container.js';
import { SignedCoder, TritCoder } from './integer-coder.js';
import { BitModel, RangeEncoder } from './range-coder.js';

/** One step as a log keeps it. */
export interface LogStep {
  /** Nonzeros of each direction, 1…NONZEROS_MAX. */
  readonly nonzeros: number;
  /** Mean loss of the batch before the update, in 2⁻⁶ bits. */
  readonly loss: number;
  /** [Σ K] trits. */
  readonly coefficients: Int8Array;
}

/** Steps of a block in a finished log. */
export const BLOCK_STEPS = 512;

const NONZERO_BITS = 21;

/** Losses in 2⁻¹⁶ bits to the 2⁻⁶ bits of a log. */
export function lossOfUnits(units: number): number {
  return Math.round(units / 1024);
}

/** What one block's coders have learnt; encoder and decoder keep the same. */
class BlockModels {
  readonly change = new BitModel();
  readonly loss = new SignedCoder();
  readonly coefficients = new TritCoder();
  nonzeros = 0;
  lastLoss = 0;
}

/** A log section of some steps, the first of them numbered `first` (from 1). */
export function encodeLogBlock(first: number, steps: readonly LogStep[]): Uint8Array {
  const encoder = new RangeEncoder();
  const models = new BlockModels();
  for (const { nonzeros, loss, coefficients } of steps) {
    const changes = nonzeros !== models.nonzeros;
    encoder.encodeBit(models.change, changes ? 1 : 0);
    if (changes) encoder.encodeDirect(nonzeros, NONZERO_BITS);
    models.nonzeros = nonzeros;
    models.loss.encode(encoder, loss - models.lastLoss);
    models.lastLoss = loss;
    for (const coefficient of coefficients) models.coefficients.encode(encoder, coefficient);
  }
  const payload = new ByteWriter().integer(first).integer(steps.length).raw(encoder.finish());
  return encodeSection(SectionType.log, payload.finish());
}

/** The step numbers of a block, read without its coefficients. */
export function readBlockRange(reader: ByteReader): { first: number; count: number } {
  const first = reader.integer('first step', STEPS_MAX);
  const count = reader.integer('number of steps', STEPS_MAX);
  if (count < 1) throw reader.fault('expected at least one step');
  return { first, count };
}

/**
 * The steps of a block, one at a time; the coefficients' array is used again for the next.
 * @param size - Σ K, coefficients of a step
 * @throws {ArtifactError} when the block does not hold what it says
 */
export function* readLogBlock(reader: ByteReader, size: number): Generator<LogStep> {
  const { count } = readBlockRange(reader);
  const decoder = decoderOf(reader);
  const models = new BlockModels();
  const coefficients = new Int8Array(size);
  for (let step = 0; step < count; step++) {
    if (decoder.decodeBit(models.change)) models.nonzeros = decoder.decodeDirect(NONZERO_BITS);
    if (models.nonzeros < 1 || models.nonzeros > NONZEROS_MAX) {
      throw decoder.fault(`expected 1…${NONZEROS_MAX} nonzeros, got ${models.nonzeros}`);
    }
    models.lastLoss += models.loss.decode(decoder);
    for (let k = 0; k < size; k++) coefficients[k] = models.coefficients.decode(decoder);
    yield { nonzeros: models.nonzeros, loss: models.lastLoss, coefficients };
  }
  decoder.expectEnd();
}
