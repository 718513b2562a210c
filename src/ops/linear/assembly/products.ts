// Products of u7 activations with weights, by dot products.

import { sumLanes, widen } from '../../../backend/wasm/assembly/arithmetic';

/** Chunks of 16 products that an i16 lane can sum: 128 · 2·127 < 2^15. */
const SEGMENT_BYTES: i32 = 128 * 16;

/** Examples whose inputs stay in the first cache while the rows go by. */
const EXAMPLES_AT_ONCE: i32 = 16;

/** z[examples, M] = x[examples, N]·Wᵀ for trits. Examples are taken by two, past the last one too. */
export function ternaryProduct(examples: i32, x: usize, w: usize, stride: i32, paddedRows: i32, z: usize, outputStride: i32): void {
  product(false, examples, x, w, stride, paddedRows, z, outputStride);
}

/** The same for weights of up to eight bits: no two products are summed in an i16. */
export function wideProduct(examples: i32, x: usize, w: usize, stride: i32, paddedRows: i32, z: usize, outputStride: i32): void {
  product(true, examples, x, w, stride, paddedRows, z, outputStride);
}

/**
 * A block is 2 examples × 4 rows: eight sums, one load of four weight vectors shared by both
 * examples. `wide` is constant where this is inlined.
 */
@inline
function product(wide: bool, examples: i32, x: usize, w: usize, stride: i32, paddedRows: i32, z: usize, outputStride: i32): void {
  for (let first = 0; first < examples; first += EXAMPLES_AT_ONCE) {
    const end = min(examples, first + EXAMPLES_AT_ONCE);
    for (let row = 0; row < paddedRows; row += 4) {
      const w0 = w + <usize>(row * stride);
      for (let example = first; example < end; example += 2) {
        const x0 = x + <usize>(example * stride);
        const z0 = z + <usize>((example * outputStride + row) << 2);
        const z1 = z0 + <usize>(outputStride << 2);
        for (let from = 0; from < stride; from += SEGMENT_BYTES) {
          const to = min(stride, from + SEGMENT_BYTES);
          block(wide, x0, w0, stride, from, to, z0, z1);
        }
      }
    }
  }
}

@inline
function block(wide: bool, x0: usize, w0: usize, stride: i32, from: i32, to: i32, z0: usize, z1: usize): void {
  const x1 = x0 + <usize>stride;
  const w1 = w0 + <usize>stride;
  const w2 = w1 + <usize>stride;
  const w3 = w2 + <usize>stride;
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  if (RELAXED && !wide) {
    for (let at: usize = from; at < <usize>to; at += 16) {
      const a = v128.load(x0 + at);
      const b = v128.load(x1 + at);
      let v = v128.load(w0 + at);
      a0 = i16x8.add(a0, i16x8.relaxed_dot_i8x16_i7x16_s(v, a));
      b0 = i16x8.add(b0, i16x8.relaxed_dot_i8x16_i7x16_s(v, b));
      v = v128.load(w1 + at);
      a1 = i16x8.add(a1, i16x8.relaxed_dot_i8x16_i7x16_s(v, a));
      b1 = i16x8.add(b1, i16x8.relaxed_dot_i8x16_i7x16_s(v, b));
      v = v128.load(w2 + at);
      a2 = i16x8.add(a2, i16x8.relaxed_dot_i8x16_i7x16_s(v, a));
      b2 = i16x8.add(b2, i16x8.relaxed_dot_i8x16_i7x16_s(v, b));
      v = v128.load(w3 + at);
      a3 = i16x8.add(a3, i16x8.relaxed_dot_i8x16_i7x16_s(v, a));
      b3 = i16x8.add(b3, i16x8.relaxed_dot_i8x16_i7x16_s(v, b));
    }
    a0 = widen(a0);
    a1 = widen(a1);
    a2 = widen(a2);
    a3 = widen(a3);
    b0 = widen(b0);
    b1 = widen(b1);
    b2 = widen(b2);
    b3 = widen(b3);
  } else {
    for (let at: usize = from; at < <usize>to; at += 8) {
      const a = v128.load8x8_u(x0 + at);
      const b = v128.load8x8_u(x1 + at);
      let v = v128.load8x8_s(w0 + at);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v, a));
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(v, b));
      v = v128.load8x8_s(w1 + at);
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v, a));
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(v, b));
      v = v128.load8x8_s(w2 + at);
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v, a));
      b2 = i32x4.add(b2, i32x4.dot_i16x8_s(v, b));
      v = v128.load8x8_s(w3 + at);
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v, a));
      b3 = i32x4.add(b3, i32x4.dot_i16x8_s(v, b));
    }
  }
  let a = sumLanes(a0, a1, a2, a3);
  let b = sumLanes(b0, b1, b2, b3);
  if (from > 0) {
    a = i32x4.add(a, v128.load(z0));
    b = i32x4.add(b, v128.load(z1));
  }
  v128.store(z0, a);
  v128.store(z1, b);
}
