// Root-mean-square normalization to i8. op.ts defines what this computes.

import {
  clamp4,
  largestOf,
  roundDiv,
  roundShift4,
  storeBytes4,
  total,
  within4,
} from '../../backend/wasm/assembly/arithmetic';
import { Instruction, slotAt } from '../../backend/wasm/assembly/control';

const RECIPROCAL_BITS: i32 = 19;

@unmanaged
export class RmsNorm extends Instruction {
  gain: i32; // rmsGain
  valueBits: i32; // rmsValueBits
}

export function rmsNorm(i: RmsNorm, rows: i32): void {
  const width = i.units;
  const valueBits = i.valueBits;
  const whole = width & ~3;
  const rest = within4(whole, width);
  for (let row = 0; row < rows; row++) {
    const x = slotAt(i.x) + <usize>((row * i.inputStride) << 2);
    const q = slotAt(i.out) + <usize>(row * i.stride);
    let most = i32x4.splat(0);
    for (let unit = 0; unit < whole; unit += 4) most = i32x4.max_s(most, i32x4.abs(v128.load(x + <usize>(unit << 2))));
    if (whole < width) most = i32x4.max_s(most, i32x4.abs(v128.and(v128.load(x + <usize>(whole << 2)), rest)));
    const largest = largestOf(most);
    const right = max(0, 32 - clz(largest) - valueBits);
    const left = max(0, valueBits - (32 - clz(largest)));
    const half = i32x4.splat((1 << right) >> 1);
    let lanes = i32x4.splat(0);
    for (let unit = 0; unit < whole; unit += 4) {
      const y = shifted(v128.load(x + <usize>(unit << 2)), right, left, half);
      lanes = i32x4.add(lanes, i32x4.mul(y, y));
    }
    if (whole < width) {
      const y = shifted(v128.and(v128.load(x + <usize>(whole << 2)), rest), right, left, half);
      lanes = i32x4.add(lanes, i32x4.mul(y, y));
    }
    const root = <i32>floor(sqrt(<f64>total(lanes)) + 0.5);
    const reciprocal = i32x4.splat(roundDiv(i.gain << RECIPROCAL_BITS, max(1, root)));
    const halfUnit = i32x4.splat(1 << (RECIPROCAL_BITS - 1));
    for (let unit = 0; unit < width; unit += 4) {
      let y = shifted(v128.load(x + <usize>(unit << 2)), right, left, half);
      if (unit == whole) y = v128.and(y, rest);
      storeBytes4(q + <usize>unit, clamp4(roundShift4(i32x4.mul(y, reciprocal), RECIPROCAL_BITS, halfUnit), 127));
    }
  }
}

@inline
function shifted(v: v128, right: i32, left: i32, half: v128): v128 {
  return i32x4.shl(roundShift4(v, right, half), left);
}
