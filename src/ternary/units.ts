/**
 * The units of activations, as fraction bits, and their limits: numbers of the arithmetic, which kernels and
 * definitions share. docs/arithmetic.md and docs/transformer.md say what each is for.
 */

import { roundShift } from './rounding.js';

/** The largest activation: u7. */
export const ACTIVATION_MAX = 127;

/** No layer may be wider: its index in a direction's entry takes 16 bits. */
export const WIDTH_MAX = 65_535;
/** Labels are bytes. */
export const CLASSES_MAX = 256;
/** |logit · logitScale| stays below this, so that differences of losses fit i32. */
export const EXPONENT_MAX = 2 ** 28;

/** A text is bytes. */
export const VOCABULARY = 256;

/** Fraction bits of the residual stream. */
export const RESIDUAL_BITS = 12;
/** The residual stream saturates at ±this, which float32 holds exactly. */
export const RESIDUAL_MAX = 2 ** 23 - 1;
/** The largest i8 activation. */
export const I8_MAX = 127;
/** Fraction bits of a normalized activation: one root mean square is 32. */
export const NORM_BITS = 5;
/** Fraction bits of queries, keys and values. */
export const HEAD_BITS = 4;
/** Fraction bits of what attention mixes from values. */
export const MIX_BITS = 5;
/** Fraction bits of the gate and of what it gates. */
export const GATE_BITS = 4;
/** Fraction bits of the gated hidden activations of a position, if none passes ±127; else up to three fewer. */
export const HIDDEN_BITS = 4;
/** A query, key or value is computed with so many more bits, and rounded once, after its rotation. */
export const FINER_BITS = 7;
/** Fraction bits of an embedding's value times its mantissa, before the exponent: ±127·127·2^8 < RESIDUAL_MAX. */
export const EMBEDDING_SHIFT = 8;
/** A logit is scaled to 2^−LOGIT_BITS bits, saturates at ±LOGIT_MAX, and counts 2^LOGIT_SHIFT units of a loss. */
export const LOGIT_BITS = 10;
export const LOGIT_MAX = 2 ** 21;
export const LOGIT_SHIFT = 6;

/**
 * A sum in the unit that follows: sum · mantissa / 2^exponent, rounded.
 * @param sum - |sum · mantissa| < 2^30
 * @param mantissa - 1…127
 * @param exponent - −2…127; from 31 on the result is 0
 */
export function rescale(sum: number, mantissa: number, exponent: number): number {
  if (exponent > 30) return 0;
  return exponent < 0 ? sum * mantissa * 2 ** -exponent : roundShift(sum * mantissa, exponent);
}

/**
 * The mantissa and exponent nearest to a real scale, which training takes as well.
 * @param scale - > 0; what is out of 2⁻¹²⁷·64 … 63.5 becomes the nearest that there is
 * @example scaleOfReal(0.3) // [77, 8]
 */
export function scaleOfReal(scale: number): [mantissa: number, exponent: number] {
  let mantissa = scale;
  let exponent = 0;
  while (mantissa < 63.5 && exponent < 127) {
    mantissa *= 2;
    exponent++;
  }
  while (exponent < 1) {
    mantissa /= 2;
    exponent++;
  }
  return [Math.max(1, Math.min(127, Math.floor(mantissa + 0.5))), exponent];
}

/** ±127. */
export function clipI8(value: number): number {
  return Math.max(-I8_MAX, Math.min(I8_MAX, value));
}

/** The residual stream after an addition. */
export function saturate(value: number): number {
  return Math.max(-RESIDUAL_MAX, Math.min(RESIDUAL_MAX, value));
}
