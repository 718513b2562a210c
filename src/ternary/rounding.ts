/**
 * The two roundings of the integer network, both half away from zero, so that +x and −x
 * always round to mirror images (a plain `>>` floors and would bias antithetic differences).
 */

/**
 * Integer quotient rounded half away from zero.
 * @param numerator - integer, |numerator| + denominator/2 < 2^31
 * @param denominator - integer ≥ 1
 * @example roundDiv(-7, 2) // -4
 */
export function roundDiv(numerator: number, denominator: number): number {
  const magnitude = Math.floor((Math.abs(numerator) + (denominator >> 1)) / denominator);
  return numerator < 0 ? -magnitude : magnitude;
}

/**
 * Division by 2^shift, rounded half away from zero.
 * @param value - integer, |value| + 2^(shift−1) < 2^31
 * @param shift - 0…30
 * @example roundShift(-6, 2) // -2
 */
export function roundShift(value: number, shift: number): number {
  if (shift === 0) return value;
  const magnitude = (Math.abs(value) + (1 << (shift - 1))) >> shift;
  return value < 0 ? -magnitude : magnitude;
}

/** ⌈log₂ n⌉ of n ≥ 1. */
export function ceilLog2(n: number): number {
  return 32 - Math.clz32(n - 1);
}
