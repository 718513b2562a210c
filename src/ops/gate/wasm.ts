// silu(gate) · up in the finest unit that has room for a row. op.ts defines what this computes.

import { largestOf, roundShift, roundShift4, storeBytes4 } from '../../backend/wasm/assembly/arithmetic';
import { Instruction, own, slotAt } from '../../backend/wasm/assembly/control';

/** Bits by which gated products are finer than hidden activations at their finest. */
const GATED_SHIFT: i32 = 11;

@unmanaged
export class Gate extends Instruction {
  silu: usize; // i16[255]
  products: i32; // offset of i32 [stride]
}

export function gate(i: Gate, rows: i32): void {
  const units = i.units;
  const products = own(i.products);
  const center = i.silu + (127 << 1);
  for (let row = 0; row < rows; row++) {
    const gates = slotAt(i.x) + <usize>(row * i.inputStride);
    const ups = slotAt(i.y) + <usize>(row * i.inputStride);
    const to = slotAt(i.out) + <usize>(row * i.stride);
    let most = i32x4.splat(0);
    // What pads the rows is zero, and so are its products.
    for (let unit = 0; unit < units; unit += 4) {
      const at = gates + <usize>unit;
      const silu = i32x4(
        load<i16>(center + (<isize>load<i8>(at) << 1)),
        load<i16>(center + (<isize>load<i8>(at, 1) << 1)),
        load<i16>(center + (<isize>load<i8>(at, 2) << 1)),
        load<i16>(center + (<isize>load<i8>(at, 3) << 1)),
      );
      const up = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(ups + <usize>unit)));
      const product = i32x4.mul(silu, up);
      v128.store(products + <usize>(unit << 2), product);
      most = i32x4.max_s(most, i32x4.abs(product));
    }
    const coarser = coarserBits(largestOf(most));
    store<u8>(slotAt(i.more) + <usize>row, coarser);
    const shift = GATED_SHIFT + coarser;
    const half = i32x4.splat((1 << shift) >> 1);
    for (let unit = 0; unit < units; unit += 4) {
      storeBytes4(to + <usize>unit, roundShift4(v128.load(products + <usize>(unit << 2)), shift, half));
    }
  }
}

function coarserBits(largest: i32): i32 {
  let coarser = 0;
  while (roundShift(largest, GATED_SHIFT + coarser) > 127) coarser++;
  return coarser;
}
