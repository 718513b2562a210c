/** The gate of the feed-forward: silu(gate) · up by a table of silu over the 255 values of an i8. */

import { roundShift } from '../../ternary/rounding.js';
import { exp } from '../../ternary/series.js';
import { GATE_BITS, HIDDEN_BITS, I8_MAX } from '../../ternary/units.js';
import { type OpSpec, rowOf } from '../op.js';

/** Fraction bits of the table: silu(127/16) · 2^11 < 2^14. */
export const SILU_BITS = 11;

/** SILU[gate + 127] = silu(gate / 2^GATE_BITS) in 2⁻¹¹, rounded. */
export const SILU = siluTable();

/** By so many bits SILU[gate] · up is finer than 2^−HIDDEN_BITS. */
export const GATED_SHIFT = SILU_BITS + GATE_BITS - HIDDEN_BITS;

/**
 * The hidden activations of a position, SILU[gate] · up in the finest unit that has room for all of them.
 * @param gates - [F], i8 in 2^−GATE_BITS, and so are `ups`
 * @param hidden - receives [F], ±127
 * @returns 0…3: their unit is 2^(this − HIDDEN_BITS)
 */
export function siluGate(gates: Int8Array, ups: Int8Array, hidden: Int8Array): number {
  const products = Int32Array.from(gates, (gate, i) => SILU[gate + I8_MAX] * ups[i]);
  const coarser = coarserBits(products.reduce((most, product) => Math.max(most, Math.abs(product)), 0));
  products.forEach((product, i) => (hidden[i] = roundShift(product, GATED_SHIFT + coarser)));
  return coarser;
}

/** How many bits coarser than HIDDEN_BITS the unit must be; 3 is enough for 127·SILU[254] < 127.5·2^14. */
function coarserBits(largest: number): number {
  let coarser = 0;
  while (roundShift(largest, GATED_SHIFT + coarser) > I8_MAX) coarser++;
  return coarser;
}

function siluTable(): Int16Array {
  return Int16Array.from({ length: 2 * I8_MAX + 1 }, (_, i) => {
    const x = (i - I8_MAX) / 2 ** GATE_BITS;
    const scaled = (x / (1 + exp(-x))) * 2 ** SILU_BITS;
    return scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
  });
}

/** The most bits that hidden activations may be coarser. */
const COARSER_MAX = 3;

export const gate: OpSpec<'gate'> = {
  bound: () => [I8_MAX, COARSER_MAX],

  run(_, at): void {
    const [gates, ups] = [at.input<Int8Array>(0), at.input<Int8Array>(1)];
    const coarser = at.output<Uint8Array>(1); // [rows, 1]
    const width = gates.length / at.rows;
    for (let row = 0; row < at.rows; row++) {
      const hidden = rowOf(at.output<Int8Array>(0), row, width);
      coarser[row] = siluGate(rowOf(gates, row, width), rowOf(ups, row, width), hidden);
    }
  },
};
