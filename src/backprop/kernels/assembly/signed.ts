// The product of signed activations, −127…127, by trits or by integers of eight bits, forward, with
// float32 tensors at both ends. Relaxed SIMD multiplies signed bytes by unsigned ones: trits enter as
// 0, 1, 2, and the sum of the activations is taken off again.

import { toBytes, toFloats } from './layer';
import { roundUp, totalI32 } from './vector';

/** Examples that a product takes at a time. */
const TILE: i32 = 16;
/** Chunks of 16 products whose pairs, at most 2·2·127, an i16 lane can sum: 64 · 508 < 2^15. */
const SEGMENT_BYTES: i32 = 64 * 16;

/** Bytes of scratch that `signedLinear` needs. */
export function signedLinearScratch(inputs: i32, outputs: i32): i32 {
  const stride = roundUp(inputs, 16);
  const padded = roundUp(outputs, 4);
  return TILE * stride + padded * stride + TILE * padded * 4 + TILE * 4;
}

/** z[B, M] = x[B, N] · q[M, N]ᵀ; `wide` where q has more than trits. */
export function signedLinear(
  x: usize,
  q: usize,
  batch: i32,
  inputs: i32,
  outputs: i32,
  wide: bool,
  z: usize,
  scratch: usize,
): void {
  const stride = roundUp(inputs, 16);
  const padded = roundUp(outputs, 4);
  const tile = scratch;
  const weights = tile + <usize>(TILE * stride);
  const sums = weights + <usize>(padded * stride);
  const own = sums + <usize>(TILE * padded * 4); // of each example, the sum of its activations
  const offset = RELAXED && !wide;
  for (let row = 0; row < outputs; row++) {
    toBytes(q + <usize>((row * inputs) << 2), inputs, stride, weights + <usize>(row * stride));
  }
  memory.fill(weights + <usize>(outputs * stride), 0, (padded - outputs) * stride);
  if (offset) {
    const one = i8x16.splat(1);
    for (let at = weights; at < sums; at += 16) v128.store(at, i8x16.add(v128.load(at), one));
  }
  for (let first = 0; first < batch; first += TILE) {
    const count = min(TILE, batch - first);
    for (let example = 0; example < count; example++) {
      const from = x + <usize>(((first + example) * inputs) << 2);
      toBytes(from, inputs, stride, tile + <usize>(example * stride));
    }
    memory.fill(tile + <usize>(count * stride), 0, (TILE - count) * stride);
    if (offset) {
      for (let example = 0; example < TILE; example++) {
        store<i32>(own + <usize>(example << 2), sumOf(tile + <usize>(example * stride), stride));
      }
    }
    for (let row = 0; row < padded; row += 4) {
      for (let example = 0; example < count; example += 2) {
        const x0 = tile + <usize>(example * stride);
        const z0 = sums + <usize>((example * padded + row) << 2);
        if (offset) offsetBlock(x0, own + <usize>(example << 2), weights + <usize>(row * stride), stride, z0, padded << 2);
        else wideBlock(x0, weights + <usize>(row * stride), stride, z0, padded << 2);
      }
    }
    for (let example = 0; example < count; example++) {
      const to = z + <usize>(((first + example) * outputs) << 2);
      toFloats(sums + <usize>((example * padded) << 2), outputs, to);
    }
  }
}

/** [Σ a, Σ b, Σ c, Σ d] of four i32x4. */
@inline
function sumLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

/** Σ of signed bytes. */
function sumOf(bytes: usize, length: i32): i32 {
  let lanes = i32x4.splat(0);
  for (let at: usize = 0; at < <usize>length; at += 16) {
    lanes = i32x4.add(lanes, i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(v128.load(bytes + at))));
  }
  return totalI32(lanes);
}

/** Two examples by four rows of trits + 1. */
@inline
function offsetBlock(x0: usize, own: usize, w0: usize, stride: i32, z0: usize, zStride: i32): void {
  const x1 = x0 + <usize>stride;
  const w1 = w0 + <usize>stride;
  const w2 = w1 + <usize>stride;
  const w3 = w2 + <usize>stride;
  const zero = i32x4.splat(0);
  let a = zero;
  let b = zero;
  for (let from = 0; from < stride; from += SEGMENT_BYTES) {
    const to = <usize>min(stride, from + SEGMENT_BYTES);
    let a0 = zero;
    let a1 = zero;
    let a2 = zero;
    let a3 = zero;
    let b0 = zero;
    let b1 = zero;
    let b2 = zero;
    let b3 = zero;
    for (let at: usize = from; at < to; at += 16) {
      const u = v128.load(x0 + at);
      const v = v128.load(x1 + at);
      let w = v128.load(w0 + at);
      a0 = i16x8.add(a0, i16x8.relaxed_dot_i8x16_i7x16_s(u, w));
      b0 = i16x8.add(b0, i16x8.relaxed_dot_i8x16_i7x16_s(v, w));
      w = v128.load(w1 + at);
      a1 = i16x8.add(a1, i16x8.relaxed_dot_i8x16_i7x16_s(u, w));
      b1 = i16x8.add(b1, i16x8.relaxed_dot_i8x16_i7x16_s(v, w));
      w = v128.load(w2 + at);
      a2 = i16x8.add(a2, i16x8.relaxed_dot_i8x16_i7x16_s(u, w));
      b2 = i16x8.add(b2, i16x8.relaxed_dot_i8x16_i7x16_s(v, w));
      w = v128.load(w3 + at);
      a3 = i16x8.add(a3, i16x8.relaxed_dot_i8x16_i7x16_s(u, w));
      b3 = i16x8.add(b3, i16x8.relaxed_dot_i8x16_i7x16_s(v, w));
    }
    a = i32x4.add(a, sumLanes(widen(a0), widen(a1), widen(a2), widen(a3)));
    b = i32x4.add(b, sumLanes(widen(b0), widen(b1), widen(b2), widen(b3)));
  }
  v128.store(z0, i32x4.sub(a, v128.load32_splat(own)));
  v128.store(z0 + <usize>zStride, i32x4.sub(b, v128.load32_splat(own + 4)));
}

@inline
function widen(pairs: v128): v128 {
  return i32x4.extadd_pairwise_i16x8_s(pairs);
}

/** Two examples by four rows of signed bytes. */
@inline
function wideBlock(x0: usize, w0: usize, stride: i32, z0: usize, zStride: i32): void {
  const x1 = x0 + <usize>stride;
  const w1 = w0 + <usize>stride;
  const w2 = w1 + <usize>stride;
  const w3 = w2 + <usize>stride;
  const zero = i32x4.splat(0);
  let a0 = zero;
  let a1 = zero;
  let a2 = zero;
  let a3 = zero;
  let b0 = zero;
  let b1 = zero;
  let b2 = zero;
  let b3 = zero;
  for (let at: usize = 0; at < <usize>stride; at += 8) {
    const u = v128.load8x8_s(x0 + at);
    const v = v128.load8x8_s(x1 + at);
    let w = v128.load8x8_s(w0 + at);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(u, w));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(v, w));
    w = v128.load8x8_s(w1 + at);
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(u, w));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(v, w));
    w = v128.load8x8_s(w2 + at);
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(u, w));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(v, w));
    w = v128.load8x8_s(w3 + at);
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(u, w));
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(v, w));
  }
  v128.store(z0, sumLanes(a0, a1, a2, a3));
  v128.store(z0 + <usize>zStride, sumLanes(b0, b1, b2, b3));
}
