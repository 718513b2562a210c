// Roundings and sums of four lanes, which all kernels share. src/ternary/rounding.ts defines the roundings.

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

/** roundShift of four values by the same shift; `half` is 2^(shift − 1), or 0. */
@inline
export function roundShift4(v: v128, shift: i32, half: v128): v128 {
  const sign = i32x4.shr_s(v, 31);
  const magnitude = i32x4.shr_u(i32x4.add(i32x4.abs(v), half), shift);
  return i32x4.sub(v128.xor(magnitude, sign), sign);
}

@inline
export function clamp4(v: v128, most: i32): v128 {
  return i32x4.max_s(i32x4.min_s(v, i32x4.splat(most)), i32x4.splat(-most));
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

@inline
export function largestOf(lanes: v128): i32 {
  return max(
    max(i32x4.extract_lane(lanes, 0), i32x4.extract_lane(lanes, 1)),
    max(i32x4.extract_lane(lanes, 2), i32x4.extract_lane(lanes, 3)),
  );
}

/** [Σ a, Σ b, Σ c, Σ d] of four i32x4. */
@inline
export function sumLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

@inline
export function widen(pairs: v128): v128 {
  return i32x4.extadd_pairwise_i16x8_s(pairs);
}

/** All ones in the first lanes of the four values from `unit` on of a row so wide. */
@inline
export function within4(unit: i32, width: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(width - unit));
}

/** Four values in ±127 as bytes, to an address. */
@inline
export function storeBytes4(to: usize, v: v128): void {
  const words = i16x8.narrow_i32x4_s(v, v);
  v128.store32_lane(to, i8x16.narrow_i16x8_s(words, words), 0);
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
