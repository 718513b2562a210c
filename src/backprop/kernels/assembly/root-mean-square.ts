// The transformer's normalization of the residual stream by its root mean square, and its gradient.
// Widths are multiples of four. src/backprop/ops/root-mean-square.ts has the definition.

import { roundShift4 } from '../../../backend/wasm/assembly/arithmetic';
import { integers, multiplyAdd, totalF32 } from './vector';

const LIMIT: i32 = 127;
/** Sums of squares stay below. */
const SQUARES_END: f64 = 2147483648;

/** Σ roundShift(x, shift)² of a row; exact, below 2^53. */
@inline
function squares(x: usize, bytes: usize, shift: i32): f64 {
  const half = i32x4.splat((1 << shift) >> 1);
  let lanes = f64x2.splat(0);
  for (let at: usize = 0; at < bytes; at += 16) {
    const v = roundShift4(integers(x + at), shift, half);
    const low = f64x2.convert_low_i32x4_s(v);
    const high = f64x2.convert_low_i32x4_s(v128.shuffle<i32>(v, v, 2, 3, 2, 3));
    lanes = f64x2.add(lanes, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
  }
  return f64x2.extract_lane(lanes, 0) + f64x2.extract_lane(lanes, 1);
}

/** n[rows, width] = clip(roundDiv(roundShift(x, p) · one, root)) of the stream x[rows, width]. */
export function rootMeanSquare(x: usize, rows: i32, width: i32, one: i32, n: usize): void {
  const bytes = <usize>(width << 2);
  const most = i32x4.splat(LIMIT);
  for (let row = 0; row < rows; row++) {
    let shift = 0;
    let sum = squares(x, bytes, 0);
    if (sum >= SQUARES_END) {
      // Two bits of the sum a shift; rounding may need one shift more.
      while (sum >= SQUARES_END * <f64>(<i64>1 << (2 * shift))) shift++;
      sum = squares(x, bytes, shift);
      if (sum >= SQUARES_END) sum = squares(x, bytes, ++shift);
    }
    const root = max(1, <i32>sqrt(sum));
    const half = i32x4.splat((1 << shift) >> 1);
    const factor = i32x4.splat(one);
    const halfRoot = i32x4.splat(root >> 1);
    const roots = f64x2.splat(<f64>root);
    for (let at: usize = 0; at < bytes; at += 16) {
      const v = integers(x + at);
      const sign = i32x4.shr_s(v, 31);
      const numerator = i32x4.add(i32x4.mul(i32x4.abs(roundShift4(v, shift, half)), factor), halfRoot);
      const low = f64x2.div(f64x2.convert_low_i32x4_u(numerator), roots);
      const high = f64x2.div(f64x2.convert_low_i32x4_u(v128.shuffle<i32>(numerator, numerator, 2, 3, 2, 3)), roots);
      const quotients = v128.shuffle<i32>(
        i32x4.trunc_sat_f64x2_s_zero(low),
        i32x4.trunc_sat_f64x2_s_zero(high),
        0, 1, 4, 5,
      );
      const magnitude = i32x4.min_s(quotients, most);
      v128.store(n + at, f32x4.convert_i32x4_s(i32x4.sub(v128.xor(magnitude, sign), sign)));
    }
    x += bytes;
    n += bytes;
  }
}

/** dx = dy · unit/rms − x · Σ(dy·x) · unit/(width · rms³), with dy = dn where n is not clipped. */
export function rootMeanSquareGradient(
  dn: usize,
  x: usize,
  n: usize,
  rows: i32,
  width: i32,
  unit: f32,
  dx: usize,
): void {
  const bytes = <usize>(width << 2);
  const limits = f32x4.splat(<f32>LIMIT);
  for (let row = 0; row < rows; row++) {
    let products = f32x4.splat(0);
    let own = f32x4.splat(0);
    for (let at: usize = 0; at < bytes; at += 16) {
      const value = v128.load(x + at);
      const inside = f32x4.lt(f32x4.abs(v128.load(n + at)), limits);
      const dy = v128.and(v128.load(dn + at), inside);
      v128.store(dx + at, dy);
      products = multiplyAdd(dy, value, products);
      own = multiplyAdd(value, value, own);
    }
    const square = max(<f32>1, totalF32(own)); // width · rms²
    const factor = unit * sqrt<f32>(<f32>width / square);
    const factors = f32x4.splat(factor);
    const shares = f32x4.splat((-factor * totalF32(products)) / square);
    for (let at: usize = 0; at < bytes; at += 16) {
      v128.store(dx + at, multiplyAdd(v128.load(x + at), shares, f32x4.mul(v128.load(dx + at), factors)));
    }
    dn += bytes;
    x += bytes;
    n += bytes;
    dx += bytes;
  }
}
