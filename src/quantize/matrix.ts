/**
 * Quantizers of a trained matrix, on plain arrays: real weights [M, N] to the integers of a
 * precision. Nothing is trained here, so there are no gradients; the ste trainer has the same rules
 * with them.
 */

import { expected } from '../errors.js';
import type { LayerPrecision } from '../ternary/precision.js';
import { ABSMEAN, LEVELS, LLOYD_MAX, ROW_SCALE_MAX, type ThresholdRule, TWN } from './rules.js';

/** The precision that each quantizer makes; `-row` has a threshold or a step, and a scale, a row. */
export const MATRIX_QUANTIZERS = {
  absmean: 'ternary',
  twn: 'ternary',
  'lloyd-max': 'ternary',
  'absmean-row': 'ternary-row',
  'twn-row': 'ternary-row',
  'lloyd-max-row': 'ternary-row',
  int4: 'int4',
  'int4-row': 'int4-row',
  int8: 'int8',
  'int8-row': 'int8-row',
} as const satisfies Record<string, LayerPrecision>;

export type MatrixQuantizerName = keyof typeof MATRIX_QUANTIZERS;

/** The names. */
export const MATRIX_QUANTIZER_NAMES = Object.keys(MATRIX_QUANTIZERS) as MatrixQuantizerName[];

/** Real weights, row-major. */
export interface RealMatrix {
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns], finite. */
  readonly weights: Float64Array;
}

/** A layer's integers. */
export interface IntegerMatrix {
  readonly precision: LayerPrecision;
  /** [rows, columns]. */
  readonly weights: Int8Array;
  /** [rows], 1…127, for a precision with row scales. */
  readonly scales: Int8Array | null;
}

/**
 * Quantizes a matrix.
 * @param name - a key of {@link MATRIX_QUANTIZERS}
 * @throws {ConfigError} when there is no such quantizer
 * @example quantizeMatrix('absmean', { rows: 1, columns: 3, weights: Float64Array.of(0.1, -1, 1) }).weights // Int8Array.of(0, -1, 1)
 */
export function quantizeMatrix(name: string, matrix: RealMatrix): IntegerMatrix {
  switch (name as MatrixQuantizerName) {
    case 'absmean':
      return ternary(matrix, ABSMEAN);
    case 'twn':
      return ternary(matrix, TWN);
    case 'lloyd-max':
      return ternary(matrix, LLOYD_MAX);
    case 'absmean-row':
      return ternaryRows(matrix, ABSMEAN);
    case 'twn-row':
      return ternaryRows(matrix, TWN);
    case 'lloyd-max-row':
      return ternaryRows(matrix, LLOYD_MAX);
    case 'int4':
    case 'int8':
      return symmetric(matrix, name as 'int4' | 'int8');
    case 'int4-row':
      return symmetricRows(matrix, 'int4');
    case 'int8-row':
      return symmetricRows(matrix, 'int8');
    default:
      throw expected('quantizer', MATRIX_QUANTIZER_NAMES.join(', '), name);
  }
}

/** The scale of a row of trits may be rounded by this share: any from 16/127 of the largest on is. */
const SCALE_ROUNDING_MAX = 1 / 32;

/**
 * A matrix that is ternary already, whatever its scale: every row −s, 0, +s for an s of its own or of
 * the matrix. Exact but for the rounding of scales that differ, by at most a thirty-second.
 * @returns null when it is not
 */
export function exactTernary({ rows, columns, weights }: RealMatrix): IntegerMatrix | null {
  const magnitudes = new Float64Array(rows);
  for (let i = 0; i < weights.length; i++) {
    const magnitude = Math.abs(weights[i]);
    const row = Math.floor(i / columns);
    if (magnitude === 0 || magnitude === magnitudes[row]) continue;
    if (magnitudes[row] !== 0) return null;
    magnitudes[row] = magnitude;
  }
  const trits = Int8Array.from(weights, Math.sign);
  const sizes = new Set(magnitudes.filter((magnitude) => magnitude > 0));
  const unit = largestOf(magnitudes) / ROW_SCALE_MAX;
  for (const size of sizes) {
    if (Math.abs(Math.round(size / unit) * unit - size) > SCALE_ROUNDING_MAX * size) return null;
  }
  return sizes.size <= 1
    ? { precision: 'ternary', weights: trits, scales: null }
    : { precision: 'ternary-row', weights: trits, scales: relativeScales(magnitudes) };
}

function ternary({ weights }: RealMatrix, rule: ThresholdRule): IntegerMatrix {
  const trits = new Int8Array(weights.length);
  ternarize(weights, rule, trits);
  return { precision: 'ternary', weights: trits, scales: null };
}

/** The scale of a row is the mean magnitude of what is not zero: the best for its trits (Li & Liu, eq. 3). */
function ternaryRows({ rows, columns, weights }: RealMatrix, rule: ThresholdRule): IntegerMatrix {
  const trits = new Int8Array(weights.length);
  const magnitudes = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const part = weights.subarray(row * columns, (row + 1) * columns);
    const out = trits.subarray(row * columns, (row + 1) * columns);
    const kept = ternarize(part, rule, out);
    const sum = part.reduce((total, weight, i) => total + Math.abs(weight * out[i]), 0);
    magnitudes[row] = sum / Math.max(1, kept);
  }
  // A row that is worth less than half of the least scale is nearer to nothing.
  const least = largestOf(magnitudes) / ROW_SCALE_MAX / 2;
  magnitudes.forEach((magnitude, row) => {
    if (magnitude < least) trits.fill(0, row * columns, (row + 1) * columns);
  });
  return { precision: 'ternary-row', weights: trits, scales: relativeScales(magnitudes) };
}

/** Writes sign(w) where |w| > Δ, else 0; returns how many are not zero. */
function ternarize(weights: Float64Array, { factor, of }: ThresholdRule, out: Int8Array): number {
  const sum = weights.reduce((total, w) => total + (of === 'rms' ? w * w : Math.abs(w)), 0);
  const mean = sum / weights.length;
  const threshold = factor * (of === 'rms' ? Math.sqrt(mean) : mean);
  let kept = 0;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i];
    out[i] = Math.abs(w) > threshold ? Math.sign(w) : 0;
    kept += Math.abs(out[i]);
  }
  return kept;
}

/** w ≈ s·q with s = max|w| / L (absmax; Jacob et al. 2018, without a zero point). */
function symmetric({ weights }: RealMatrix, precision: 'int4' | 'int8'): IntegerMatrix {
  const step = largestOf(weights) / LEVELS[precision];
  return { precision, weights: Int8Array.from(weights, (w) => rounded(w, step)), scales: null };
}

/**
 * The same with a step a row. A row's scale is rounded up, and its weights are divided by the scale as
 * rounded: then the rounding costs levels, not accuracy.
 */
function symmetricRows({ rows, columns, weights }: RealMatrix, width: 'int4' | 'int8'): IntegerMatrix {
  const integers = new Int8Array(weights.length);
  const scales = new Int8Array(rows);
  const unit = largestOf(weights) / ROW_SCALE_MAX;
  for (let row = 0; row < rows; row++) {
    const part = weights.subarray(row * columns, (row + 1) * columns);
    // A hair below the next integer is that integer: a quotient's own rounding is no reason for one more.
    const scale = unit === 0 ? 1 : Math.ceil(largestOf(part) / unit - 1e-9);
    scales[row] = Math.min(ROW_SCALE_MAX, Math.max(1, scale));
    const step = (scales[row] * unit) / LEVELS[width];
    part.forEach((w, i) => {
      const q = rounded(w, step);
      integers[row * columns + i] = Math.max(-LEVELS[width], Math.min(LEVELS[width], q));
    });
  }
  return { precision: `${width}-row`, weights: integers, scales };
}

function largestOf(weights: Float64Array): number {
  return weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
}

/** w/step, half away from zero; 0 for a matrix of zeros. */
function rounded(w: number, step: number): number {
  return step === 0 ? 0 : Math.sign(w) * Math.floor(Math.abs(w) / step + 0.5);
}

/** Row scales as the network has them: integers 1…127, the largest row's 127. */
function relativeScales(magnitudes: Float64Array): Int8Array {
  const largest = largestOf(magnitudes);
  return Int8Array.from(magnitudes, (one) =>
    Math.max(1, largest === 0 ? 1 : Math.round((ROW_SCALE_MAX * one) / largest)),
  );
}
