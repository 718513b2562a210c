// Causal attention with the integer softmax, and its gradient, head by head of a window. Matrices of
// a head are packed first: queries, keys and values as rows of headSize, keys and values also as
// columns. headSize and T are multiples of four. src/backprop/ops/attention.ts has the definition.

import { multiplyAdd } from './vector';

const LIMIT: i32 = 127;
/** Fraction bits of a probability. */
const PROBABILITY_BITS: i32 = 14;

/** Bytes of scratch that `attention` needs. */
export function attentionScratch(context: i32, headSize: i32): i32 {
  return (context * headSize * 4 + context * context * 2 + context) << 2;
}

/** Rows of a head out of [T, units] into [T, headSize]. */
function packRows(from: usize, context: i32, units: i32, headSize: i32, to: usize): void {
  for (let row = 0; row < context; row++) {
    memory.copy(to, from, headSize << 2);
    from += <usize>(units << 2);
    to += <usize>(headSize << 2);
  }
}

/** The same into [headSize, T]. */
function packColumns(from: usize, context: i32, units: i32, headSize: i32, to: usize): void {
  for (let row = 0; row < context; row++) {
    for (let unit = 0; unit < headSize; unit++) {
      store<f32>(to + <usize>((unit * context) << 2), load<f32>(from + <usize>(unit << 2)));
    }
    from += <usize>(units << 2);
    to += 4;
  }
}

/**
 * out[width] = or += Σ_k a[k] · rows[k, width] for k < count.
 * @param step - bytes from an a to the next
 * @param stride - bytes from a row to the next
 */
@inline
function combine(a: usize, step: usize, rows: usize, stride: usize, count: i32, width: i32, out: usize, add: bool): void {
  let column = 0;
  for (; column + 16 <= width; column += 16) {
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let from = a;
    let row = rows + <usize>(column << 2);
    for (let k = 0; k < count; k++) {
      const factor = v128.load_splat<f32>(from);
      s0 = multiplyAdd(factor, v128.load(row), s0);
      s1 = multiplyAdd(factor, v128.load(row, 16), s1);
      s2 = multiplyAdd(factor, v128.load(row, 32), s2);
      s3 = multiplyAdd(factor, v128.load(row, 48), s3);
      from += step;
      row += stride;
    }
    const to = out + <usize>(column << 2);
    if (add) {
      s0 = f32x4.add(s0, v128.load(to));
      s1 = f32x4.add(s1, v128.load(to, 16));
      s2 = f32x4.add(s2, v128.load(to, 32));
      s3 = f32x4.add(s3, v128.load(to, 48));
    }
    v128.store(to, s0);
    v128.store(to, s1, 16);
    v128.store(to, s2, 32);
    v128.store(to, s3, 48);
  }
  for (; column < width; column += 4) {
    let sum = f32x4.splat(0);
    let from = a;
    let row = rows + <usize>(column << 2);
    for (let k = 0; k < count; k++) {
      sum = multiplyAdd(v128.load_splat<f32>(from), v128.load(row), sum);
      from += step;
      row += stride;
    }
    const to = out + <usize>(column << 2);
    if (add) sum = f32x4.add(sum, v128.load(to));
    v128.store(to, sum);
  }
}

/**
 * mix[B, T, H · headSize] of q, and of k and v [B, T, G · headSize], with the probabilities [B, H, T, T]
 * that the gradient wants, in 2^-14.
 * @param exp2 - [256] i32, 2^15 · 2^(−i/256)
 * @param factor - of a difference of scores, before `shift`, in 1/256 of an octave
 */
export function attention(
  q: usize,
  k: usize,
  v: usize,
  windows: i32,
  context: i32,
  heads: i32,
  groups: i32,
  headSize: i32,
  exp2: usize,
  factor: i32,
  shift: i32,
  mixShift: i32,
  mix: usize,
  probabilities: usize,
  scratch: usize,
): void {
  const rowBytes = <usize>(headSize << 2);
  const units = heads * headSize;
  const sharedUnits = groups * headSize;
  const keys = scratch; // [headSize, T]
  const values = keys + <usize>(context * headSize) * 4; // [T, headSize]
  for (let window = 0; window < windows; window++) {
    for (let head = 0; head < heads; head++) {
      const own = <usize>((window * context * units + head * headSize) << 2);
      const shared = <usize>((window * context * sharedUnits + ((head * groups) / heads) * headSize) << 2);
      packColumns(k + shared, context, sharedUnits, headSize, keys);
      packRows(v + shared, context, sharedUnits, headSize, values);
      for (let i = 0; i < context; i++) {
        const row = probabilities + <usize>((((window * heads + head) * context + i) * context) << 2);
        const query = q + own + <usize>((i * units) << 2);
        combine(query, 4, keys, <usize>(context << 2), headSize, (i + 4) & ~3, row, false);
        softmax(row, i + 1, context, exp2, factor, shift);
        const out = mix + own + <usize>((i * units) << 2);
        combine(row, 4, values, rowBytes, i + 1, headSize, out, false);
        finishMix(out, headSize, mixShift);
      }
    }
  }
}

/** Scores of the first `count` positions of a row become probabilities, the others zero. */
function softmax(row: usize, count: i32, context: i32, exp2: usize, factor: i32, shift: i32): void {
  const end = row + <usize>(count << 2);
  let top = load<f32>(row);
  for (let at = row; at < end; at += 4) top = max(top, load<f32>(at));
  const half = (1 << shift) >> 1;
  let sum = 0;
  for (let at = row; at < end; at += 4) {
    const octaves = (<i32>(top - load<f32>(at)) * factor + half) >> shift;
    const whole = octaves >> 8;
    const weight = whole < 16 ? load<i32>(exp2 + <usize>((octaves & 255) << 2)) >> whole : 0;
    store<i32>(at, weight);
    sum += weight;
  }
  const halfSum = sum >> 1;
  for (let at = row; at < end; at += 4) {
    const probability = ((load<i32>(at) << PROBABILITY_BITS) + halfSum) / sum;
    store<f32>(at, <f32>probability);
  }
  memory.fill(end, 0, <usize>((context - count) << 2));
}

/** Sums of values by probabilities become activations. */
@inline
function finishMix(mix: usize, headSize: i32, shift: i32): void {
  for (const end = mix + <usize>(headSize << 2); mix < end; mix += 4) {
    const sum = <i32>load<f32>(mix);
    const magnitude = min(LIMIT, (abs(sum) + ((1 << shift) >> 1)) >> shift);
    store<f32>(mix, <f32>(sum < 0 ? -magnitude : magnitude));
  }
}

/**
 * dq, dk and dv from dmix.
 * @param slope - d ln(weight) by the score
 * @param scale - of a sum of values by probabilities, 2^(−14 − …)
 */
export function attentionGradient(
  dmix: usize,
  mix: usize,
  q: usize,
  k: usize,
  v: usize,
  probabilities: usize,
  windows: i32,
  context: i32,
  heads: i32,
  groups: i32,
  headSize: i32,
  slope: f32,
  scale: f32,
  dq: usize,
  dk: usize,
  dv: usize,
  scratch: usize,
): void {
  const rowBytes = <usize>(headSize << 2);
  const contextBytes = <usize>(context << 2);
  const units = heads * headSize;
  const sharedUnits = groups * headSize;
  const size = <usize>(context * headSize) << 2;
  const queries = scratch; // [T, headSize]
  const keys = queries + size; // [T, headSize]
  const values = keys + size; // [headSize, T]
  const dm = values + size; // [T, headSize]
  const dscores = dm + size; // [T, T]
  const limits = f32x4.splat(<f32>LIMIT);
  const scales = f32x4.splat(scale);
  memory.fill(dk, 0, <usize>(windows * context * sharedUnits) << 2);
  memory.fill(dv, 0, <usize>(windows * context * sharedUnits) << 2);
  for (let window = 0; window < windows; window++) {
    for (let head = 0; head < heads; head++) {
      const own = <usize>((window * context * units + head * headSize) << 2);
      const shared = <usize>((window * context * sharedUnits + ((head * groups) / heads) * headSize) << 2);
      packRows(q + own, context, units, headSize, queries);
      packRows(k + shared, context, sharedUnits, headSize, keys);
      packColumns(v + shared, context, sharedUnits, headSize, values);
      const head0 = probabilities + <usize>(((window * heads + head) * context * context) << 2);
      for (let i = 0; i < context; i++) {
        const line = <usize>((i * units) << 2);
        const d = dm + <usize>i * rowBytes;
        for (let at: usize = 0; at < rowBytes; at += 16) {
          const inside = f32x4.lt(f32x4.abs(v128.load(mix + own + line + at)), limits);
          v128.store(d + at, v128.and(f32x4.mul(v128.load(dmix + own + line + at), scales), inside));
        }
        // dp into the row of dscores, then dscore = p · (dp − Σ p·dp)
        const row = dscores + <usize>i * contextBytes;
        const p = head0 + <usize>i * contextBytes;
        combine(d, 4, values, contextBytes, headSize, (i + 4) & ~3, row, false);
        softmaxGradient(row, p, i + 1, context, slope);
        combine(row, 4, keys, rowBytes, i + 1, headSize, dq + own + line, false);
      }
      for (let j = 0; j < context; j++) {
        const line = shared + <usize>((j * sharedUnits) << 2);
        const down = <usize>(j * context + j) << 2; // of the diagonal: later queries see this key
        const from = <usize>j * rowBytes;
        combine(dscores + down, contextBytes, queries + from, rowBytes, context - j, headSize, dk + line, true);
        combine(head0 + down, contextBytes, dm + from, rowBytes, context - j, headSize, dv + line, true);
      }
    }
  }
}

/** dp[count] becomes dscore; what is past the row's own position is zeroed. */
function softmaxGradient(dp: usize, p: usize, count: i32, context: i32, slope: f32): void {
  const bytes = <usize>(count << 2);
  let sum: f32 = 0;
  for (let at: usize = 0; at < bytes; at += 4) sum += load<f32>(dp + at) * load<f32>(p + at);
  const mean = sum / <f32>(1 << PROBABILITY_BITS);
  for (let at: usize = 0; at < bytes; at += 4) {
    store<f32>(dp + at, load<f32>(p + at) * (load<f32>(dp + at) - mean) * slope);
  }
  memory.fill(dp + bytes, 0, <usize>((context - count) << 2));
}
