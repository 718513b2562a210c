// Products of i8 activations with trits or eight-bit weights.
//
// Trits are stored as 0, 1, 2, which a relaxed dot product takes as its second operand; the sum of the activations
// is taken off again. Rows of weights and activations are padded to 16 bytes, the activations with zeros.

import { sumLanes, total, widen } from '../../../backend/wasm/assembly/arithmetic';

/** Chunks of 16 products that an i16 lane can sum: 64 · 2·2·127 < 2^15. */
const SEGMENT_BYTES: i32 = 64 * 16;

/** Σ x over a row of i8. */
export function sumBytes(x: usize, stride: i32): i32 {
  let sums = i32x4.splat(0);
  for (let end = x + <usize>stride; x < end; x += 16) {
    sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(v128.load(x))));
  }
  return total(sums);
}

/**
 * z[count, rows] = x[count, columns]·Wᵀ, rows by four: what is past the last one must be there to be read and written.
 * @param wide whether weights are bytes of their own; else trits, stored as 0, 1, 2
 */
export function signedProduct(wide: bool, count: i32, x: usize, w: usize, stride: i32, rows: i32, z: usize, zStride: i32): void {
  for (let row = 0; row < rows; row += 4) {
    const w0 = w + <usize>(row * stride);
    for (let at = 0; at < count; at += 2) {
      const x0 = x + <usize>(at * stride);
      const z0 = z + <usize>((at * zStride + row) << 2);
      const two = at + 1 < count;
      // Alone, the second is the first again, and is written over by it.
      const x1 = two ? x0 + <usize>stride : x0;
      const z1 = two ? z0 + <usize>(zStride << 2) : z0;
      if (wide) wideBlock(x0, x1, w0, stride, z0, z1);
      else if (two) tritBlock(x0, x1, w0, stride, z0, z1);
      else tritColumn(x0, w0, stride, z0);
    }
  }
  if (wide) return;
  for (let at = 0; at < count; at++) {
    const sum = i32x4.splat(sumBytes(x + <usize>(at * stride), stride));
    const z0 = z + <usize>((at * zStride) << 2);
    for (let row = 0; row < rows; row += 4) {
      const address = z0 + <usize>(row << 2);
      v128.store(address, i32x4.sub(v128.load(address), sum));
    }
  }
}

@inline
function wideBlock(x0: usize, x1: usize, w0: usize, stride: i32, z0: usize, z1: usize): void {
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
  for (let at: usize = 0; at < <usize>stride; at += 8) {
    const a = v128.load8x8_s(x0 + at);
    const b = v128.load8x8_s(x1 + at);
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
  v128.store(z1, sumLanes(b0, b1, b2, b3));
  v128.store(z0, sumLanes(a0, a1, a2, a3));
}

/** Sixteen products in pairs: activations by trits of 0, 1, 2. */
@inline
function dot(x: v128, w: v128): v128 {
  if (RELAXED) return i16x8.relaxed_dot_i8x16_i7x16_s(x, w);
  return i16x8.add(i16x8.extmul_low_i8x16_s(x, w), i16x8.extmul_high_i8x16_s(x, w));
}

@inline
function tritBlock(x0: usize, x1: usize, w0: usize, stride: i32, z0: usize, z1: usize): void {
  const w1 = w0 + <usize>stride;
  const w2 = w1 + <usize>stride;
  const w3 = w2 + <usize>stride;
  let sumsA = i32x4.splat(0);
  let sumsB = sumsA;
  for (let from = 0; from < stride; from += SEGMENT_BYTES) {
    const to = <usize>min(stride, from + SEGMENT_BYTES);
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = a0;
    let b1 = a0;
    let b2 = a0;
    let b3 = a0;
    for (let at: usize = from; at < to; at += 16) {
      const a = v128.load(x0 + at);
      const b = v128.load(x1 + at);
      let v = v128.load(w0 + at);
      a0 = i16x8.add(a0, dot(a, v));
      b0 = i16x8.add(b0, dot(b, v));
      v = v128.load(w1 + at);
      a1 = i16x8.add(a1, dot(a, v));
      b1 = i16x8.add(b1, dot(b, v));
      v = v128.load(w2 + at);
      a2 = i16x8.add(a2, dot(a, v));
      b2 = i16x8.add(b2, dot(b, v));
      v = v128.load(w3 + at);
      a3 = i16x8.add(a3, dot(a, v));
      b3 = i16x8.add(b3, dot(b, v));
    }
    sumsA = i32x4.add(sumsA, sumLanes(widen(a0), widen(a1), widen(a2), widen(a3)));
    sumsB = i32x4.add(sumsB, sumLanes(widen(b0), widen(b1), widen(b2), widen(b3)));
  }
  v128.store(z0, sumsA);
  v128.store(z1, sumsB);
}

/** One example: generation at a time, bound by the reading of the weights. */
@inline
function tritColumn(x0: usize, w0: usize, stride: i32, z0: usize): void {
  const w1 = w0 + <usize>stride;
  const w2 = w1 + <usize>stride;
  const w3 = w2 + <usize>stride;
  let sums = i32x4.splat(0);
  for (let from = 0; from < stride; from += SEGMENT_BYTES) {
    const to = <usize>min(stride, from + SEGMENT_BYTES);
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    for (let at: usize = from; at < to; at += 16) {
      const a = v128.load(x0 + at);
      a0 = i16x8.add(a0, dot(a, v128.load(w0 + at)));
      a1 = i16x8.add(a1, dot(a, v128.load(w1 + at)));
      a2 = i16x8.add(a2, dot(a, v128.load(w2 + at)));
      a3 = i16x8.add(a3, dot(a, v128.load(w3 + at)));
    }
    sums = i32x4.add(sums, sumLanes(widen(a0), widen(a1), widen(a2), widen(a3)));
  }
  v128.store(z0, sums);
}
