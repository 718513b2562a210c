// The row of a matrix that a byte names. op.ts defines what this computes.

import { Instruction, slotAt, tensorOf } from '../../backend/wasm/assembly/control';

const EMBEDDING_SHIFT: i32 = 8;

export function embedding(i: Instruction, rows: i32): void {
  const tensor = tensorOf(i);
  const off = tensor.off;
  const units = i.units;
  for (let row = 0; row < rows; row++) {
    const values = tensor.values + <usize>(<i32>load<u8>(slotAt(i.x) + <usize>row) * tensor.stride);
    const sums = slotAt(i.out) + <usize>((row * i.stride) << 2);
    for (let unit = 0; unit < units; unit++) {
      store<i32>(sums + <usize>(unit << 2), (load<i8>(values + <usize>unit) - off) << EMBEDDING_SHIFT);
    }
  }
}

/** Adds the errors of some rows to sums i32[256, stride]. */
export function alignEmbedding(i: Instruction, rows: i32, errors: usize, sums: usize): void {
  for (let row = 0; row < rows; row++) {
    const own = sums + <usize>((<i32>load<u8>(slotAt(i.x) + <usize>row) * tensorOf(i).stride) << 2);
    for (let unit = 0; unit < i.units; unit++) {
      const at = own + <usize>(unit << 2);
      store<i32>(at, load<i32>(at) + <i32>load<i16>(errors + <usize>((row * i.stride + unit) << 1)));
    }
  }
}
