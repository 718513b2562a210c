// Sums of queries or keys, scaled, turned by their position, rounded to i8. op.ts defines what this computes.

import { roundShift } from '../../backend/wasm/assembly/arithmetic';
import { grownTo, Instruction, own, slotAt } from '../../backend/wasm/assembly/control';
import { exponentOf, finer4, halfOf, mantissaOf } from '../rescale/wasm';

const ROTARY_SHIFT: i32 = 14 + 7;

@unmanaged
export class Rotary extends Instruction {
  scale: usize; // i8[2], mantissa and exponent
  headSize: i32;
  cosines: usize; // i16 [context, headSize / 2]
  sines: usize;
  finer: i32; // offset of i32 [stride]
}

export function rotary(i: Rotary, rows: i32): void {
  const mantissa = mantissaOf(i.scale);
  const exponent = exponentOf(i.scale);
  const half = halfOf(exponent);
  const units = i.units;
  const headSize = i.headSize;
  const pairs = headSize >> 1;
  const finer = own(i.finer);
  for (let row = 0; row < rows; row++) {
    const z = slotAt(i.x) + <usize>((row * i.inputStride) << 2);
    const to = slotAt(i.out) + <usize>(row * i.stride);
    for (let unit: usize = 0; unit < <usize>(units << 2); unit += 16) {
      v128.store(finer + unit, finer4(v128.load(z + unit), mantissa, exponent, half));
    }
    const table = <usize>(((max(0, grownTo) + row) * pairs) << 1);
    const cosines = i.cosines + table;
    const sines = i.sines + table;
    for (let first = 0; first < units; first += headSize) {
      for (let pair = 0; pair < pairs; pair++) {
        const c = <i32>load<i16>(cosines + <usize>(pair << 1));
        const s = <i32>load<i16>(sines + <usize>(pair << 1));
        const at = <usize>(first + 2 * pair);
        const a = load<i32>(finer + (at << 2));
        const b = load<i32>(finer + (at << 2), 4);
        store<i8>(to + at, clip(roundShift(a * c - b * s, ROTARY_SHIFT)));
        store<i8>(to + at, clip(roundShift(a * s + b * c, ROTARY_SHIFT)), 1);
      }
    }
  }
}

@inline
function clip(value: i32): i8 {
  return <i8>max(-127, min(127, value));
}
