// Sums in another unit. op.ts defines what this computes.

import { clamp4, roundShift4, storeBytes4, within4 } from '../../backend/wasm/assembly/arithmetic';
import { Instruction, slotAt } from '../../backend/wasm/assembly/control';

const FINER_BITS: i32 = 7;
const FINER_MAX: i32 = 1 << 14;

const TO_I32: i32 = 0;
const TO_I8: i32 = 1;
const TO_FINER_I8: i32 = 2;

@unmanaged
export class Rescale extends Instruction {
  scale: usize; // i8[2], mantissa and exponent
  to: i32;
}

@inline
export function mantissaOf(scale: usize): v128 {
  return i32x4.splat(<i32>load<i8>(scale));
}

@inline
export function exponentOf(scale: usize): i32 {
  return load<i8>(scale, 1);
}

/** What {@link rescale4} adds before it shifts. */
@inline
export function halfOf(exponent: i32): v128 {
  return i32x4.splat(exponent > 30 ? 0 : (1 << exponent) >> 1);
}

/** Four sums in the unit that follows: sum · mantissa / 2^exponent, rounded; exponent ≥ 0, from 31 on all is 0. */
@inline
export function rescale4(sums: v128, mantissa: v128, exponent: i32, half: v128): v128 {
  return exponent > 30 ? i32x4.splat(0) : roundShift4(i32x4.mul(sums, mantissa), exponent, half);
}

/** Four sums, FINER_BITS finer than i8. */
@inline
export function finer4(sums: v128, mantissa: v128, exponent: i32, half: v128): v128 {
  return clamp4(rescale4(sums, mantissa, exponent, half), FINER_MAX);
}

export function rescale(i: Rescale, rows: i32): void {
  const units = i.units;
  const bytes = i.to == TO_I32 ? 4 : 1;
  for (let row = 0; row < rows; row++) {
    const from = slotAt(i.x) + <usize>((row * i.inputStride) << 2);
    const to = slotAt(i.out) + <usize>(row * i.stride * bytes);
    if (i.to == TO_I32) rescaleRow(TO_I32, i.scale, units, from, to);
    else if (i.to == TO_I8) rescaleRow(TO_I8, i.scale, units, from, to);
    else rescaleRow(TO_FINER_I8, i.scale, units, from, to);
  }
}

/** One row. `kind` is constant where this is inlined. */
@inline
function rescaleRow(kind: i32, scale: usize, units: i32, from: usize, to: usize): void {
  const mantissa = mantissaOf(scale);
  const exponent = exponentOf(scale);
  const half = halfOf(exponent);
  const halfFiner = i32x4.splat(1 << (FINER_BITS - 1));
  const whole = units & ~3;
  for (let unit = 0; unit < units; unit += 4) {
    let v = v128.load(from + <usize>(unit << 2));
    if (kind == TO_I32) {
      v128.store(to + <usize>(unit << 2), rescale4(v, mantissa, exponent, half));
    } else {
      if (kind == TO_I8) v = rescale4(v, mantissa, exponent, half);
      else v = roundShift4(finer4(v, mantissa, exponent, half), FINER_BITS, halfFiner);
      v = clamp4(v, 127);
      // What pads bytes stays zero.
      if (unit == whole) v = v128.and(v, within4(whole, units));
      storeBytes4(to + <usize>unit, v);
    }
  }
}
