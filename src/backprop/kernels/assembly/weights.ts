// What happens to weights in a step: threshold quantization, the seed pool's expansion and its
// gradient, AdamW.

import { multiplyAdd, totalF32 } from './vector';

/** Floats that one float32 sum runs over before it goes into a float64. */
const RUN: i32 = 4096;

/** q = sign(w) where |w| > factor · mean|w|, or factor · rms(w). */
export function ternarize(w: usize, length: i32, factor: f32, rms: bool, q: usize): void {
  const size = rms ? sqrt(sumOf(w, length, true) / <f64>length) : sumOf(w, length, false) / <f64>length;
  const threshold = <f32>size * factor;
  const thresholds = f32x4.splat(threshold);
  const one = f32x4.splat(1);
  const whole = length & ~3;
  for (let at = 0; at < whole; at += 4) {
    const v = v128.load(w + <usize>(at << 2));
    const plus = v128.and(f32x4.gt(v, thresholds), one);
    v128.store(q + <usize>(at << 2), f32x4.sub(plus, v128.and(f32x4.lt(v, f32x4.neg(thresholds)), one)));
  }
  for (let at = whole; at < length; at++) {
    const v = load<f32>(w + <usize>(at << 2));
    store<f32>(q + <usize>(at << 2), v > threshold ? 1 : v < -threshold ? -1 : 0);
  }
}

/** Σ|w| or Σw². */
function sumOf(w: usize, length: i32, squares: bool): f64 {
  let total: f64 = 0;
  for (let from = 0; from < length; from += RUN) {
    const end = min(length, from + RUN);
    const whole = from + ((end - from) & ~3);
    let lanes = f32x4.splat(0);
    for (let at = from; at < whole; at += 4) {
      const v = v128.load(w + <usize>(at << 2));
      lanes = squares ? multiplyAdd(v, v, lanes) : f32x4.add(lanes, f32x4.abs(v));
    }
    total += <f64>totalF32(lanes);
    for (let at = whole; at < end; at++) {
      const v = load<f32>(w + <usize>(at << 2));
      total += <f64>(squares ? v * v : abs(v));
    }
  }
  return total;
}

/** q[i] = trit(initial[i] + round(c[direction[i]]) · sign[i]). */
export function expandPool(
  c: usize,
  direction: usize,
  sign: usize,
  initial: usize,
  length: i32,
  cut: f32,
  q: usize,
): void {
  for (let i = 0; i < length; i++) {
    const at = <usize>(i << 2);
    const value = load<f32>(c + <usize>(load<i32>(direction + at) << 2));
    const rounded = value < 0 ? -floor<f32>(<f32>0.5 - value) : floor<f32>(value + <f32>0.5);
    const latent = load<f32>(initial + at) + rounded * load<f32>(sign + at);
    store<f32>(q + at, latent > cut ? 1 : latent < -cut ? -1 : 0);
  }
}

/** dc[k] = Σ sign[i] · dq[i] over the weights of direction k. */
export function poolGradient(
  dq: usize,
  direction: usize,
  sign: usize,
  length: i32,
  dc: usize,
  directions: i32,
): void {
  memory.fill(dc, 0, directions << 2);
  for (let i = 0; i < length; i++) {
    const at = <usize>(i << 2);
    const to = dc + <usize>(load<i32>(direction + at) << 2);
    store<f32>(to, load<f32>(to) + load<f32>(dq + at) * load<f32>(sign + at));
  }
}

/** One step of AdamW in place; see optimizers/adamw.ts. */
export function adamw(
  w: usize,
  g: usize,
  m: usize,
  v: usize,
  length: i32,
  beta1: f32,
  complement1: f32,
  beta2: f32,
  complement2: f32,
  rate: f32,
  correction2: f32,
  keep: f32,
  epsilon: f32,
  limit: f32,
): void {
  const whole = length & ~3;
  const b1 = f32x4.splat(beta1);
  const a1 = f32x4.splat(complement1);
  const b2 = f32x4.splat(beta2);
  const a2 = f32x4.splat(complement2);
  const rates = f32x4.splat(rate);
  const corrections = f32x4.splat(correction2);
  const keeps = f32x4.splat(keep);
  const epsilons = f32x4.splat(epsilon);
  const limits = f32x4.splat(limit);
  for (let i = 0; i < whole; i += 4) {
    const at = <usize>(i << 2);
    const gradient = v128.load(g + at);
    const mean = multiplyAdd(v128.load(m + at), b1, f32x4.mul(gradient, a1));
    const square = multiplyAdd(v128.load(v + at), b2, f32x4.mul(f32x4.mul(gradient, gradient), a2));
    v128.store(m + at, mean);
    v128.store(v + at, square);
    const root = f32x4.add(f32x4.sqrt(f32x4.mul(square, corrections)), epsilons);
    const moved = f32x4.sub(
      f32x4.mul(v128.load(w + at), keeps),
      f32x4.mul(f32x4.div(mean, root), rates),
    );
    // `moved` stands first: that is what pmin and pmax give where it is not a number.
    v128.store(w + at, f32x4.pmin(f32x4.pmax(moved, f32x4.neg(limits)), limits));
  }
  for (let i = whole; i < length; i++) {
    const at = <usize>(i << 2);
    const gradient = load<f32>(g + at);
    const mean = load<f32>(m + at) * beta1 + gradient * complement1;
    const square = load<f32>(v + at) * beta2 + gradient * gradient * complement2;
    store<f32>(m + at, mean);
    store<f32>(v + at, square);
    const moved = load<f32>(w + at) * keep - (mean / (sqrt<f32>(square * correction2) + epsilon)) * rate;
    store<f32>(w + at, min(limit, max(-limit, moved)));
  }
}
