// Philox4x32-10, the Feistel permutation, signs and initial latents. src/random defines them.

import { DirectionSet } from './control';

const PURPOSE_INIT: u32 = 1;
const PURPOSE_SIGN: u32 = 3;
export const PURPOSE_PROBE: u32 = 5;

/** Four words to `out`. */
export function philox(key0: u32, key1: u32, block: u32, index: u32, step: u32, stream: u32, out: usize): void {
  let c0 = block;
  let c1 = index;
  let c2 = step;
  let c3 = stream;
  let k0 = key0;
  let k1 = key1;
  for (let round = 0; round < 10; round++) {
    const a = <u64>c0 * 0xd2511f53;
    const b = <u64>c2 * 0xcd9e8d57;
    c0 = <u32>(b >> 32) ^ c1 ^ k0;
    c1 = <u32>b;
    c2 = <u32>(a >> 32) ^ c3 ^ k1;
    c3 = <u32>a;
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  store<u32>(out, c0);
  store<u32>(out, c1, 4);
  store<u32>(out, c2, 8);
  store<u32>(out, c3, 12);
}

/** Initial latents i8[count] of a tensor. */
export function drawLatents(key0: u32, key1: u32, tensor: i32, cut: i32, count: i32, latents: usize, words: usize): void {
  const range = 3 * cut + 1;
  const values = <u32>(2 * range + 1);
  const stream = PURPOSE_INIT | (<u32>tensor << 8);
  for (let i = 0; i < count; i++) {
    if ((i & 7) == 0) philox(key0, key1, i >>> 3, 0, 0, stream, words);
    const draw: u32 = load<u16>(words + <usize>((i & 7) << 1)); // little-endian: the low half first
    store<i8>(latents + <usize>i, <i32>((draw * values) >>> 16) - range);
  }
}

/** Sign words of the 128 weights around `index`. */
@inline
export function signBlock(set: DirectionSet, index: i32, words: usize): void {
  philox(set.key0, set.key1, index >>> 7, 0, set.step, PURPOSE_SIGN | (<u32>set.group << 8), words);
}

/** 0 for +1, −1 for −1: the sign of weight `index`, from the words of its block. */
@inline
export function signMask(words: usize, index: i32): i32 {
  return -(<i32>(load<u32>(words + <usize>(((index >>> 5) & 3) << 2)) >>> (index & 31)) & 1);
}

/** The masks of the four weights from `index` on, a multiple of four. */
@inline
export function signMask4(words: usize, index: i32): v128 {
  const bits = load<u32>(words + <usize>(((index >>> 5) & 3) << 2)) >>> (index & 31);
  const places = i32x4(1, 2, 4, 8);
  return i32x4.eq(v128.and(i32x4.splat(bits), places), places);
}

@inline
function feistel(half: i32, key: u32, range: i32): i32 {
  let hash = (<u32>half ^ key) * 0x9e3779b1;
  hash = (hash ^ (hash >>> 15)) * 0x85ebca77;
  return <i32>(((hash >>> 16) * <u32>range) >>> 16);
}

@inline
function stepUp(half: i32, by: i32, range: i32): i32 {
  const moved = half + by;
  return moved >= range ? moved - range : moved;
}

@inline
function stepDown(half: i32, by: i32, range: i32): i32 {
  const moved = half - by;
  return moved < 0 ? moved + range : moved;
}

/** π(position). */
export function permute(set: DirectionSet, position: i32): i32 {
  let point = position;
  do {
    let high = point / set.lows;
    let low = point - high * set.lows;
    high = stepUp(high, feistel(low, set.round0, set.highs), set.highs);
    low = stepUp(low, feistel(high, set.round1, set.lows), set.lows);
    high = stepUp(high, feistel(low, set.round2, set.highs), set.highs);
    low = stepUp(low, feistel(high, set.round3, set.lows), set.lows);
    high = stepUp(high, feistel(low, set.round4, set.highs), set.highs);
    low = stepUp(low, feistel(high, set.round5, set.lows), set.lows);
    point = high * set.lows + low;
  } while (point >= set.size);
  return point;
}

/** π⁻¹(point). */
export function unpermute(set: DirectionSet, position: i32): i32 {
  let point = position;
  do {
    let high = point / set.lows;
    let low = point - high * set.lows;
    low = stepDown(low, feistel(high, set.round5, set.lows), set.lows);
    high = stepDown(high, feistel(low, set.round4, set.highs), set.highs);
    low = stepDown(low, feistel(high, set.round3, set.lows), set.lows);
    high = stepDown(high, feistel(low, set.round2, set.highs), set.highs);
    low = stepDown(low, feistel(high, set.round1, set.lows), set.lows);
    high = stepDown(high, feistel(low, set.round0, set.highs), set.highs);
    point = high * set.lows + low;
  } while (point >= set.size);
  return point;
}

@inline
function feistel4(half: v128, key: u32, range: v128): v128 {
  let hash = i32x4.mul(v128.xor(half, i32x4.splat(key)), i32x4.splat(0x9e3779b1));
  hash = i32x4.mul(v128.xor(hash, i32x4.shr_u(hash, 15)), i32x4.splat(0x85ebca77));
  return i32x4.shr_u(i32x4.mul(i32x4.shr_u(hash, 16), range), 16);
}

@inline
function stepDown4(half: v128, by: v128, range: v128): v128 {
  const moved = i32x4.sub(half, by);
  return i32x4.add(moved, v128.and(i32x4.shr_s(moved, 31), range));
}


/** Vectors that walk along the weights of a set, four at a time. */
export let scanHigh: v128 = i32x4.splat(0);
export let scanLow: v128 = i32x4.splat(0);

/** Starts a walk at weight `index`; needs lows ≥ 4. */
export function scanFrom(set: DirectionSet, index: i32): void {
  const lows = set.lows;
  const high = index / lows;
  const low = index - high * lows;
  let lowLanes = i32x4.add(i32x4.splat(low), i32x4(0, 1, 2, 3));
  const wraps = i32x4.ge_s(lowLanes, i32x4.splat(lows));
  lowLanes = i32x4.sub(lowLanes, v128.and(wraps, i32x4.splat(lows)));
  scanLow = lowLanes;
  scanHigh = i32x4.sub(i32x4.splat(high), wraps);
}

/** Directions of the four weights at the walk, which moves on by four; −1 where untouched. */
@inline
export function scanNext(set: DirectionSet): v128 {
  const highs = i32x4.splat(set.highs);
  const lows = i32x4.splat(set.lows);
  let high = scanHigh;
  let low = scanLow;
  const moved = i32x4.add(low, i32x4.splat(4));
  const wraps = i32x4.ge_s(moved, lows);
  scanLow = i32x4.sub(moved, v128.and(wraps, lows));
  scanHigh = i32x4.sub(high, wraps);

  low = stepDown4(low, feistel4(high, set.round5, lows), lows);
  high = stepDown4(high, feistel4(low, set.round4, highs), highs);
  low = stepDown4(low, feistel4(high, set.round3, lows), lows);
  high = stepDown4(high, feistel4(low, set.round2, highs), highs);
  low = stepDown4(low, feistel4(high, set.round1, lows), lows);
  high = stepDown4(high, feistel4(low, set.round0, highs), highs);
  let position = i32x4.add(i32x4.mul(high, lows), low);
  if (v128.any_true(i32x4.ge_u(position, i32x4.splat(set.size)))) position = walk4(set, position);

  // position mod K: an estimate of the quotient from f32, mended by one at most
  const count = i32x4.splat(set.directions);
  const share = f32x4.splat(<f32>1 / <f32>set.directions);
  const quotient = i32x4.trunc_sat_f32x4_s(f32x4.mul(f32x4.convert_i32x4_s(position), share));
  let direction = i32x4.sub(position, i32x4.mul(quotient, count));
  direction = i32x4.add(direction, v128.and(i32x4.shr_s(direction, 31), count));
  direction = i32x4.sub(direction, v128.and(i32x4.ge_s(direction, count), count));
  return v128.or(direction, i32x4.ge_s(position, i32x4.splat(set.touched)));
}

/** Cycle-walking for the lanes that left the range. */
function walk4(set: DirectionSet, position: v128): v128 {
  let walked = position;
  const p0 = i32x4.extract_lane(position, 0);
  if (p0 >= set.size) walked = i32x4.replace_lane(walked, 0, unpermute(set, p0));
  const p1 = i32x4.extract_lane(position, 1);
  if (p1 >= set.size) walked = i32x4.replace_lane(walked, 1, unpermute(set, p1));
  const p2 = i32x4.extract_lane(position, 2);
  if (p2 >= set.size) walked = i32x4.replace_lane(walked, 2, unpermute(set, p2));
  const p3 = i32x4.extract_lane(position, 3);
  if (p3 >= set.size) walked = i32x4.replace_lane(walked, 3, unpermute(set, p3));
  return walked;
}
