// `normalize` and ReLU. op.ts defines what this computes.

import { roundDiv, total } from '../../backend/wasm/assembly/arithmetic';
import { Instruction, own, slotAt } from '../../backend/wasm/assembly/control';

@unmanaged
export class Normalize extends Instruction {
  centred: i32;
  gain: i32;
  scales: i32; // offset of Scale[tileRows]
}

/** What the normalization of a row is made from. */
@unmanaged
export class Scale {
  sum: i32;
  absolute: i32;
  mean: i32;
  meanAbs: i32;
}

@inline
export function scaleAt(scales: i32, row: i32): Scale {
  return changetype<Scale>(own(scales) + <usize>row * offsetof<Scale>());
}

export function normalize(i: Normalize, rows: i32): void {
  for (let row = 0; row < rows; row++) {
    const z = slotAt(i.x) + <usize>((row * i.inputStride) << 2);
    const scale = scaleAt(i.scales, row);
    measure(z, i.units, i.centred, scale);
    activations(i, z, scale, slotAt(i.out) + <usize>(row * i.stride));
  }
}

/** Sums, mean and mean absolute value of z[M]. */
export function measure(z: usize, rows: i32, centred: i32, scale: Scale): void {
  const whole = rows & ~3;
  let lanes = i32x4.splat(0);
  for (let at = 0; at < whole; at += 4) lanes = i32x4.add(lanes, v128.load(z + <usize>(at << 2)));
  let sum = total(lanes);
  for (let at = whole; at < rows; at++) sum += load<i32>(z + <usize>(at << 2));
  scale.sum = sum;
  scale.mean = centred ? roundDiv(sum, rows) : 0;
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
export function reciprocalOf(i: Normalize, meanAbs: i32): i32 {
  return roundDiv(i.gain << 22, meanAbs);
}

@inline
export function limitOf(i: Normalize, meanAbs: i32): i32 {
  return (127 * meanAbs) / i.gain + 1;
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

/** q[M] from z[M]; bytes up to the stride are zeroed. */
export function activations(i: Normalize, z: usize, scale: Scale, q: usize): void {
  const rows = i.units;
  const mean = scale.mean;
  const reciprocal = reciprocalOf(i, scale.meanAbs);
  const limit = limitOf(i, scale.meanAbs);
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
  for (let at = rows; at < i.stride; at++) store<u8>(q + <usize>at, 0);
}
