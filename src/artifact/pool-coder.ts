/**
 * The coefficients of a pool's tensor, coded with the help of the seed. A coefficient moves the weights
 * of its direction, and the seed says which they are: what was decoded before has moved the weights
 * around them, and neighbours of a trained layer move alike. So each coefficient is predicted from the
 * moves in its weights' columns, rows and neighbourhoods; a tenth of a pool's bytes go that way.
 */

import { type DirectionSet, Signs, weightsOfDirection } from '../random/directions.js';
import { PredictedCoder, SignedCoder } from './integer-coder.js';
import { levelOf, LinearPredictor } from './linear-predictor.js';
import { type RangeDecoder, RangeEncoder } from './range-coder.js';

/** How a tensor's coefficients are coded. */
export const PoolCoding = {
  /** Each by itself. */
  plain: 0,
  /** Predicted from the moves of the weights around. */
  moves: 1,
} as const;
export type PoolCoding = (typeof PoolCoding)[keyof typeof PoolCoding];

/** Where a set's weights lie. */
export interface Shape {
  readonly rows: number;
  readonly columns: number;
}

/** Levels of a prediction's magnitude above zero. */
const LEVEL_MAX = 12;
const RATE = 0.004;
/** Weight of "no move yet" in the mean move of a column or a row. */
const PRIOR = 1.5;
/** Brings the means to the size of the sums over a neighbourhood. */
const MEAN_SCALE = 4;

/**
 * Neighbours within a row, by their distance: (right, down) in the image that the columns are, if they
 * are one.
 */
const RINGS: readonly (readonly (readonly [right: number, down: number])[])[] = [
  symmetric([1, 0]),
  symmetric([1, 1]),
  symmetric([2, 0]),
  symmetric([2, 1]),
  symmetric([3, 0]),
  symmetric([2, 2]),
];

/** Predicts the coefficients of one set, in order. */
class Moves {
  private readonly predictor = new LinearPredictor(2 + RINGS.length, RATE);
  private readonly moves: Int16Array;
  private readonly columnSum: Float64Array;
  private readonly columnCount: Float64Array;
  private readonly rowSum: Float64Array;
  private readonly rowCount: Float64Array;
  private readonly offsets: readonly Int32Array[];
  private readonly signs: Int8Array;
  private weights: readonly number[] = [];
  /** How much is known of the coefficient, 0…LEVEL_MAX, and its likelier sign. */
  level = 0;
  negative = false;

  constructor(
    private readonly set: DirectionSet,
    { rows, columns }: Shape,
    stride: number,
    private readonly limit: number,
  ) {
    this.moves = new Int16Array(rows * columns);
    this.columnSum = new Float64Array(columns);
    this.columnCount = new Float64Array(columns);
    this.rowSum = new Float64Array(rows);
    this.rowCount = new Float64Array(rows);
    this.offsets = RINGS.map((ring) => Int32Array.from(offsetsOf(ring, stride)));
    const signs = new Signs(set);
    this.signs = new Int8Array(rows * columns);
    for (let index = 0; index < this.signs.length; index++) {
      this.signs[index] = signs.at(index); // in order: a block of Philox serves 128
    }
  }

  predict(k: number): void {
    const { moves, predictor, offsets, signs, columnSum, columnCount, rowSum, rowCount } = this;
    const columns = columnSum.length;
    this.weights = weightsOfDirection(this.set, k);
    const { inputs } = predictor;
    inputs.fill(0);
    for (const index of this.weights) {
      const sign = signs[index];
      const row = Math.floor(index / columns);
      const column = index - row * columns;
      inputs[0] += (sign * MEAN_SCALE * columnSum[column]) / (columnCount[column] + PRIOR);
      inputs[1] += (sign * MEAN_SCALE * rowSum[row]) / (rowCount[row] + PRIOR);
      for (let ring = 0; ring < offsets.length; ring++) {
        let sum = 0;
        const around = offsets[ring];
        for (let i = 0; i < around.length; i++) {
          const at = column + around[i];
          if (at >= 0 && at < columns) sum += moves[index + around[i]];
        }
        inputs[2 + ring] += sign * sum;
      }
    }
    const y = predictor.predict();
    this.level = levelOf(Math.abs(y), LEVEL_MAX / this.limit, LEVEL_MAX);
    this.negative = y < 0;
  }

  learn(coefficient: number): void {
    this.predictor.learn(coefficient);
    const columns = this.columnSum.length;
    for (const index of this.weights) {
      const move = coefficient * this.signs[index];
      const row = Math.floor(index / columns);
      const column = index - row * columns;
      this.moves[index] = move;
      this.columnSum[column] += move;
      this.columnCount[column] += 1;
      this.rowSum[row] += move;
      this.rowCount[row] += 1;
    }
  }
}

/**
 * Codes the coefficients of one set.
 * @param coefficients - [K]
 * @param stride - columns from a weight to the one below it in the image that the columns are; 0: none
 * @param limit - of a coefficient's magnitude
 */
export function encodeMoves(
  set: DirectionSet,
  shape: Shape,
  stride: number,
  limit: number,
  coefficients: Int16Array,
): Uint8Array {
  const encoder = new RangeEncoder();
  const coder = new PredictedCoder(LEVEL_MAX + 1);
  const moves = new Moves(set, shape, stride, limit);
  coefficients.forEach((coefficient, k) => {
    moves.predict(k);
    coder.encode(encoder, coefficient, moves.level, moves.negative);
    moves.learn(coefficient);
  });
  return encoder.finish();
}

/**
 * Reads what {@link encodeMoves} wrote.
 * @param coefficients - [K], receives them
 * @throws {ArtifactError} when the bytes have ended or a coefficient is above the limit
 */
export function decodeMoves(
  decoder: RangeDecoder,
  set: DirectionSet,
  shape: Shape,
  stride: number,
  limit: number,
  coefficients: Int16Array,
): void {
  const coder = new PredictedCoder(LEVEL_MAX + 1);
  const moves = new Moves(set, shape, stride, limit);
  for (let k = 0; k < coefficients.length; k++) {
    moves.predict(k);
    const value = coder.decode(decoder, moves.level, moves.negative);
    coefficients[k] = within(value, limit, decoder);
    moves.learn(value);
  }
}

/** Codes coefficients each by itself. */
export function encodePlain(coefficients: Int16Array): Uint8Array {
  const encoder = new RangeEncoder();
  const coder = new SignedCoder();
  for (const value of coefficients) coder.encode(encoder, value);
  return encoder.finish();
}

/**
 * Reads what {@link encodePlain} wrote.
 * @param coefficients - [K], receives them
 * @throws {ArtifactError} when the bytes have ended or a coefficient is above the limit
 */
export function decodePlain(decoder: RangeDecoder, limit: number, coefficients: Int16Array): void {
  const coder = new SignedCoder();
  for (let k = 0; k < coefficients.length; k++) {
    coefficients[k] = within(coder.decode(decoder), limit, decoder);
  }
}

function within(value: number, limit: number, decoder: RangeDecoder): number {
  if (Math.abs(value) <= limit) return value;
  throw decoder.fault(`expected a coefficient within ±${limit}, got ${value}`);
}

/** All mirror images of a neighbour. */
function symmetric([a, b]: readonly [number, number]): readonly (readonly [number, number])[] {
  const images = [
    [a, b],
    [-a, b],
    [a, -b],
    [-a, -b],
    [b, a],
    [-b, a],
    [b, -a],
    [-b, -a],
  ] as const;
  return images.filter(([x, y], i) => images.findIndex(([u, v]) => u === x && v === y) === i);
}

/** A ring's offsets in columns; without an image, of those beside alone. */
function offsetsOf(ring: readonly (readonly [number, number])[], stride: number): readonly number[] {
  return ring.filter(([, down]) => stride > 0 || down === 0).map(([right, down]) => right + down * stride);
}
