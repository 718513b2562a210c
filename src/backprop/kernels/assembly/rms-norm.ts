// Normalization of the residual stream by its root mean square, and its gradient.
// Widths are multiples of four. src/backprop/ops/rms-norm.ts has the definition.

import { roundDiv, roundShift4 } from '../../../backend/wasm/assembly/arithmetic';
import { integers, multiplyAdd, totalF32, totalI32 } from './vector';

const LIMIT: i32 = 127;
const RECIPROCAL_BITS: i32 = 19;

/** x · 2^−shift, rounded where that is a right shift. */
@inline
function shifted(x: v128, shift: i32, half: v128): v128 {
  return shift > 0 ? roundShift4(x, shift, half) : i32x4.shl(x, -shift);
}

/**
 * n[rows, width] of the stream x[rows, width].
 * @param gain - what a root mean square of 1 becomes, times √width
 * @param bits - of the largest value after its shift
 */
export function rmsNorm(x: usize, rows: i32, width: i32, gain: i32, bits: i32, n: usize): void {
  const bytes = <usize>(width << 2);
  const most = i32x4.splat(LIMIT);
  const least = i32x4.splat(-LIMIT);
  const halfUnit = i32x4.splat(1 << (RECIPROCAL_BITS - 1));
  for (let row = 0; row < rows; row++) {
    let lanes = i32x4.splat(0);
    for (let at: usize = 0; at < bytes; at += 16) lanes = i32x4.max_s(lanes, i32x4.abs(integers(x + at)));
    const largest = max(
      max(i32x4.extract_lane(lanes, 0), i32x4.extract_lane(lanes, 1)),
      max(i32x4.extract_lane(lanes, 2), i32x4.extract_lane(lanes, 3)),
    );
    const shift = 32 - clz(largest) - bits;
    const half = i32x4.splat(shift > 0 ? 1 << (shift - 1) : 0);
    lanes = i32x4.splat(0);
    for (let at: usize = 0; at < bytes; at += 16) {
      const y = shifted(integers(x + at), shift, half);
      lanes = i32x4.add(lanes, i32x4.mul(y, y));
    }
    const root = <i32>floor<f64>(sqrt<f64>(<f64>totalI32(lanes)) + 0.5);
    const reciprocal = i32x4.splat(roundDiv(gain << RECIPROCAL_BITS, max(1, root)));
    for (let at: usize = 0; at < bytes; at += 16) {
      const y = shifted(integers(x + at), shift, half);
      const q = roundShift4(i32x4.mul(y, reciprocal), RECIPROCAL_BITS, halfUnit);
      v128.store(n + at, f32x4.convert_i32x4_s(i32x4.max_s(i32x4.min_s(q, most), least)));
    }
    x += bytes;
    n += bytes;
  }
}

/** dx = dy · unit/rms − x · Σ(dy·x) · unit/(width · rms³), with dy = dn where n is not clipped. */
export function rmsNormGradient(
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
