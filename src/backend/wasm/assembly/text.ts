// The transformer: windows of text, a thread each, and one more byte with a cache of keys and values.
// docs/transformer.md and src/ops define what this computes. All positions of a window go
// through a matrix together, so that its weights are read once.

import { crossEntropy, predict, roundDiv, roundShift, roundShift4, total } from './arithmetic';
import { control, scratchBase } from './control';
import { clamp4, rescale4, signedProduct } from './signed';

export const VOCABULARY: i32 = 256;
const RESIDUAL_MAX: i32 = (1 << 23) - 1;
const FINER_BITS: i32 = 7;
const FINER_MAX: i32 = 1 << 14;
const ROTARY_SHIFT: i32 = 14 + FINER_BITS;
export const EMBEDDING_SHIFT: i32 = 8;
const LOGIT_MAX: i32 = 1 << 21;
const LOGIT_SHIFT: i32 = 6;
const RECIPROCAL_BITS: i32 = 19;
const EXPONENT_BITS: i32 = 14;
const WEIGHT_BITS: i32 = 14;
/** Bits by which gated products are finer than hidden activations at their finest. */
const GATED_SHIFT: i32 = 11;
/** A scaled sum that passes this saturates the residual stream, whatever is there. */
const SATURATING: i32 = 1 << 24;
/** Matrices of a block, in model order. */
export const QUERY: i32 = 0;
export const KEY: i32 = 1;
export const VALUE: i32 = 2;
export const OUTPUT: i32 = 3;
export const GATE: i32 = 4;
export const UP: i32 = 5;
export const DOWN: i32 = 6;
export const MATRICES: i32 = 7;

/** Field order here and in ../text.ts must agree. */
@unmanaged
export class Text {
  width: i32;
  stride: i32; // width, padded to 16
  hidden: i32;
  hiddenStride: i32;
  heads: i32;
  keyHeads: i32;
  headSize: i32;
  keyStride: i32; // keyHeads · headSize, padded to 16
  factor: i32; // softmaxScale
  range: i32;
  shift: i32;
  headShift: i32;
  gain: i32; // rmsGain
  valueBits: i32; // rmsValueBits
  applications: i32;
  order: usize; // i32[applications] blocks
  matrices: usize; // Matrix[1 + 7·blocks + 1]: embedding, blocks, head
  head: i32; // its index
  cosines: usize; // i16 [T, headSize / 2]
  sines: usize;
  softmax: usize; // i16[256]
  silu: usize; // i16[255]
  length: i32; // positions of a window
  inputs: usize; // u8 [B, length]
  labels: usize; // u8 [B, length]
  keepLogits: usize; // i32 [B, length, 256], or 0
  caches: usize; // i8 [applications, 2, T, keyStride] of the text that grows
  cacheBytes: i32; // of one [T, keyStride]
  // offsets in a thread's scratch
  x: i32; // i32 [T, stride]
  n: i32; // i8 [T, stride]
  z: i32; // i32 [T, zStride]
  z2: i32; // i32 [T, zStride]
  q: i32; // i8 [T, stride]
  keys: i32; // i8 [T, keyStride]
  values: i32; // i8 [T, keyStride]
  mix: i32; // i8 [T, stride]
  h: i32; // i8 [T, hiddenStride]
  coarser: i32; // i32 [T], of each row of h
  weights: i32; // i32 [T]
  sums: i32; // i32 [headSize padded to 16]
  zStride: i32;
  // where node perturbation has room
  alignments: usize; // i32 [threads, alignmentCount], each matrix where its weights are
  alignmentCount: i32;
  firstWeights: usize; // address of the first matrix
  horizon: i32;
  kept: i32; // offset of Kept[applications], each keptStride bytes
  keptStride: i32;
  keptY: i32; // offsets in a Kept
  keptN: i32;
  keptN2: i32;
  keptQ: i32;
  keptKeys: i32;
  keptValues: i32;
  keptMix: i32;
  keptH: i32;
  keptCoarser: i32;
  // offsets in a thread's scratch
  base: i32; // i32 [T, zStride], sums of the site that is disturbed
  other: i32; // i32 [T, zStride], of the gate or of what it gates, whichever is not
  sizes: i32; // i32 [T]
  signs: i32; // i8 [T, zStride]
  errors: i32; // i16 [T, zStride]
  pairs: i32; // i16 [T / 2, zStride, 2], inputs of two positions
  errorPairs: i32; // i16 [zStride, T / 2, 2]
  plus: i32; // i32 [T], losses
  minus: i32;
  words: i32; // u32 [4]
}

@unmanaged
export class Matrix {
  rows: i32;
  columns: i32;
  stride: i32;
  weights: usize;
  mantissa: i32;
  exponent: i32;
  wide: i32; // whether weights are bytes, not trits stored as 0, 1, 2
}

@inline
export function text(): Text {
  return changetype<Text>(control.text);
}

@inline
export function matrixAt(index: i32): Matrix {
  return changetype<Matrix>(text().matrices + <usize>(index * offsetof<Matrix>()));
}

/** One window: losses and predictions of all its positions. */
export function textTile(tile: i32): void {
  const t = text();
  const length = t.length;
  const bytes = t.inputs + <usize>(tile * length);
  for (let position = 0; position < length; position++) embed(load<u8>(bytes + <usize>position), position);
  applyWindow(0);
  for (let position = 0; position < length; position++) {
    const logits = scratchBase + <usize>t.z + <usize>((position * t.zStride) << 2);
    const at = tile * length + position;
    const label = load<u8>(t.labels + <usize>at);
    store<i32>(control.losses + <usize>(at << 2), crossEntropy(logits, label, 0));
    store<u8>(control.predictions + <usize>at, predict(logits));
    if (t.keepLogits) memory.copy(t.keepLogits + <usize>at * (VOCABULARY << 2), logits, VOCABULARY << 2);
  }
}

/** The applications from one on, and the head, on whole windows. */
export function applyWindow(application: i32): void {
  const t = text();
  for (; application < t.applications; application++) {
    const first = firstOf(application);
    applyBlock(first, 0, t.length, scratchBase + <usize>t.keys, scratchBase + <usize>t.values);
  }
  logitsOf(t.length);
}

/** Index of the first matrix of the block that an application applies. */
@inline
export function firstOf(application: i32): i32 {
  return 1 + MATRICES * load<i32>(text().order + <usize>(application << 2));
}

/** The byte at a position of a text that grows; leaves the logits at control.logits. */
export function textNext(byte: i32, position: i32): void {
  const t = text();
  embed(byte, 0);
  for (let application = 0; application < t.applications; application++) {
    const first = firstOf(application);
    const keys = t.caches + <usize>(2 * application) * <usize>t.cacheBytes;
    applyBlock(first, position, 1, keys, keys + <usize>t.cacheBytes);
  }
  logitsOf(1);
  memory.copy(control.logits, scratchBase + <usize>t.z, VOCABULARY << 2);
}

/** The residual stream of a position begins with the byte's row. */
function embed(byte: i32, position: i32): void {
  const t = text();
  const x = scratchBase + <usize>t.x + <usize>((position * t.stride) << 2);
  embeddingSums(byte, x);
  scaleEmbedding(x);
}

/** Values of a byte's row, as sums. */
export function embeddingSums(byte: i32, sums: usize): void {
  const matrix = matrixAt(0);
  const row = matrix.weights + <usize>(byte * matrix.stride);
  const off = matrix.wide ? 0 : 1;
  for (let unit = 0; unit < matrix.columns; unit++) {
    store<i32>(sums + <usize>(unit << 2), (load<i8>(row + <usize>unit) - off) << EMBEDDING_SHIFT);
  }
}

/** Sums of the embedding as the residual stream begins, in place. */
export function scaleEmbedding(x: usize): void {
  const matrix = matrixAt(0);
  for (let unit = 0; unit < matrix.columns; unit++) {
    const at = x + <usize>(unit << 2);
    store<i32>(at, matrix.exponent > 30 ? 0 : roundShift(load<i32>(at) * matrix.mantissa, matrix.exponent));
  }
}

/** A block on `count` positions from `position` on; their keys and values join those before them. */
function applyBlock(first: i32, position: i32, count: i32, keys: usize, values: usize): void {
  attentionInputs(first, position, count, keys, values);
  mixValues(first, position, count, keys, values);
  feedForward(first, count);
}

/** Queries, keys and values from the residual stream. */
export function attentionInputs(first: i32, position: i32, count: i32, keys: usize, values: usize): void {
  const t = text();
  const n = scratchBase + <usize>t.n;
  const z = scratchBase + <usize>t.z;
  const q = scratchBase + <usize>t.q;
  normalize(count);
  product(matrixAt(first + QUERY), count, n, z);
  for (let i = 0; i < count; i++) turn(matrixAt(first + QUERY), z, i, position + i, q + <usize>(i * t.stride));
  product(matrixAt(first + KEY), count, n, z);
  for (let i = 0; i < count; i++) {
    turn(matrixAt(first + KEY), z, i, position + i, keys + <usize>((position + i) * t.keyStride));
  }
  product(matrixAt(first + VALUE), count, n, z);
  for (let i = 0; i < count; i++) {
    narrow(matrixAt(first + VALUE), z, i, values + <usize>((position + i) * t.keyStride));
  }
}

/** The block from its queries, keys and values to the residual stream. */
export function mixValues(first: i32, position: i32, count: i32, keys: usize, values: usize): void {
  const t = text();
  const q = scratchBase + <usize>t.q;
  const mix = scratchBase + <usize>t.mix;
  for (let i = 0; i < count; i++) {
    for (let head = 0; head < t.heads; head++) {
      const offset = <usize>(((head * t.keyHeads) / t.heads) * t.headSize);
      const at = <usize>(i * t.stride + head * t.headSize);
      attend(q + at, keys + offset, values + offset, position + i + 1, mix + at);
    }
  }
  const z = scratchBase + <usize>t.z;
  product(matrixAt(first + OUTPUT), count, mix, z);
  add(matrixAt(first + OUTPUT), count, z, scratchBase + <usize>t.x);
}

export function feedForward(first: i32, count: i32): void {
  const t = text();
  const n = scratchBase + <usize>t.n;
  normalize(count);
  product(matrixAt(first + GATE), count, n, scratchBase + <usize>t.z);
  product(matrixAt(first + UP), count, n, scratchBase + <usize>t.z2);
  gated(first, count);
}

/** The block from the sums of the gate and of what it gates to the residual stream. */
export function gated(first: i32, count: i32): void {
  const t = text();
  const z = scratchBase + <usize>t.z;
  const h = scratchBase + <usize>t.h;
  const gates = matrixAt(first + GATE);
  for (let i = 0; i < count; i++) gate(gates, matrixAt(first + UP), z, scratchBase + <usize>t.z2, i, h);
  product(matrixAt(first + DOWN), count, h, z);
  addHidden(matrixAt(first + DOWN), count, z, scratchBase + <usize>t.coarser);
}

@inline
export function product(matrix: Matrix, count: i32, x: usize, z: usize): void {
  signedProduct(matrix.wide != 0, count, x, matrix.weights, matrix.stride, matrix.rows, z, text().zStride);
}

@inline
function halfOf(exponent: i32): v128 {
  return i32x4.splat(exponent > 30 ? 0 : (1 << exponent) >> 1);
}

/** n[count, W] from x: one root mean square becomes 32. What pads a row stays zero. */
export function normalize(count: i32): void {
  const t = text();
  const width = t.width;
  const whole = width & ~3;
  for (let i = 0; i < count; i++) {
    const x = scratchBase + <usize>t.x + <usize>((i * t.stride) << 2);
    const n = scratchBase + <usize>t.n + <usize>(i * t.stride);
    let most = i32x4.splat(0);
    for (let unit = 0; unit < whole; unit += 4) most = i32x4.max_s(most, i32x4.abs(v128.load(x + <usize>(unit << 2))));
    let largest = largestOf(most);
    for (let unit = whole; unit < width; unit++) largest = max(largest, abs(load<i32>(x + <usize>(unit << 2))));
    const right = max(0, 32 - clz(largest) - t.valueBits);
    const left = max(0, t.valueBits - (32 - clz(largest)));
    const half = i32x4.splat((1 << right) >> 1);
    let lanes = i32x4.splat(0);
    // The rows of x are padded, with zeros: they add nothing.
    for (let unit = 0; unit < width; unit += 4) {
      const y = shifted(v128.load(x + <usize>(unit << 2)), right, left, half);
      lanes = i32x4.add(lanes, i32x4.mul(y, y));
    }
    const root = <i32>floor(sqrt(<f64>total(lanes)) + 0.5);
    const reciprocal = i32x4.splat(roundDiv(t.gain << RECIPROCAL_BITS, max(1, root)));
    const halfUnit = i32x4.splat(1 << (RECIPROCAL_BITS - 1));
    for (let unit = 0; unit < width; unit += 4) {
      const y = shifted(v128.load(x + <usize>(unit << 2)), right, left, half);
      const v = clamp4(roundShift4(i32x4.mul(y, reciprocal), RECIPROCAL_BITS, halfUnit), 127);
      const words = i16x8.narrow_i32x4_s(v, v);
      v128.store32_lane(n + <usize>unit, i8x16.narrow_i16x8_s(words, words), 0);
    }
  }
}

@inline
function shifted(v: v128, right: i32, left: i32, half: v128): v128 {
  return i32x4.shl(roundShift4(v, right, half), left);
}

/** Row i of the sums, scaled and clipped to ±2^14, in place; seven bits finer than i8. */
@inline
function finer(matrix: Matrix, z: usize): void {
  const mantissa = i32x4.splat(matrix.mantissa);
  const half = halfOf(matrix.exponent);
  for (let unit = 0; unit < matrix.rows; unit += 4) {
    const at = z + <usize>(unit << 2);
    v128.store(at, clamp4(rescale4(v128.load(at), mantissa, matrix.exponent, half), FINER_MAX));
  }
}

/** Queries or keys of a position: scaled, turned, rounded to i8. */
export function turn(matrix: Matrix, sums: usize, i: i32, position: i32, to: usize): void {
  const t = text();
  const z = sums + <usize>((i * t.zStride) << 2);
  finer(matrix, z);
  const pairs = t.headSize >> 1;
  const table = <usize>((position * pairs) << 1);
  for (let first = 0; first < matrix.rows; first += t.headSize) {
    for (let pair = 0; pair < pairs; pair++) {
      const c = <i32>load<i16>(t.cosines + table + <usize>(pair << 1));
      const s = <i32>load<i16>(t.sines + table + <usize>(pair << 1));
      const at = first + 2 * pair;
      const a = load<i32>(z + <usize>(at << 2));
      const b = load<i32>(z + <usize>(at << 2), 4);
      store<i8>(to + <usize>at, clip(roundShift(a * c - b * s, ROTARY_SHIFT)));
      store<i8>(to + <usize>at, clip(roundShift(a * s + b * c, ROTARY_SHIFT)), 1);
    }
  }
}

@inline
function clip(value: i32): i8 {
  return <i8>max(-127, min(127, value));
}

/** Values of a position: scaled, rounded to i8. */
export function narrow(matrix: Matrix, sums: usize, i: i32, to: usize): void {
  const z = sums + <usize>((i * text().zStride) << 2);
  finer(matrix, z);
  for (let unit = 0; unit < matrix.rows; unit++) {
    store<i8>(to + <usize>unit, clip(roundShift(load<i32>(z + <usize>(unit << 2)), FINER_BITS)));
  }
}

/** One head of one position over `positions` keys and values. */
function attend(query: usize, keys: usize, values: usize, positions: i32, mix: usize): void {
  const t = text();
  const size = t.headSize;
  const eights = size & ~7;
  const stride = <usize>t.keyStride;
  const weights = scratchBase + <usize>t.weights;
  let largest = i32.MIN_VALUE;
  for (let position = 0; position < positions; position++) {
    const key = keys + <usize>position * stride;
    let lanes = i32x4.splat(0);
    for (let at = 0; at < eights; at += 8) {
      lanes = i32x4.add(lanes, i32x4.dot_i16x8_s(v128.load8x8_s(query + <usize>at), v128.load8x8_s(key + <usize>at)));
    }
    let score = total(lanes);
    for (let at = eights; at < size; at++) score += <i32>load<i8>(query + <usize>at) * <i32>load<i8>(key + <usize>at);
    store<i32>(weights + <usize>(position << 2), score);
    largest = max(largest, score);
  }
  let sum = 0;
  for (let position = 0; position < positions; position++) {
    const at = weights + <usize>(position << 2);
    const exponent = roundShift(min(largest - load<i32>(at), t.range) * t.factor, EXPONENT_BITS);
    const octaves = (exponent >> 8) + t.shift;
    const weight = octaves > WEIGHT_BITS ? 0 : <i32>load<i16>(t.softmax + <usize>((exponent & 255) << 1)) >> octaves;
    store<i32>(at, weight);
    sum += weight;
  }
  const sums = scratchBase + <usize>t.sums;
  for (let at = 0; at < size; at += 8) {
    let low = i32x4.splat(0);
    let high = low;
    for (let position = 0; position < positions; position++) {
      const weight = i16x8.splat(<i16>load<i32>(weights + <usize>(position << 2)));
      const value = v128.load8x8_s(values + <usize>position * stride + <usize>at); // past the head: not used
      low = i32x4.add(low, i32x4.extmul_low_i16x8_s(weight, value));
      high = i32x4.add(high, i32x4.extmul_high_i16x8_s(weight, value));
    }
    v128.store(sums + <usize>(at << 2), low);
    v128.store(sums + <usize>(at << 2), high, 16);
  }
  const divisor = f64x2.splat(<f64>sum);
  const half = i32x4.splat(sum >> 1);
  for (let at = 0; at < size; at += 4) {
    const v = i32x4.shl(v128.load(sums + <usize>(at << 2)), 1);
    const numerator = i32x4.add(i32x4.abs(v), half); // below 2^31; the quotients of doubles round to no other integer
    const low = f64x2.div(f64x2.convert_low_i32x4_s(numerator), divisor);
    const high = f64x2.div(f64x2.convert_low_i32x4_s(v128.shuffle<i32>(numerator, numerator, 2, 3, 2, 3)), divisor);
    const quotient = v128.shuffle<i64>(
      i32x4.trunc_sat_f64x2_s_zero(low),
      i32x4.trunc_sat_f64x2_s_zero(high),
      0,
      2,
    );
    const sign = i32x4.shr_s(v, 31);
    const signed = clamp4(i32x4.sub(v128.xor(quotient, sign), sign), 127);
    for (let lane = 0; lane < min(4, size - at); lane++) {
      const value = lane == 0 ? i32x4.extract_lane(signed, 0) : lane == 1 ? i32x4.extract_lane(signed, 1) : lane == 2 ? i32x4.extract_lane(signed, 2) : i32x4.extract_lane(signed, 3);
      store<i8>(mix + <usize>(at + lane), <i8>value);
    }
  }
}

/** h = silu(gate)·up of a position, in the finest unit that has room for all of them. */
function gate(gates: Matrix, ups: Matrix, z: usize, z2: usize, i: i32, h: usize): void {
  const t = text();
  const row = <usize>((i * t.zStride) << 2);
  const to = h + <usize>(i * t.hiddenStride);
  const mantissaG = i32x4.splat(gates.mantissa);
  const mantissaU = i32x4.splat(ups.mantissa);
  const halfG = halfOf(gates.exponent);
  const halfU = halfOf(ups.exponent);
  const center = t.silu + (127 << 1);
  const whole = t.hidden & ~3;
  let most = i32x4.splat(0);
  for (let unit = 0; unit < t.hidden; unit += 4) {
    const at = row + <usize>(unit << 2);
    const slots = i32x4.shl(clamp4(rescale4(v128.load(z + at), mantissaG, gates.exponent, halfG), 127), 1);
    const up = clamp4(rescale4(v128.load(z2 + at), mantissaU, ups.exponent, halfU), 127);
    const silu = i32x4(
      load<i16>(center + <usize>i32x4.extract_lane(slots, 0)),
      load<i16>(center + <usize>i32x4.extract_lane(slots, 1)),
      load<i16>(center + <usize>i32x4.extract_lane(slots, 2)),
      load<i16>(center + <usize>i32x4.extract_lane(slots, 3)),
    );
    let products = i32x4.mul(silu, up);
    if (unit == whole) products = v128.and(products, paddingOf(t.hidden & 3));
    v128.store(z + at, products);
    most = i32x4.max_s(most, i32x4.abs(products));
  }
  const coarser = coarserBits(largestOf(most));
  store<i32>(scratchBase + <usize>t.coarser + <usize>(i << 2), coarser);
  const shift = GATED_SHIFT + coarser;
  const half = i32x4.splat((1 << shift) >> 1);
  for (let unit = 0; unit < t.hidden; unit += 4) {
    const rounded = roundShift4(v128.load(z + row + <usize>(unit << 2)), shift, half);
    const words = i16x8.narrow_i32x4_s(rounded, rounded);
    v128.store32_lane(to + <usize>unit, i8x16.narrow_i16x8_s(words, words), 0);
  }
}

function coarserBits(largest: i32): i32 {
  let coarser = 0;
  while (roundShift(largest, GATED_SHIFT + coarser) > 127) coarser++;
  return coarser;
}

@inline
function largestOf(lanes: v128): i32 {
  return max(
    max(i32x4.extract_lane(lanes, 0), i32x4.extract_lane(lanes, 1)),
    max(i32x4.extract_lane(lanes, 2), i32x4.extract_lane(lanes, 3)),
  );
}

/** x += the scaled sums, saturating. */
export function add(matrix: Matrix, count: i32, z: usize, x: usize): void {
  const t = text();
  for (let i = 0; i < count; i++) {
    addRow(matrix, z + <usize>((i * t.zStride) << 2), 0, x + <usize>((i * t.stride) << 2));
  }
}

/** The residual stream += the scaled sums of hidden activations, each row as much coarser as it says. */
export function addHidden(matrix: Matrix, count: i32, z: usize, coarser: usize): void {
  const t = text();
  const x = scratchBase + <usize>t.x;
  for (let i = 0; i < count; i++) {
    const bits = load<i32>(coarser + <usize>(i << 2));
    addRow(matrix, z + <usize>((i * t.zStride) << 2), bits, x + <usize>((i * t.stride) << 2));
  }
}

@inline
function addRow(matrix: Matrix, from: usize, coarser: i32, to: usize): void {
  const width = text().width;
  const mantissa = i32x4.splat(matrix.mantissa);
  const exponent = max(0, matrix.exponent - coarser);
  const left = max(0, coarser - matrix.exponent);
  const half = halfOf(exponent);
  const whole = width & ~3;
  for (let unit = 0; unit < width; unit += 4) {
    const at = <usize>(unit << 2);
    let v = rescale4(v128.load(from + at), mantissa, exponent, half);
    if (left > 0) v = i32x4.shl(clamp4(v, SATURATING), left);
    // What pads x stays zero.
    if (unit == whole) v = v128.and(v, paddingOf(width & 3));
    v128.store(to + at, clamp4(i32x4.add(v128.load(to + at), v), RESIDUAL_MAX));
  }
}

@inline
function paddingOf(used: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(used));
}

/** Logits of `count` positions, z[count, 256] in 2⁻¹⁶ bits. */
export function logitsOf(count: i32): void {
  const t = text();
  const z = scratchBase + <usize>t.z;
  normalize(count);
  const head = matrixAt(t.head);
  product(head, count, scratchBase + <usize>t.n, z);
  const mantissa = i32x4.splat(head.mantissa);
  const half = halfOf(head.exponent);
  const halfHead = i32x4.splat((1 << t.headShift) >> 1);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < VOCABULARY; c += 4) {
      const at = z + <usize>((i * t.zStride + c) << 2);
      const v = rescale4(roundShift4(v128.load(at), t.headShift, halfHead), mantissa, head.exponent, half);
      v128.store(at, i32x4.shl(clamp4(v, LOGIT_MAX), LOGIT_SHIFT));
    }
  }
}
