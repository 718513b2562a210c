/**
 * What it costs to rebuild the weights of a log, and how much of that a file is worth. Equal coefficients cost next to
 * nothing to code, and each may move a million weights: without a bound, a log of 315 bytes would be hours of work.
 *
 * The work of a step is 64, and for each of its sets 64, then for each direction the weights that decoding looks at,
 * 16 at most, and for each coefficient that is not zero the weights that it moves. Each unit is some 50 to 150 ns.
 */

import { expected } from '../errors.js';
import { LOOKED_AT_MAX, setExtents } from '../random/directions.js';
import type { Header } from './header.js';
import { graphOf } from '../ternary/builders/index.js';

/**
 * A file of any length may ask for so much work, half a second; for so much more with each of its bytes; and never for
 * more than the last, which are some hours. The largest log that is trained by a preset, `paper`, has 1,550 steps of
 * 3,264 units in 28,000 bytes: a 370th of what it may have. Coefficients that training chooses cost a bit or more each
 * where they are not zero, so that directions of n nonzeros come to 8·n units a byte at most; where they are nearly all
 * zero, a writer begins a new block in time ({@link isDense}). 10⁷ steps of `paper` are half of the most.
 */
const WORK_FREE = 2 ** 22;
const WORK_PER_BYTE = 2 ** 16;
const WORK_MAX = 2 ** 36;

/** A step, and each of its sets, costs as much as so many weights. */
const STEP_WORK = 64;
/** A block of one step has at least so many bytes: its frame, and the nonzeros of its directions. */
const BLOCK_BYTES_MIN = 12;

/** The most work that a log of so many bytes may ask for. */
export function workMax(bytes: number): number {
  return Math.min(WORK_MAX, WORK_FREE + WORK_PER_BYTE * bytes);
}

/**
 * Whether a block should end here: it asks for more than half of what its bytes are worth. One step may be above that,
 * so blocks that end in time stay within the other half.
 */
export function isDense(work: number, blockBytes: number): boolean {
  return work > (WORK_PER_BYTE / 2) * blockBytes;
}

/** What the steps of a log cost. */
export class StepWork {
  readonly #extents: readonly { readonly size: number; readonly directions: number }[];
  /** Of a step without nonzeros, at the least. */
  readonly least: number;

  constructor(header: Header) {
    this.#extents = setExtents(graphOf(header).tensors, header.directions);
    this.least = this.before(1);
  }

  /** Of a step, before its coefficients are known. */
  before(nonzeros: number): number {
    let work = STEP_WORK;
    for (const { size, directions } of this.#extents) {
      const each = weightsEach(size, directions, nonzeros);
      work += STEP_WORK + directions * Math.min(LOOKED_AT_MAX, each);
    }
    return work;
  }

  /** What its coefficients add. */
  moves(nonzeros: number, coefficients: Int8Array): number {
    let work = 0;
    let at = 0;
    for (const { size, directions } of this.#extents) {
      let kept = 0;
      for (const end = at + directions; at < end; at++) kept += coefficients[at] === 0 ? 0 : 1;
      work += kept * weightsEach(size, directions, nonzeros);
    }
    return work;
  }

  /** Of a step whose coefficients are all not zero. */
  most(nonzeros: number): number {
    return this.#extents.reduce(
      (sum, { size, directions }) => sum + directions * weightsEach(size, directions, nonzeros),
      this.before(nonzeros),
    );
  }
}

/** Weights that a direction of a set has, at most. */
function weightsEach(size: number, directions: number, nonzeros: number): number {
  return Math.ceil(Math.min(size, directions * nonzeros) / directions);
}

/** Adds up the work of steps as they are decoded. */
export class WorkMeter {
  readonly #steps: StepWork;
  readonly #most: number;
  #work = 0;

  /** @param bytes - of the file, or of the part of it that has the steps */
  constructor(
    header: Header,
    readonly bytes: number,
  ) {
    this.#steps = new StepWork(header);
    this.#most = workMax(bytes);
  }

  /**
   * A step, before its coefficients are decoded.
   * @param fault - makes the error, with its place
   */
  begin(nonzeros: number, fault: (what: string) => Error): void {
    this.#add(this.#steps.before(nonzeros), fault);
  }

  /** Its coefficients, before anything is moved. */
  end(nonzeros: number, coefficients: Int8Array, fault: (what: string) => Error): void {
    this.#add(this.#steps.moves(nonzeros, coefficients), fault);
  }

  #add(work: number, fault: (what: string) => Error): void {
    this.#work += work;
    if (this.#work > this.#most) {
      throw fault(`expected at most ${this.#most} units of work in ${this.bytes} bytes, got more`);
    }
  }
}

/**
 * Checks that a log can be written whatever its coefficients become.
 * @param nonzeros - the largest number of nonzeros of its directions
 * @throws {ConfigError} when rebuilding it might cost more than its bytes are worth
 */
export function requireRebuildable(header: Header, steps: number, nonzeros: number): void {
  const most = new StepWork(header).most(nonzeros);
  const dense = isDense(most, BLOCK_BYTES_MIN) && steps * most > WORK_FREE;
  if (!dense && steps * most <= WORK_MAX) return;
  const got = header.directions.reduce((sum, count) => sum + count, 0) * nonzeros;
  throw expected(
    'nonzeros',
    `a log of ${steps} steps that can be rebuilt in time for its bytes: fewer than ${BLOCK_BYTES_MIN * (WORK_PER_BYTE / 2)} nonzeros a step, or fewer steps`,
    `${got} nonzeros in ${header.directions.length === 1 ? 'a set' : 'all sets'}`,
  );
}
