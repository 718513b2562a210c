/**
 * The precisions that a layer can have: which integers its weights are, and how its sums are
 * brought back to the range that trits give. A weight of four or eight bits is a fixed-point
 * number below one, and so is the scale of a row; therefore |z| ≤ 127·N at every precision,
 * and every bound that `networkOf` proves for trits holds for all of them.
 */

import { roundShift } from './rounding.js';

/** What the values of a tensor are. */
export type Values = 'trit' | 'int4' | 'int8' | 'scale';

/** The least and the largest value of each kind. Weights are symmetric: −w is a weight as well. */
export const VALUE_RANGES: Readonly<Record<Values, readonly [least: number, largest: number]>> = {
  trit: [-1, 1],
  int4: [-7, 7],
  int8: [-127, 127],
  scale: [1, 127],
};

/** Fraction bits of the scale of a row. */
export const SCALE_BITS = 7;

interface PrecisionShape {
  readonly values: Exclude<Values, 'scale'>;
  /** Fraction bits of a weight. */
  readonly shift: number;
  /** Whether each row has a scale of its own. */
  readonly rowScales: boolean;
}

/** What each precision is. */
export const PRECISIONS = {
  ternary: { values: 'trit', shift: 0, rowScales: false },
  int4: { values: 'int4', shift: 3, rowScales: false },
  int8: { values: 'int8', shift: 7, rowScales: false },
  'ternary-row': { values: 'trit', shift: 0, rowScales: true },
  'int4-row': { values: 'int4', shift: 3, rowScales: true },
  'int8-row': { values: 'int8', shift: 7, rowScales: true },
} as const satisfies Record<string, PrecisionShape>;

export type LayerPrecision = keyof typeof PRECISIONS;

/** Whether a value from outside names a precision. */
export function isPrecision(value: unknown): value is LayerPrecision {
  return typeof value === 'string' && Object.hasOwn(PRECISIONS, value);
}

/** Whether a value is one that a tensor of such values may hold. */
export function isWithin(values: Values, value: number): boolean {
  const [least, largest] = VALUE_RANGES[values];
  return value >= least && value <= largest;
}

/**
 * A pre-activation from its sum of products.
 * @param sum - Σ w·x, |sum| ≤ 127·127·N < 2^31
 * @param shift - fraction bits of the layer's weights
 * @param scale - of the row, 1…127, or null; |z · scale| ≤ 127·N·127 < 2^31
 * @returns z, |z| ≤ 127·N
 * @example finishSum(-1000, 3, 64) // -63, as -125 · 64 / 128 = -62.5
 */
export function finishSum(sum: number, shift: number, scale: number | null): number {
  const z = roundShift(sum, shift);
  return scale === null ? z : roundShift(z * scale, SCALE_BITS);
}
