/**
 * The seed log: the coefficients of every step, in order, in blocks of one or more steps. A
 * run that is under way appends blocks of one step, each with its checksum, so that it can be
 * killed at any byte; a finished log is written in large blocks, whose statistics serve more
 * steps. Both are read alike.
 *
 * Whether a direction's coefficient is zero depends much on the weights that it touches, and the seed
 * says which they are: those of a pixel that is always dark never matter, those of the last layer nearly
 * always do. So each column of each tensor has a count of what became of its directions.
 */

import { expected } from '../errors.js';
import { LOOKED_AT_MAX, logSets, NONZEROS_MAX, STEPS_MAX, weightsOfDirection } from '../random/directions.js';
import type { Key } from '../random/philox.js';
import type { Tensor } from '../ternary/model.js';
import { type ByteReader, ByteWriter } from './bytes.js';
import { decoderOf, encodeSection, SectionType } from './container.js';
import { type Header, parseKey } from './header.js';
import { graphOf } from '../ternary/builders/index.js';
import { SignedCoder } from './integer-coder.js';
import { levelOf } from './linear-predictor.js';
import { BitModel, RangeEncoder } from './range-coder.js';
import { isDense, StepWork, type WorkMeter } from './work.js';

/** One step as a log keeps it. */
export interface LogStep {
  /** Which step's directions they are coefficients of: its own number, unless the log was edited. */
  readonly seedStep: number;
  /** Nonzeros of each direction, 1…NONZEROS_MAX. */
  readonly nonzeros: number;
  /** Mean loss of the batch before the update, in 2⁻⁶ bits. */
  readonly loss: number;
  /** [Σ K] trits. */
  readonly coefficients: Int8Array;
}

/** A step as it is read. */
export interface ReadStep extends LogStep {
  /** Its number, from 1. */
  readonly step: number;
  /** Bytes that it takes in its block. */
  readonly bytes: number;
}

/** Steps of a block in a finished log: few enough to find one without decoding them all. */
export const BLOCK_STEPS = 2048;

const NONZERO_BITS = 21;

/** Losses in 2⁻¹⁶ bits to the 2⁻⁶ bits of a log. */
export function lossOfUnits(units: number): number {
  return Math.round(units / 1024);
}

/** Levels of a column's score above zero. */
const LEVEL_MAX = 20;
/** A column counts as if it had been seen so often with its tensor's mean. */
const PRIOR = 3;

/** What became of the directions that touched a tensor. */
interface Seen {
  readonly tensor: Tensor;
  /** [columns] How many directions' weights were in a column, and how many of those were kept. */
  readonly count: Float64Array;
  readonly kept: Float64Array;
  /** The columns that were seen. */
  readonly columns: number[];
  /** [LEVEL_MAX + 1] Directions whose highest tensor this is: whether they were kept, by level. */
  nonzero: (BitModel | undefined)[];
  total: number;
  totalKept: number;
}

/** What one block's coders have learnt; encoder and decoder keep the same. */
class BlockModels {
  change = new BitModel();
  loss = new SignedCoder();
  negative = new BitModel();
  nonzeros = 0;
  lastLoss = 0;
  readonly cost: StepWork;
  private readonly seen: readonly Seen[];
  private readonly key: Key;
  private readonly counts: readonly number[];
  /** Of the direction at hand: where its weights are. */
  private readonly tensorOf = new Uint16Array(LOOKED_AT_MAX);
  private readonly columnOf = new Uint16Array(LOOKED_AT_MAX);
  private weights = 0;

  constructor(header: Header) {
    this.key = parseKey(header.key);
    this.counts = header.directions;
    this.cost = new StepWork(header);
    this.seen = graphOf(header).tensors.map((tensor) => ({
      tensor,
      count: new Float64Array(tensor.columns),
      kept: new Float64Array(tensor.columns),
      columns: [],
      nonzero: [],
      total: 0,
      totalKept: 0,
    }));
  }

  /** Those of a log; they are kept for its next block by {@link BlockModels.release}. */
  static of(header: Header): BlockModels {
    const models = spare.get(header) ?? new BlockModels(header);
    spare.delete(header);
    return models;
  }

  /** Forgets what a block taught, in time for what that touched. */
  release(header: Header): void {
    this.change = new BitModel();
    this.loss = new SignedCoder();
    this.negative = new BitModel();
    this.nonzeros = 0;
    this.lastLoss = 0;
    for (const seen of this.seen) {
      for (const column of seen.columns) {
        seen.count[column] = 0;
        seen.kept[column] = 0;
      }
      seen.columns.length = 0;
      seen.nonzero = [];
      seen.total = 0;
      seen.totalKept = 0;
    }
    spare.set(header, this);
  }

  /**
   * Codes the coefficients of a step, in order.
   * @param code - given the model of "not zero", writes or reads a coefficient and returns it
   */
  step(seedStep: number, nonzeros: number, code: (nonzero: BitModel, k: number) => number): void {
    let k = 0;
    const tensors = this.seen.map(({ tensor }) => tensor);
    for (const set of logSets(tensors, this.key, seedStep, this.counts, nonzeros)) {
      for (let direction = 0; direction < set.directions; direction++, k++) {
        const weights = weightsOfDirection(set, direction, LOOKED_AT_MAX);
        const nonzero = this.look(weights, set.offset);
        this.learn(code(nonzero, k) !== 0);
      }
    }
  }

  /** The model of "not zero" for a direction of some weights. */
  private look(weights: readonly number[], offset: number): BitModel {
    const { seen, tensorOf, columnOf } = this;
    let sum = 0;
    let highest = 0;
    this.weights = weights.length;
    for (let i = 0; i < weights.length; i++) {
      const index = offset + weights[i];
      let t = seen.length - 1;
      while (seen[t].tensor.offset > index) t--;
      const { tensor, count, kept, total, totalKept } = seen[t];
      const column = (index - tensor.offset) % tensor.columns;
      tensorOf[i] = t;
      columnOf[i] = column;
      const mean = (totalKept + 0.5) / (total + 1);
      sum += (kept[column] + PRIOR * mean) / (count[column] + PRIOR);
      if (t > highest) highest = t;
    }
    const level = levelOf(sum / weights.length, LEVEL_MAX, LEVEL_MAX);
    return (seen[highest].nonzero[level] ??= new BitModel());
  }

  private learn(kept: boolean): void {
    for (let i = 0; i < this.weights; i++) {
      const seen = this.seen[this.tensorOf[i]];
      if (seen.count[this.columnOf[i]] === 0) seen.columns.push(this.columnOf[i]);
      seen.count[this.columnOf[i]] += 1;
      seen.total += 1;
      if (!kept) continue;
      seen.kept[this.columnOf[i]] += 1;
      seen.totalKept += 1;
    }
  }
}

/**
 * Models that a log's last block is done with: they are as large as its model is wide, and an unfinished
 * log has a block a step.
 */
const spare = new WeakMap<Header, BlockModels>();

/** Type, length, first step, count, step of the seed and checksum take at least so many bytes. */
const FRAME_BYTES = 9;

/** A log block that is written step by step; what it keeps of a step is its code. */
export class LogBlockWriter {
  readonly #encoder = new RangeEncoder();
  readonly #models: BlockModels;
  #work = 0;
  #count = 0;
  #seedStep = 0;

  /**
   * @param header - of the log
   * @param first - number of the first step, from 1
   */
  constructor(
    readonly header: Header,
    readonly first: number,
  ) {
    this.#models = BlockModels.of(header);
  }

  /** Whether the block of a finished log goes on with a step, or a new one begins. */
  takes({ seedStep }: LogStep): boolean {
    if (this.#count === 0) return true;
    const follows = seedStep === this.#seedStep + this.#count;
    const dense = isDense(this.#work, FRAME_BYTES + this.#encoder.bytesWritten);
    return follows && this.#count < BLOCK_STEPS && !dense;
  }

  /**
   * Adds a step; those of a block have consecutive seed steps.
   * @throws {ConfigError} when its directions have no nonzeros, or too many
   */
  add({ seedStep, nonzeros, loss, coefficients }: LogStep): void {
    const [encoder, models] = [this.#encoder, this.#models];
    if (!Number.isInteger(nonzeros) || nonzeros < 1 || nonzeros > NONZEROS_MAX) {
      throw expected('nonzeros', `an integer in 1…${NONZEROS_MAX}`, nonzeros);
    }
    if (this.#count === 0) this.#seedStep = seedStep;
    this.#count += 1;
    const changes = nonzeros !== models.nonzeros;
    encoder.encodeBit(models.change, changes ? 1 : 0);
    if (changes) encoder.encodeDirect(nonzeros, NONZERO_BITS);
    models.nonzeros = nonzeros;
    models.loss.encode(encoder, loss - models.lastLoss);
    models.lastLoss = loss;
    models.step(seedStep, nonzeros, (nonzero, k) => {
      const coefficient = coefficients[k];
      encoder.encodeBit(nonzero, coefficient === 0 ? 0 : 1);
      if (coefficient !== 0) encoder.encodeBit(models.negative, coefficient < 0 ? 1 : 0);
      return coefficient;
    });
    this.#work += models.cost.before(nonzeros) + models.cost.moves(nonzeros, coefficients);
  }

  /** The section; the writer must not be used again. */
  finish(): Uint8Array {
    this.#models.release(this.header);
    const payload = new ByteWriter().integer(this.first).integer(this.#count).integer(this.#seedStep);
    return encodeSection(SectionType.log, payload.raw(this.#encoder.finish()).finish());
  }
}

/**
 * A log section of some steps with consecutive numbers and seed steps.
 * @param header - of the log
 * @param first - number of the first step, from 1
 * @param steps - at least one
 * @throws {ConfigError} when directions have no nonzeros, or too many
 */
export function encodeLogBlock(header: Header, first: number, steps: readonly LogStep[]): Uint8Array {
  const block = new LogBlockWriter(header, first);
  for (const step of steps) block.add(step);
  return block.finish();
}

/** Steps as the blocks of a finished log, made as they are taken. */
export function* encodeLogBlocks(header: Header, steps: Iterable<LogStep>): Generator<Uint8Array> {
  let block: LogBlockWriter | null = null;
  let number = 0;
  for (const step of steps) {
    number += 1;
    if (block && !block.takes(step)) {
      yield block.finish();
      block = null;
    }
    block ??= new LogBlockWriter(header, number);
    block.add(step);
  }
  if (block) yield block.finish();
}

/** Which steps a block has. */
export interface BlockRange {
  /** Number of the first step. */
  readonly first: number;
  readonly count: number;
  /** Which step's directions the first one has; the others follow. */
  readonly seedStep: number;
}

/** The step numbers of a block, read without its coefficients. */
export function readBlockRange(reader: ByteReader): BlockRange {
  const first = reader.integer('first step', STEPS_MAX);
  const count = reader.integer('number of steps', STEPS_MAX);
  if (count < 1) throw reader.fault('expected at least one step');
  const seedStep = reader.integer('first step of the seed', STEPS_MAX);
  if (seedStep < 1) throw reader.fault('expected steps of the seed from 1 on, got 0');
  if (seedStep + count - 1 > STEPS_MAX) {
    throw reader.fault(`expected steps of the seed up to ${STEPS_MAX}, got ${seedStep + count - 1}`);
  }
  return { first, count, seedStep };
}

/**
 * The steps of a block, one at a time; the coefficients' array is used again for the next.
 * @param header - of the log
 * @param meter - of the work that its steps may ask for
 * @throws {ArtifactError} when the block does not hold what it says, or asks for more than the file is worth
 */
export function* readLogBlock(reader: ByteReader, header: Header, meter: WorkMeter): Generator<ReadStep> {
  const { first, count, seedStep: origin } = readBlockRange(reader);
  const decoder = decoderOf(reader);
  const models = BlockModels.of(header);
  const coefficients = new Int8Array(header.directions.reduce((sum, one) => sum + one, 0));
  const fault = (what: string) => decoder.fault(what);
  let read = 0;
  for (let step = 0; step < count; step++) {
    if (decoder.decodeBit(models.change)) models.nonzeros = decoder.decodeDirect(NONZERO_BITS);
    const { nonzeros } = models;
    if (nonzeros < 1 || nonzeros > NONZEROS_MAX) {
      throw decoder.fault(`expected 1…${NONZEROS_MAX} nonzeros, got ${nonzeros}`);
    }
    meter.begin(nonzeros, fault);
    models.lastLoss += models.loss.decode(decoder);
    models.step(origin + step, nonzeros, (nonzero, k) => {
      if (decoder.decodeBit(nonzero) === 0) coefficients[k] = 0;
      else coefficients[k] = decoder.decodeBit(models.negative) === 1 ? -1 : 1;
      return coefficients[k];
    });
    meter.end(nonzeros, coefficients, fault);
    const bytes = decoder.bytesRead - read;
    read += bytes;
    yield {
      step: first + step,
      seedStep: origin + step,
      nonzeros,
      loss: models.lastLoss,
      coefficients,
      bytes,
    };
  }
  decoder.expectEnd();
  models.release(header);
}
