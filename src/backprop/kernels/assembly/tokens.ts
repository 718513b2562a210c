// Both ends of a model of texts: rows of the embedding by token, and the softmax over tokens; with their
// gradients. Widths and vocabularies are multiples of four. src/backprop/ops has the definitions.

import { multiplyAdd, totalF32 } from './vector';

/** x[rows, width] = table[token]. */
export function embed(tokens: usize, table: usize, rows: i32, width: i32, x: usize): void {
  const bytes = width << 2;
  for (let row = 0; row < rows; row++) {
    memory.copy(x, table + <usize>(load<i32>(tokens + <usize>(row << 2)) * bytes), bytes);
    x += <usize>bytes;
  }
}

/** dtable[vocabulary, width] = Σ dx over the rows of each token. */
export function embedGradient(tokens: usize, dx: usize, rows: i32, width: i32, vocabulary: i32, dtable: usize): void {
  const bytes = width << 2;
  memory.fill(dtable, 0, vocabulary * bytes);
  for (let row = 0; row < rows; row++) {
    const to = dtable + <usize>(load<i32>(tokens + <usize>(row << 2)) * bytes);
    for (let at: usize = 0; at < <usize>bytes; at += 16) {
      v128.store(to + at, f32x4.add(v128.load(to + at), v128.load(dx + at)));
    }
    dx += <usize>bytes;
  }
}

/** 2^x for x ≤ 0, within some units of the last place: Taylor's series around the nearest integer. */
@inline
function exp2(x: v128): v128 {
  const clamped = f32x4.max(x, f32x4.splat(-126));
  const whole = f32x4.nearest(clamped);
  const f = f32x4.sub(clamped, whole);
  let power = f32x4.splat(1.5403530e-4);
  power = multiplyAdd(power, f, f32x4.splat(1.3333558e-3));
  power = multiplyAdd(power, f, f32x4.splat(9.6181291e-3));
  power = multiplyAdd(power, f, f32x4.splat(5.5504109e-2));
  power = multiplyAdd(power, f, f32x4.splat(2.4022651e-1));
  power = multiplyAdd(power, f, f32x4.splat(6.9314718e-1));
  power = multiplyAdd(power, f, f32x4.splat(1));
  const exponent = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(whole), i32x4.splat(127)), 23);
  return f32x4.mul(power, exponent);
}

/**
 * Softmax to the base 2 of logits[rows, classes] · octaves.
 * @param own - [rows] receives log2 of the label's weight, that of the top being 0
 * @param sums - [rows] receives the sums of the weights
 * @param hits - [rows] receives 1 where the first of the largest logits is the label, else 0
 */
export function softmax(
  logits: usize,
  labels: usize,
  rows: i32,
  classes: i32,
  octaves: f32,
  probabilities: usize,
  own: usize,
  sums: usize,
  hits: usize,
): void {
  const bytes = <usize>(classes << 2);
  const scale = f32x4.splat(octaves);
  for (let row = 0; row < rows; row++) {
    let most = v128.load(logits);
    for (let at: usize = 0; at < bytes; at += 16) most = f32x4.max(most, v128.load(logits + at));
    const top = max(
      max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)),
      max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)),
    );
    const tops = f32x4.splat(top);
    let total = f32x4.splat(0);
    for (let at: usize = 0; at < bytes; at += 16) {
      const weight = exp2(f32x4.mul(f32x4.sub(v128.load(logits + at), tops), scale));
      v128.store(probabilities + at, weight);
      total = f32x4.add(total, weight);
    }
    const sum = totalF32(total);
    const share = f32x4.splat(1 / sum);
    for (let at: usize = 0; at < bytes; at += 16) {
      v128.store(probabilities + at, f32x4.mul(v128.load(probabilities + at), share));
    }
    const label = <usize>(load<i32>(labels) << 2);
    const mine = load<f32>(logits + label);
    store<f32>(own, (mine - top) * octaves);
    store<f32>(sums, sum);
    let hit: f32 = mine == top ? 1 : 0;
    for (let at: usize = 0; at < label; at += 4) if (load<f32>(logits + at) == top) hit = 0;
    store<f32>(hits, hit);
    logits += bytes;
    probabilities += bytes;
    labels += 4;
    own += 4;
    sums += 4;
    hits += 4;
  }
}

/** dlogits[rows, classes] = (probabilities − one-hot of the labels) · factor. */
export function softmaxGradient(
  probabilities: usize,
  labels: usize,
  rows: i32,
  classes: i32,
  factor: f32,
  dlogits: usize,
): void {
  const bytes = <usize>(classes << 2);
  const factors = f32x4.splat(factor);
  for (let row = 0; row < rows; row++) {
    for (let at: usize = 0; at < bytes; at += 16) {
      v128.store(dlogits + at, f32x4.mul(v128.load(probabilities + at), factors));
    }
    const own = dlogits + <usize>(load<i32>(labels + <usize>(row << 2)) << 2);
    store<f32>(own, load<f32>(own) - factor);
    probabilities += bytes;
    dlogits += bytes;
  }
}
