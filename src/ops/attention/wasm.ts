// Queries, keys and values to what they mix. op.ts defines what this computes. In a window that grows row by row,
// keys and values are kept from one row to the next.

import { clamp4, roundShift, total } from '../../backend/wasm/assembly/arithmetic';
import { grownTo, Instruction, own, slotAt } from '../../backend/wasm/assembly/control';

const EXPONENT_BITS: i32 = 14;
const WEIGHT_BITS: i32 = 14;

@unmanaged
export class Attention extends Instruction {
  heads: i32;
  keyHeads: i32;
  headSize: i32;
  keyStride: i32;
  factor: i32; // softmaxScale
  range: i32;
  shift: i32;
  softmax: usize; // i16[256]
  keys: usize; // i8 [context, keyStride], of a window that grows
  values: usize;
  weights: i32; // offset of i32 [context]
  sums: i32; // offset of i32 [headSize, padded]
}

export function attention(i: Attention, rows: i32): void {
  let keys = slotAt(i.y);
  let values = slotAt(i.z);
  if (grownTo >= 0) {
    const at = <usize>(grownTo * i.keyStride);
    memory.copy(i.keys + at, keys, rows * i.keyStride);
    memory.copy(i.values + at, values, rows * i.keyStride);
    keys = i.keys;
    values = i.values;
  }
  const before = max(0, grownTo);
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < i.heads; head++) {
      const offset = <usize>(((head * i.keyHeads) / i.heads) * i.headSize);
      const at = <usize>(row * i.stride + head * i.headSize);
      attend(i, slotAt(i.x) + at, keys + offset, values + offset, before + row + 1, slotAt(i.out) + at);
    }
  }
}

/** One head of one position over `positions` keys and values. */
function attend(i: Attention, query: usize, keys: usize, values: usize, positions: i32, mix: usize): void {
  const size = i.headSize;
  const eights = size & ~7;
  const stride = <usize>i.keyStride;
  const weights = own(i.weights);
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
  const range = i.range;
  const factor = i.factor;
  const shift = i.shift;
  const softmax = i.softmax;
  let sum = 0;
  for (let position = 0; position < positions; position++) {
    const at = weights + <usize>(position << 2);
    const exponent = roundShift(min(largest - load<i32>(at), range) * factor, EXPONENT_BITS);
    const octaves = (exponent >> 8) + shift;
    const weight = octaves > WEIGHT_BITS ? 0 : <i32>load<i16>(softmax + <usize>((exponent & 255) << 1)) >> octaves;
    store<i32>(at, weight);
    sum += weight;
  }
  const sums = own(i.sums);
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
