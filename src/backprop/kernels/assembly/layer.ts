// The layer's forward pass in integers, with float32 tensors at both ends, and the gradient of
// normalize + ReLU. src/backprop/ops has the definitions.

import { roundDiv } from '../../../backend/wasm/assembly/arithmetic';
import { ternaryProduct, wideProduct } from '../../../ops/linear/assembly/products';
import { integers, multiplyAdd, roundUp, totalF32, totalI32 } from './vector';

/** Examples that a product takes at a time. */
const TILE: i32 = 16;

/** Bytes of scratch that `linear` needs. */
export function linearScratch(inputs: i32, outputs: i32): i32 {
  const stride = roundUp(inputs, 16);
  const padded = roundUp(outputs, 4);
  return TILE * stride + padded * stride + TILE * padded * 4;
}

/** z[B, M] = x[B, N] · q[M, N]ᵀ of integers: 0…127 by −127…127, `wide` where q has more than trits. */
export function linear(
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
  for (let row = 0; row < outputs; row++) {
    toBytes(q + <usize>((row * inputs) << 2), inputs, stride, weights + <usize>(row * stride));
  }
  memory.fill(weights + <usize>(outputs * stride), 0, (padded - outputs) * stride);
  for (let first = 0; first < batch; first += TILE) {
    const count = min(TILE, batch - first);
    for (let example = 0; example < count; example++) {
      toBytes(
        x + <usize>(((first + example) * inputs) << 2),
        inputs,
        stride,
        tile + <usize>(example * stride),
      );
    }
    memory.fill(tile + <usize>(count * stride), 0, (TILE - count) * stride);
    if (wide) wideProduct(TILE, tile, weights, stride, padded, sums, padded);
    else ternaryProduct(TILE, tile, weights, stride, padded, sums, padded);
    for (let example = 0; example < count; example++) {
      toFloats(
        sums + <usize>((example * padded) << 2),
        outputs,
        z + <usize>(((first + example) * outputs) << 2),
      );
    }
  }
}

/** Integers in float32 as bytes, filled up with zeros. */
export function toBytes(from: usize, length: i32, stride: i32, to: usize): void {
  const whole = length & ~15;
  for (let at = 0; at < whole; at += 16) {
    const f = from + <usize>(at << 2);
    const low = i16x8.narrow_i32x4_s(integers(f), integers(f + 16));
    const high = i16x8.narrow_i32x4_s(integers(f + 32), integers(f + 48));
    v128.store(to + <usize>at, i8x16.narrow_i16x8_s(low, high));
  }
  for (let at = whole; at < length; at++)
    store<i8>(to + <usize>at, <i8>(<i32>load<f32>(from + <usize>(at << 2))));
  for (let at = length; at < stride; at++) store<i8>(to + <usize>at, 0);
}

export function toFloats(from: usize, length: i32, to: usize): void {
  const whole = length & ~3;
  for (let at = 0; at < whole; at += 4) {
    v128.store(to + <usize>(at << 2), f32x4.convert_i32x4_s(v128.load(from + <usize>(at << 2))));
  }
  for (let at = whole; at < length; at++) {
    store<f32>(to + <usize>(at << 2), <f32>load<i32>(from + <usize>(at << 2)));
  }
}

/** Mean and mean absolute value of the row that was measured last. */
let mean: i32 = 0;
let meanAbs: i32 = 1;

function measure(z: usize, units: i32, centred: bool): void {
  const whole = units & ~3;
  mean = 0;
  if (centred) {
    let lanes = i32x4.splat(0);
    for (let at = 0; at < whole; at += 4) lanes = i32x4.add(lanes, integers(z + <usize>(at << 2)));
    let sum = totalI32(lanes);
    for (let at = whole; at < units; at++) sum += <i32>load<f32>(z + <usize>(at << 2));
    mean = roundDiv(sum, units);
  }
  const means = i32x4.splat(mean);
  let lanes = i32x4.splat(0);
  for (let at = 0; at < whole; at += 4) {
    lanes = i32x4.add(lanes, i32x4.abs(i32x4.sub(integers(z + <usize>(at << 2)), means)));
  }
  let absolute = totalI32(lanes);
  for (let at = whole; at < units; at++) absolute += abs(<i32>load<f32>(z + <usize>(at << 2)) - mean);
  meanAbs = max(1, roundDiv(absolute, units));
}

/** q[B, M] = normalize + ReLU of z[B, M]. */
export function normalize(z: usize, batch: i32, units: i32, centred: bool, gain: i32, q: usize): void {
  const whole = units & ~3;
  const half = i32x4.splat(1 << 21);
  for (let example = 0; example < batch; example++) {
    measure(z, units, centred);
    const reciprocal = roundDiv(gain << 22, meanAbs);
    const limit = (127 * meanAbs) / gain + 1;
    const means = i32x4.splat(mean);
    const limits = i32x4.splat(limit);
    const reciprocals = i32x4.splat(reciprocal);
    for (let at = 0; at < whole; at += 4) {
      let v = i32x4.sub(integers(z + <usize>(at << 2)), means);
      v = i32x4.min_s(i32x4.max_s(v, i32x4.splat(0)), limits);
      v = i32x4.shr_u(i32x4.add(i32x4.mul(v, reciprocals), half), 22);
      v128.store(q + <usize>(at << 2), f32x4.convert_i32x4_s(i32x4.min_s(v, i32x4.splat(127))));
    }
    for (let at = whole; at < units; at++) {
      const v = min(max(<i32>load<f32>(z + <usize>(at << 2)) - mean, 0), limit);
      store<f32>(q + <usize>(at << 2), <f32>min(127, (v * reciprocal + (1 << 21)) >>> 22));
    }
    z += <usize>(units << 2);
    q += <usize>(units << 2);
  }
}

/** dz[B, M] from dq, z and q; see ops/normalize.ts for the formula. */
export function normalizeGradient(
  dq: usize,
  z: usize,
  q: usize,
  batch: i32,
  units: i32,
  centred: bool,
  gain: i32,
  dz: usize,
): void {
  const bytes = <usize>(units << 2);
  const whole = <usize>((units & ~3) << 2);
  for (let example = 0; example < batch; example++) {
    measure(z, units, centred);
    const means = f32x4.splat(<f32>mean);
    // dy, kept in dz, and Σ dy·c
    let lanes = f32x4.splat(0);
    for (let at: usize = 0; at < whole; at += 16) {
      const c = f32x4.sub(v128.load(z + at), means);
      const dy = v128.and(v128.load(dq + at), inside(c, v128.load(q + at)));
      v128.store(dz + at, dy);
      lanes = multiplyAdd(dy, c, lanes);
    }
    let sum = totalF32(lanes);
    for (let at = whole; at < bytes; at += 4) {
      const c = load<f32>(z + at) - <f32>mean;
      const dy: f32 = c > 0 && load<f32>(q + at) < 127 ? load<f32>(dq + at) : 0;
      store<f32>(dz + at, dy);
      sum += dy * c;
    }
    // dc, and its sum
    const share = sum / (<f32>units * <f32>meanAbs);
    const factor = <f32>gain / <f32>meanAbs;
    const shares = f32x4.splat(share);
    const factors = f32x4.splat(factor);
    lanes = f32x4.splat(0);
    for (let at: usize = 0; at < whole; at += 16) {
      const c = f32x4.sub(v128.load(z + at), means);
      const dc = f32x4.mul(factors, f32x4.sub(v128.load(dz + at), signed(shares, c)));
      v128.store(dz + at, dc);
      lanes = f32x4.add(lanes, dc);
    }
    sum = totalF32(lanes);
    for (let at = whole; at < bytes; at += 4) {
      const c = load<f32>(z + at) - <f32>mean;
      const sign: f32 = c > 0 ? 1 : c < 0 ? -1 : 0;
      const dc = factor * (load<f32>(dz + at) - sign * share);
      store<f32>(dz + at, dc);
      sum += dc;
    }
    if (centred) {
      const average = sum / <f32>units;
      const averages = f32x4.splat(average);
      for (let at: usize = 0; at < whole; at += 16)
        v128.store(dz + at, f32x4.sub(v128.load(dz + at), averages));
      for (let at = whole; at < bytes; at += 4) store<f32>(dz + at, load<f32>(dz + at) - average);
    }
    dq += bytes;
    z += bytes;
    q += bytes;
    dz += bytes;
  }
}

/** All ones where the gradient passes: 0 < c, and not saturated. */
@inline
function inside(c: v128, q: v128): v128 {
  return v128.and(f32x4.gt(c, f32x4.splat(0)), f32x4.lt(q, f32x4.splat(127)));
}

/** value · sign(c), 0 where c is 0. */
@inline
function signed(value: v128, c: v128): v128 {
  const positive = v128.and(value, f32x4.gt(c, f32x4.splat(0)));
  return f32x4.sub(positive, v128.and(value, f32x4.lt(c, f32x4.splat(0))));
}
