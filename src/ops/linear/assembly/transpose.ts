// Transposition of bytes by rounds of zips: interleaving the halves of a 16 × 16 block four times.

import { control, own } from '../../../backend/wasm/assembly/control';

@inline
function zipLow8(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

@inline
function zipHigh8(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

@inline
export function zipLow16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

@inline
export function zipHigh16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** One round on a block of 16 × 16 bytes: rows k and k + 8 are interleaved to 2k, 2k + 1. */
@inline
function zipRound(from: usize, fromStride: usize, to: usize, toStride: usize): void {
  for (let k = 0; k < 8; k++) {
    const a = v128.load(from);
    const b = v128.load(from + 8 * fromStride);
    v128.store(to, zipLow8(a, b));
    v128.store(to + toStride, zipHigh8(a, b));
    from += fromStride;
    to += 2 * toStride;
  }
}

/** to[column, example] = from[example, column], 16 examples; `columns` is a multiple of 16. */
export function transposeBytes(from: usize, stride: i32, columns: i32, to: usize, toStride: i32): void {
  const a = own(control.block);
  const b = a + 256;
  for (let column = 0; column < columns; column += 16) {
    zipRound(from + <usize>column, stride, a, 16);
    zipRound(a, 16, b, 16);
    zipRound(b, 16, a, 16);
    zipRound(a, 16, to + <usize>(column * toStride), toStride);
  }
}
