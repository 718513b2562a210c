/**
 * Cross-entropy in fixed point: softmax to the base 2 from two tables with linear
 * interpolation, losses in units of 2⁻¹⁶ bits.
 */

import { CLASSES_MAX, EXPONENT_MAX } from '../../ternary/units.js';
import { type OpSpec, requireBelow, rowOf } from '../op.js';
import { EXP2, LOG2, WEIGHT_BITS } from './tables.js';

/** Fraction bits of losses and exponents. */
export const LOSS_BITS = 16;
/** Fraction bits of a probability as the output layer's error uses it. */
export const PROBABILITY_BITS = 11;
/** Nats in one unit of a loss. */
export const NATS_PER_UNIT = Math.LN2 / 65_536;

/** What one example's logits say. */
export interface ExampleLoss {
  /** Cross-entropy in 2⁻¹⁶ bits, ≥ 0. */
  loss: number;
  /** The class with the largest logit, the first of equals. */
  prediction: number;
}

/**
 * 2^(−exponent/65536) in units of 2⁻²⁰.
 * @param exponent - ≥ 0, in 2⁻¹⁶
 */
export function exp2Negative(exponent: number): number {
  const whole = exponent >>> 16;
  if (whole > WEIGHT_BITS) return 0;
  const index = (exponent >>> 8) & 255;
  const high = EXP2[index];
  const step = high - EXP2[index + 1];
  return (high - ((step * (exponent & 255) + 128) >> 8)) >>> whole;
}

/**
 * log₂ of a positive integer in units of 2⁻¹⁶.
 * @param value - 1…2^31 − 1
 */
export function log2Fixed(value: number): number {
  const whole = 31 - Math.clz32(value);
  const fraction = ((value << (31 - whole)) >>> 15) & 0xffff; // mantissa without its leading one
  const index = fraction >>> 8;
  const low = LOG2[index];
  const step = LOG2[index + 1] - low;
  return whole * 65_536 + low + ((step * (fraction & 255) + 128) >> 8);
}

/**
 * Loss, prediction and (optionally) error of one example.
 * @param logits - [C], |logit · logitScale| < 2^28
 * @param label - 0…C − 1
 * @param error - [C] or null; receives softmax − target in units of 2⁻¹¹, −2048…2048: the exact
 *   alignment of each logit, a closed form and not a backward pass
 */
export function crossEntropy(
  logits: Int32Array,
  label: number,
  logitScale: number,
  error: Int16Array | null,
): ExampleLoss {
  let prediction = 0;
  for (let c = 1; c < logits.length; c++) {
    if (logits[c] > logits[prediction]) prediction = c;
  }
  const top = logits[prediction] * logitScale;
  let sum = 0; // 2^20 ≤ sum ≤ 256·2^20
  for (const logit of logits) sum += exp2Negative(top - logit * logitScale);
  const loss = log2Fixed(sum) - WEIGHT_BITS * 65_536 + top - logits[label] * logitScale;
  if (error) {
    for (let c = 0; c < logits.length; c++) {
      const weight = exp2Negative(top - logits[c] * logitScale);
      const probability = Math.floor((weight * 2 ** PROBABILITY_BITS + (sum >>> 1)) / sum); // numerator < 2^32
      error[c] = probability - (c === label ? 2 ** PROBABILITY_BITS : 0);
    }
  }
  return { loss, prediction };
}

export const loss: OpSpec<'loss'> = {
  bound({ attributes: { logitScale } }, [limit]) {
    requireBelow('exponents of the softmax', limit * logitScale, EXPONENT_MAX / 2 + 1);
    return [EXPONENT_MAX + 8 * 2 ** LOSS_BITS, CLASSES_MAX - 1];
  },

  run({ attributes: { logitScale } }, at): void {
    const logits = at.input(0); // [rows, C]
    const [losses, predictions] = [at.output(0), at.output(1)]; // [rows]
    const classes = logits.length / at.rows;
    for (let row = 0; row < at.rows; row++) {
      const one = crossEntropy(rowOf(logits, row, classes), at.labels[row], logitScale, null);
      losses[row] = one.loss;
      predictions[row] = one.prediction;
    }
  },
};
