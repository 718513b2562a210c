// The sums of a head as logits. op.ts defines what this computes.

import { clamp4, roundShift4 } from '../../backend/wasm/assembly/arithmetic';
import { Instruction, slotAt } from '../../backend/wasm/assembly/control';
import { exponentOf, halfOf, mantissaOf, rescale4 } from '../rescale/wasm';

const LOGIT_MAX: i32 = 1 << 21;

@unmanaged
export class Logits extends Instruction {
  scale: usize; // i8[2], mantissa and exponent
  shift: i32; // of the sums, before they are scaled
}

export function logits(i: Logits, rows: i32): void {
  const mantissa = mantissaOf(i.scale);
  const exponent = exponentOf(i.scale);
  const half = halfOf(exponent);
  const shift = i.shift;
  const bytes = <usize>(i.units << 2);
  const halfShift = i32x4.splat((1 << shift) >> 1);
  for (let row = 0; row < rows; row++) {
    const at = <usize>((row * i.stride) << 2);
    const from = slotAt(i.x) + at;
    const to = slotAt(i.out) + at;
    for (let unit: usize = 0; unit < bytes; unit += 16) {
      const sums = roundShift4(v128.load(from + unit), shift, halfShift);
      v128.store(to + unit, clamp4(rescale4(sums, mantissa, exponent, half), LOGIT_MAX));
    }
  }
}
