/** The gate of the feed-forward: silu(gate) · up by a table of silu over the 255 values of an i8. */

import { roundShift } from './rounding.js';
import { exp } from './series.js';
import { clipI8, GATE_BITS, HIDDEN_BITS, I8_MAX } from './transformer.js';

/** Fraction bits of the table: silu(127/16) · 2^11 < 2^14. */
export const SILU_BITS = 11;

/** SILU[gate + 127] = silu(gate / 2^GATE_BITS) in 2⁻¹¹, rounded. */
export const SILU = siluTable();

/**
 * h = clip(roundShift(SILU[gate]·up, …)) in 2^−HIDDEN_BITS; the product is below 2^14·2^7.
 * @param gate - i8 in 2^−GATE_BITS, and so is `up`
 */
export function siluGate(gate: number, up: number): number {
  return clipI8(roundShift(SILU[gate + I8_MAX] * up, SILU_BITS + GATE_BITS - HIDDEN_BITS));
}

function siluTable(): Int16Array {
  return Int16Array.from({ length: 2 * I8_MAX + 1 }, (_, i) => {
    const x = (i - I8_MAX) / 2 ** GATE_BITS;
    const scaled = (x / (1 + exp(-x))) * 2 ** SILU_BITS;
    return scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
  });
}
