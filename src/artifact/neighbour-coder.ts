/**
 * A matrix of trits coded in row-major order, each with regard to those around it that came before: in
 * its row, in the row above, in its column as a whole. The columns of a first layer are often the pixels
 * of an image, so neighbours above and below within the image count as well: trained weights of
 * neighbouring pixels are alike, and those of pixels that are always dark are zero. Two predictions are
 * made of a trit, of its value and of whether it is zero, and the two are the contexts of its bits.
 */

import { expected } from '../errors.js';
import { levelOf, LinearPredictor } from './linear-predictor.js';
import { KERNEL_TRITS, openRangeCodedKernel } from './kernels/range-coded.js';
import { neighbourOffsets } from './neighbours.js';
import { BitModel, type RangeDecoder, RangeEncoder } from './range-coder.js';

const VALUE_RATE = 0.004;
const NONZERO_RATE = 0.003;
/** Levels above zero of the predicted value, and how many of them "not zero" tells apart. */
const VALUE_LEVEL_MAX = 10;
const VALUE_LEVELS_SCALE = 8;
const TOLD_APART_MAX = 4;
/** Levels above zero of the predicted share that is not zero. */
const NONZERO_LEVEL_MAX = 20;

/** Inputs: of the value, neighbours and means; of "not zero", the same without signs and four more. */
const VALUE_INPUTS = 11;
const NONZERO_INPUTS = VALUE_INPUTS + 4;

/** Predicts the trits of a matrix, in order. */
class Neighbourhood {
  private readonly value = new LinearPredictor(VALUE_INPUTS, VALUE_RATE);
  private readonly nonzero = new LinearPredictor(NONZERO_INPUTS, NONZERO_RATE);
  private readonly zeroModels = models((NONZERO_LEVEL_MAX + 1) * (TOLD_APART_MAX + 1));
  private readonly signModels = models(VALUE_LEVEL_MAX + 1);
  private readonly columnSum: Int32Array;
  private readonly columnNonzeros: Int32Array;
  private readonly offsets: Int32Array;
  private rowSum = 0;
  private rowNonzeros = 0;
  private row = 0;
  private column = 0;
  /** For the trit at hand: the models of its bits, and the sign that is expected. */
  zeroModel: BitModel = this.zeroModels[0];
  signModel: BitModel = this.signModels[0];
  negative = false;

  constructor(
    private readonly trits: Int8Array,
    private readonly columns: number,
    stride: number,
  ) {
    this.columnSum = new Int32Array(columns);
    this.columnNonzeros = new Int32Array(columns);
    this.offsets = neighbourOffsets(stride, -columns); // which is out of reach
  }

  predict(): void {
    const { trits, columns, columnSum, columnNonzeros, offsets, row, column } = this;
    const index = row * columns + column;
    const values = this.value.inputs;
    const shares = this.nonzero.inputs;
    const neighbours = offsets.length;
    for (let i = 0; i < neighbours; i++) {
      const at = column + offsets[i];
      values[i] = at >= 0 && at < columns ? trits[index + offsets[i]] : 0;
    }
    values[neighbours] = row > 0 ? trits[index - columns] : 0;
    values[neighbours + 1] = columnSum[column] / (row + 2);
    values[neighbours + 2] = this.rowSum / (column + 8);
    for (let i = 0; i < VALUE_INPUTS; i++) shares[i] = Math.abs(values[i]);
    shares[VALUE_INPUTS] = 1;
    shares[VALUE_INPUTS + 1] = (columnNonzeros[column] + 0.5) / (row + 1);
    shares[VALUE_INPUTS + 2] = column + 1 < columns ? (columnNonzeros[column + 1] + 0.5) / (row + 1) : 0;
    shares[VALUE_INPUTS + 3] = (this.rowNonzeros + 2) / (column + 4);
    const value = this.value.predict();
    const valueLevel = levelOf(Math.abs(value), VALUE_LEVELS_SCALE, VALUE_LEVEL_MAX);
    const share = levelOf(this.nonzero.predict(), NONZERO_LEVEL_MAX, NONZERO_LEVEL_MAX);
    this.zeroModel = this.zeroModels[share * (TOLD_APART_MAX + 1) + Math.min(TOLD_APART_MAX, valueLevel)];
    this.signModel = this.signModels[valueLevel];
    this.negative = value < 0;
  }

  /** Takes in the trit that was predicted, and goes on to the next. */
  learn(trit: number): void {
    const nonzero = trit === 0 ? 0 : 1;
    this.value.learn(trit);
    this.nonzero.learn(nonzero);
    this.columnSum[this.column] += trit;
    this.columnNonzeros[this.column] += nonzero;
    this.rowSum += trit;
    this.rowNonzeros += nonzero;
    if (++this.column < this.columns) return;
    this.column = 0;
    this.row += 1;
    this.rowSum = 0;
    this.rowNonzeros = 0;
  }
}

/**
 * Codes a matrix of trits.
 * @param trits - [rows × columns]
 * @param stride - columns from a weight to the one below it in the image that the columns are; 0: none
 * @throws {ConfigError} when one is no trit
 */
export function encodeNeighbours(trits: Int8Array, columns: number, stride: number): Uint8Array {
  const encoder = new RangeEncoder();
  const around = new Neighbourhood(trits, columns, stride);
  for (const trit of trits) {
    if (trit < -1 || trit > 1) throw expected('trit', '-1, 0 or 1', trit);
    around.predict();
    encoder.encodeBit(around.zeroModel, trit === 0 ? 0 : 1);
    if (trit !== 0) encoder.encodeBit(around.signModel, trit < 0 === around.negative ? 0 : 1);
    around.learn(trit);
  }
  return encoder.finish();
}

/**
 * Reads what {@link encodeNeighbours} wrote.
 * @param trits - [rows × columns], receives them
 * @throws {ArtifactError} when the bytes have ended
 */
export function decodeNeighbours(
  decoder: RangeDecoder,
  trits: Int8Array,
  columns: number,
  stride: number,
): void {
  const kernel = trits.length < KERNEL_TRITS ? null : openRangeCodedKernel();
  if (kernel === null) decodeByDefinition(decoder, trits, columns, stride);
  else decoder.delegate((bytes, state) => kernel.neighbours(bytes, state, trits, columns, stride));
}

/** The same in JavaScript: what the kernel must compute. */
export function decodeByDefinition(
  decoder: RangeDecoder,
  trits: Int8Array,
  columns: number,
  stride: number,
): void {
  const around = new Neighbourhood(trits, columns, stride);
  for (let i = 0; i < trits.length; i++) {
    around.predict();
    let trit = 0;
    if (decoder.decodeBit(around.zeroModel) === 1) {
      trit = (decoder.decodeBit(around.signModel) === 0) === around.negative ? -1 : 1;
    }
    trits[i] = trit;
    around.learn(trit);
  }
}

function models(count: number): BitModel[] {
  return Array.from({ length: count }, () => new BitModel());
}
