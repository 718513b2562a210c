// The integer network's arithmetic: products by dot products, normalize + ReLU, loss.
// src/ternary and src/backend/reference define what these compute.

import { control, Layer, Scale } from './control';

/** Chunks of 16 products that an i16 lane can sum: 128 · 2·127 < 2^15. */
const SEGMENT_BYTES: i32 = 128 * 16;

/** Examples whose inputs stay in the first cache while the rows go by. */
const EXAMPLES_AT_ONCE: i32 = 16;

/** Fraction bits of the scale of a row. */
const SCALE_BITS: i32 = 7;

@inline
export function roundDiv(numerator: i32, denominator: i32): i32 {
  const half = denominator >> 1;
  return numerator < 0 ? -((half - numerator) / denominator) : (numerator + half) / denominator;
}

@inline
export function roundShift(value: i32, shift: i32): i32 {
  if (shift == 0) return value;
  const half = 1 << (shift - 1);
  return value < 0 ? -((half - value) >> shift) : (value + half) >> shift;
}

/** [Σ a, Σ b, Σ c, Σ d] of four i32x4. */
@inline
function sumLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

@inline
function widen(pairs: v128): v128 {
  return i32x4.extadd_pairwise_i16x8_s(pairs);
}

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

/** roundShift of four values by the same shift; `half` is 2^(shift − 1), or 0. */
@inline
export function roundShift4(v: v128, shift: i32, half: v128): v128 {
  const sign = i32x4.shr_s(v, 31);
  const magnitude = i32x4.shr_u(i32x4.add(i32x4.abs(v), half), shift);
  return i32x4.sub(v128.xor(magnitude, sign), sign);
}

/** Sums become pre-activations: z[examples, M] rounded by the weights' fraction bits, and by the scales of the rows. */
export function finishSums(layer: Layer, examples: i32, z: usize): void {
  const shift = layer.shift;
  const scales = layer.rowScales;
  if (shift == 0 && !scales) return;
  const half = i32x4.splat((1 << shift) >> 1);
  const halfScale = i32x4.splat(1 << (SCALE_BITS - 1));
  for (let example = 0; example < examples; example++) {
    for (let row = 0; row < layer.paddedRows; row += 4) {
      const at = z + <usize>((example * layer.outputStride + row) << 2);
      let v = roundShift4(v128.load(at), shift, half);
      if (scales) v = roundShift4(i32x4.mul(v, v128.load(scales + <usize>(row << 2))), SCALE_BITS, halfScale);
      v128.store(at, v);
    }
  }
}

@inline
export function total(lanes: v128): i32 {
  return (
    i32x4.extract_lane(lanes, 0) +
    i32x4.extract_lane(lanes, 1) +
    i32x4.extract_lane(lanes, 2) +
    i32x4.extract_lane(lanes, 3)
  );
}

/** Sums, mean and mean absolute value of z[M]. */
export function measure(z: usize, rows: i32, scale: Scale): void {
  const whole = rows & ~3;
  let lanes = i32x4.splat(0);
  for (let at = 0; at < whole; at += 4) lanes = i32x4.add(lanes, v128.load(z + <usize>(at << 2)));
  let sum = total(lanes);
  for (let at = whole; at < rows; at++) sum += load<i32>(z + <usize>(at << 2));
  scale.sum = sum;
  scale.mean = control.centred ? roundDiv(sum, rows) : 0;
  scale.absolute = absoluteSum(z, rows, scale.mean);
  scale.meanAbs = max(1, roundDiv(scale.absolute, rows));
}

function absoluteSum(z: usize, rows: i32, mean: i32): i32 {
  const whole = rows & ~3;
  const means = i32x4.splat(mean);
  let lanes = i32x4.splat(0);
  for (let at = 0; at < whole; at += 4) {
    lanes = i32x4.add(lanes, i32x4.abs(i32x4.sub(v128.load(z + <usize>(at << 2)), means)));
  }
  let sum = total(lanes);
  for (let at = whole; at < rows; at++) sum += abs(load<i32>(z + <usize>(at << 2)) - mean);
  return sum;
}

/** Factor and first saturating value of a normalization. */
@inline
export function reciprocalOf(meanAbs: i32): i32 {
  return roundDiv(control.gain << 22, meanAbs);
}

@inline
export function limitOf(meanAbs: i32): i32 {
  return (127 * meanAbs) / control.gain + 1;
}

/** One activation. */
@inline
export function quantize(z: i32, mean: i32, limit: i32, reciprocal: i32): i32 {
  return min(127, (min(max(z - mean, 0), limit) * reciprocal + (1 << 21)) >>> 22);
}

@inline
function quantize4(z: usize, means: v128, limits: v128, reciprocals: v128): v128 {
  let v = i32x4.sub(v128.load(z), means);
  v = i32x4.min_s(i32x4.max_s(v, i32x4.splat(0)), limits);
  return i32x4.shr_u(i32x4.add(i32x4.mul(v, reciprocals), i32x4.splat(1 << 21)), 22);
}

/** q[M] from z[M]; bytes up to outputStride are zeroed. */
export function normalize(z: usize, rows: i32, outputStride: i32, scale: Scale, q: usize): void {
  const mean = scale.mean;
  const reciprocal = reciprocalOf(scale.meanAbs);
  const limit = limitOf(scale.meanAbs);
  const means = i32x4.splat(mean);
  const limits = i32x4.splat(limit);
  const reciprocals = i32x4.splat(reciprocal);
  const whole = rows & ~15;
  for (let at = 0; at < whole; at += 16) {
    const from = z + <usize>(at << 2);
    const low = i16x8.narrow_i32x4_s(
      quantize4(from, means, limits, reciprocals),
      quantize4(from + 16, means, limits, reciprocals),
    );
    const high = i16x8.narrow_i32x4_s(
      quantize4(from + 32, means, limits, reciprocals),
      quantize4(from + 48, means, limits, reciprocals),
    );
    v128.store(q + <usize>at, i8x16.min_u(i8x16.narrow_i16x8_u(low, high), i8x16.splat(127)));
  }
  for (let at = whole; at < rows; at++) {
    store<u8>(q + <usize>at, quantize(load<i32>(z + <usize>(at << 2)), mean, limit, reciprocal));
  }
  for (let at = rows; at < outputStride; at++) store<u8>(q + <usize>at, 0);
}

@inline
function exp2Negative(exponent: i32): i32 {
  const whole = exponent >> 16;
  if (whole > 20) return 0;
  const at = control.exp2 + <usize>(((exponent >> 8) & 255) << 2);
  const high = load<i32>(at);
  const step = high - load<i32>(at, 4);
  return (high - ((step * (exponent & 255) + 128) >> 8)) >> whole;
}

@inline
function log2Fixed(value: i32): i32 {
  const whole = 31 - clz(value);
  const fraction = ((<u32>value << (31 - whole)) >>> 15) & 0xffff;
  const at = control.log2 + <usize>((fraction >>> 8) << 2);
  const low = load<i32>(at);
  const step = load<i32>(at, 4) - low;
  return (whole << 16) + low + ((step * <i32>(fraction & 255) + 128) >> 8);
}

/** The first largest of logits[C]. */
export function predict(logits: usize): i32 {
  let best = 0;
  for (let c = 1; c < control.classes; c++) {
    if (load<i32>(logits + <usize>(c << 2)) > load<i32>(logits + <usize>(best << 2))) best = c;
  }
  return best;
}

/** Cross-entropy of logits[C]; writes softmax − target to errors (i16[C]) unless it is 0. */
export function crossEntropy(logits: usize, label: i32, errors: usize): i32 {
  const classes = control.classes;
  const scale = control.logitScale;
  let top = i32.MIN_VALUE;
  for (let c = 0; c < classes; c++) top = max(top, load<i32>(logits + <usize>(c << 2)));
  top *= scale;
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += exp2Negative(top - load<i32>(logits + <usize>(c << 2)) * scale);
  if (errors) {
    for (let c = 0; c < classes; c++) {
      const weight = exp2Negative(top - load<i32>(logits + <usize>(c << 2)) * scale);
      const probability = <i32>((((<u32>weight) << 11) + <u32>(sum >> 1)) / <u32>sum);
      store<i16>(errors + <usize>(c << 1), probability - (c == label ? 2048 : 0));
    }
  }
  return log2Fixed(sum) - (20 << 16) + top - load<i32>(logits + <usize>(label << 2)) * scale;
}

/** The union of the bits of `length` bytes, a multiple of 16. */
export function unionOfBytes(at: usize, length: i32): i32 {
  let seen = i8x16.splat(0);
  for (let end = at + <usize>length; at < end; at += 16) seen = v128.or(seen, v128.load(at));
  const halves = i64x2.extract_lane(seen, 0) | i64x2.extract_lane(seen, 1);
  const words = <i32>(halves | (halves >> 32));
  const pairs = words | (words >> 16);
  return (pairs | (pairs >> 8)) & 255;
}
