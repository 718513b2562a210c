// The residual stream and what is added to it. op.ts defines what this computes.

import { clamp4 } from '../../backend/wasm/assembly/arithmetic';
import { Instruction, slotAt } from '../../backend/wasm/assembly/control';
import { exponentOf, halfOf, mantissaOf, rescale4 } from '../rescale/wasm';

const RESIDUAL_MAX: i32 = (1 << 23) - 1;
/** A scaled sum that passes this saturates the residual stream, whatever is there. */
const SATURATING: i32 = 1 << 24;

@unmanaged
export class Residual extends Instruction {
  scale: usize; // i8[2], mantissa and exponent
  coarse: i32; // whether a third input says how much coarser the sums are
}

export function residual(i: Residual, rows: i32): void {
  const mantissa = mantissaOf(i.scale);
  const bytes = <usize>(i.units << 2);
  for (let row = 0; row < rows; row++) {
    const at = <usize>((row * i.stride) << 2);
    const bits = i.coarse ? <i32>load<u8>(slotAt(i.z) + <usize>row) : 0;
    const exponent = max(0, exponentOf(i.scale) - bits);
    const left = max(0, bits - exponentOf(i.scale));
    const half = halfOf(exponent);
    const stream = slotAt(i.x) + at;
    const sums = slotAt(i.y) + at;
    const to = slotAt(i.out) + at;
    for (let unit: usize = 0; unit < bytes; unit += 16) {
      let v = rescale4(v128.load(sums + unit), mantissa, exponent, half);
      if (left > 0) v = i32x4.shl(clamp4(v, SATURATING), left);
      v128.store(to + unit, clamp4(i32x4.add(v128.load(stream + unit), v), RESIDUAL_MAX));
    }
  }
}
