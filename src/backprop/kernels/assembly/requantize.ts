// Sums in the units of where they go: activations, the residual stream, rotated
// queries and keys. Forward in integers with float32 tensors at both ends, and back. Lengths are
// multiples of four. src/backprop/ops has the definitions.

import { roundShift4 } from '../../../backend/wasm/assembly/arithmetic';
import { integers } from './vector';

/** The largest activation. */
const LIMIT: i32 = 127;
/** The residual stream stays within ±(2^23 − 1). */
const STREAM_MAX: i32 = (1 << 23) - 1;
/** Fraction bits of a rotation, and the bits by which its inputs are finer than its outputs. */
const ROTATION_BITS: i32 = 14;
const FINER_BITS: i32 = 7;
/** What is rotated, or rounded to an activation, stays within. */
const FINER_MAX: i32 = 1 << 14;

@inline
function clip(v: v128, limit: i32): v128 {
  return i32x4.max_s(i32x4.min_s(v, i32x4.splat(limit)), i32x4.splat(-limit));
}

/** The half that `roundShift4` wants. */
@inline
function halfOf(shift: i32): v128 {
  return i32x4.splat((1 << shift) >> 1);
}

/** All ones where an activation is not clipped. */
@inline
function inside(y: v128, limit: f32): v128 {
  return f32x4.lt(f32x4.abs(y), f32x4.splat(limit));
}

/** roundShift(sums · multiplier, shift) of four. */
@inline
function rescaled(sums: usize, factor: v128, shift: i32, half: v128): v128 {
  return roundShift4(i32x4.mul(integers(sums), factor), shift, half);
}

/**
 * y[length] = clip(roundShift(sums · multiplier, shift)).
 * @param before - rounded by so many bits first, or 0
 * @param after - rounded by so many bits more, after a clip to ±FINER_MAX; or 0
 */
export function requantize(
  sums: usize,
  length: i32,
  before: i32,
  multiplier: i32,
  shift: i32,
  after: i32,
  limit: i32,
  y: usize,
): void {
  const half = halfOf(shift);
  const halfBefore = halfOf(before);
  const halfAfter = halfOf(after);
  const factor = i32x4.splat(multiplier);
  for (const end = sums + <usize>(length << 2); sums < end; sums += 16, y += 16) {
    let v = roundShift4(integers(sums), before, halfBefore);
    v = roundShift4(i32x4.mul(v, factor), shift, half);
    if (after) v = roundShift4(clip(v, FINER_MAX), after, halfAfter);
    v128.store(y, f32x4.convert_i32x4_s(clip(v, limit)));
  }
}

/** dsums[length] = dy · factor where y is not clipped. */
export function requantizeGradient(dy: usize, y: usize, length: i32, factor: f32, limit: f32, dsums: usize): void {
  const factors = f32x4.splat(factor);
  for (const end = dy + <usize>(length << 2); dy < end; dy += 16, y += 16, dsums += 16) {
    v128.store(dsums, v128.and(f32x4.mul(v128.load(dy), factors), inside(v128.load(y), limit)));
  }
}

/**
 * y[rows, columns] = clip(x + roundShift(sums · unit · multiplier, shift)) of the residual stream.
 * @param x - may be 0, for none
 * @param units - [rows] powers of two; may be 0, for ones
 */
export function addToStream(
  x: usize,
  sums: usize,
  units: usize,
  rows: i32,
  columns: i32,
  multiplier: i32,
  shift: i32,
  y: usize,
): void {
  const half = halfOf(shift);
  for (let row = 0; row < rows; row++) {
    const unit = units ? <i32>load<f32>(units + <usize>(row << 2)) : 1;
    const factor = i32x4.splat(unit * multiplier);
    for (const end = sums + <usize>(columns << 2); sums < end; sums += 16, y += 16) {
      let v = rescaled(sums, factor, shift, half);
      if (x) {
        v = i32x4.add(integers(x), v);
        x += 16;
      }
      v128.store(y, f32x4.convert_i32x4_s(clip(v, STREAM_MAX)));
    }
  }
}

/**
 * y[B, T, units] = clip(roundShift(rotation of roundShift(sums · multiplier, shift), 21)), pair by pair of units.
 * @param cosines - [T, headSize], each twice
 * @param sines - [T, headSize], −sin for the first of a pair, sin for the second
 */
export function rotate(
  sums: usize,
  rows: i32,
  units: i32,
  multiplier: i32,
  shift: i32,
  cosines: usize,
  sines: usize,
  context: i32,
  headSize: i32,
  y: usize,
): void {
  const half = halfOf(shift);
  const factor = i32x4.splat(multiplier);
  const bits = ROTATION_BITS + FINER_BITS;
  const halfRotated = halfOf(bits);
  for (let row = 0; row < rows; row++) {
    const table = <usize>(((row % context) * headSize) << 2);
    for (let unit = 0; unit < units; unit += headSize) {
      for (let at = table; at < table + <usize>(headSize << 2); at += 16) {
        const v = clip(rescaled(sums, factor, shift, half), FINER_MAX);
        const other = v128.shuffle<i32>(v, v, 1, 0, 3, 2);
        const turned = i32x4.add(
          i32x4.mul(v, integers(cosines + at)),
          i32x4.mul(other, integers(sines + at)),
        );
        v128.store(y, f32x4.convert_i32x4_s(clip(roundShift4(turned, bits, halfRotated), LIMIT)));
        sums += 16;
        y += 16;
      }
    }
  }
}

/** dsums of `rotate`: dy turned back, times the factor, where y is not clipped. */
export function rotateGradient(
  dy: usize,
  y: usize,
  rows: i32,
  units: i32,
  factor: f32,
  cosines: usize,
  sines: usize,
  context: i32,
  headSize: i32,
  dsums: usize,
): void {
  const factors = f32x4.splat(factor);
  for (let row = 0; row < rows; row++) {
    const table = <usize>(((row % context) * headSize) << 2);
    for (let unit = 0; unit < units; unit += headSize) {
      for (let at = table; at < table + <usize>(headSize << 2); at += 16) {
        const d = v128.and(f32x4.mul(v128.load(dy), factors), inside(v128.load(y), <f32>LIMIT));
        const other = f32x4.mul(d, v128.load(sines + at));
        const straight = f32x4.mul(d, v128.load(cosines + at));
        v128.store(dsums, f32x4.add(straight, v128.shuffle<i32>(other, other, 1, 0, 3, 2)));
        dy += 16;
        y += 16;
        dsums += 16;
      }
    }
  }
}
