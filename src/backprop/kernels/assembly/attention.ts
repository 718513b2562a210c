// Causal attention with the integer softmax, and its gradient, head by head of a window. Matrices of
// a head are packed first: queries, keys and values as rows of headSize, keys and values also as
// columns. Sums of values by weights pass 2^24 and are taken in i32. headSize is a multiple of four, T
// any number. src/backprop/ops/attention.ts has the definition.

import { multiplyAdd } from './vector';

const LIMIT: i32 = 127;
/** Fraction bits of the largest weight, and of the factor that turns scores into exponents. */
const WEIGHT_BITS: i32 = 14;
const EXPONENT_BITS: i32 = 14;

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
  for (; column + 4 <= width; column += 4) {
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
  for (; column < width; column++) {
    let sum: f32 = 0;
    let from = a;
    let row = rows + <usize>(column << 2);
    for (let k = 0; k < count; k++) {
      sum += load<f32>(from) * load<f32>(row);
      from += step;
      row += stride;
    }
    const to = out + <usize>(column << 2);
    store<f32>(to, add ? load<f32>(to) + sum : sum);
  }
}

/** Scores that the row of a position computes: up to its own, and on to a multiple of four within the window. */
@inline
function scoresOf(position: i32, context: i32): i32 {
  return min((position + 4) & ~3, context);
}

/**
 * mix[B, T, H · headSize] of q, and of k and v [B, T, G · headSize], with the probabilities [B, H, T, T]
 * that the gradient wants.
 * @param table - [256] f32 integers, the weights of the parts of an octave
 * @param factor - of a difference of scores, in 2^-14 of a part
 * @param range - differences end here
 * @param weightShift - by how many bits weights are shifted
 * @param mixBits - by how many bits the mix is finer than values
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
  table: usize,
  factor: i32,
  range: i32,
  weightShift: i32,
  mixBits: i32,
  mix: usize,
  probabilities: usize,
  scratch: usize,
): void {
  const units = heads * headSize;
  const sharedUnits = groups * headSize;
  const keys = scratch; // [headSize, T]
  const values = keys + <usize>(context * headSize) * 4; // i16 [⌈T/2⌉, headSize, 2]
  const weights = values + <usize>(((context + 1) & ~1) * headSize) * 2; // i16 [T + 1]
  for (let window = 0; window < windows; window++) {
    for (let head = 0; head < heads; head++) {
      const own = <usize>((window * context * units + head * headSize) << 2);
      const shared = <usize>((window * context * sharedUnits + ((head * groups) / heads) * headSize) << 2);
      packColumns(k + shared, context, sharedUnits, headSize, keys);
      packPairs(v + shared, context, sharedUnits, headSize, values);
      for (let i = 0; i < context; i++) {
        const row = probabilities + <usize>((((window * heads + head) * context + i) * context) << 2);
        const query = q + own + <usize>((i * units) << 2);
        combine(query, 4, keys, <usize>(context << 2), headSize, scoresOf(i, context), row, false);
        const total = weigh(row, i + 1, table, factor, range, weightShift, weights);
        mixValues(weights, values, (i + 2) >> 1, headSize, total, mixBits, mix + own + <usize>((i * units) << 2));
        normalizeRow(row, i + 1, context, total);
      }
    }
  }
}

/** Values as i16, of two positions side by side: [⌈T/2⌉, headSize, 2]; a last one alone has a weight of 0 beside it. */
function packPairs(from: usize, context: i32, units: i32, headSize: i32, to: usize): void {
  for (let row = 0; row < context; row++) {
    const place = to + <usize>((row >> 1) * headSize * 4 + (row & 1) * 2);
    for (let unit = 0; unit < headSize; unit++) {
      store<i16>(place + <usize>(unit << 2), <i16>(<i32>load<f32>(from + <usize>(unit << 2))));
    }
    from += <usize>(units << 2);
  }
}

/** Weights of a row of scores, which receives them as well; returns their sum. `weights` is zero after them. */
function weigh(
  row: usize,
  count: i32,
  table: usize,
  factor: i32,
  range: i32,
  weightShift: i32,
  weights: usize,
): i32 {
  const end = row + <usize>(count << 2);
  let top = load<f32>(row);
  for (let at = row; at < end; at += 4) top = max(top, load<f32>(at));
  let total = 0;
  for (let at = row; at < end; at += 4) {
    const below = min(<i32>(top - load<f32>(at)), range);
    const exponent = (below * factor + (1 << (EXPONENT_BITS - 1))) >> EXPONENT_BITS;
    // From WEIGHT_BITS + 1 on nothing is left of a part.
    const octaves = min((exponent >> 8) + weightShift, WEIGHT_BITS + 1);
    const weight = <i32>load<f32>(table + <usize>((exponent & 255) << 2)) >> octaves;
    store<f32>(at, <f32>weight);
    store<i16>(weights, <i16>weight);
    weights += 2;
    total += weight;
  }
  store<i16>(weights, 0); // the second of the last pair, where there is none
  return total;
}

/** Weights become probabilities; what is past the row's own position is zeroed. */
function normalizeRow(row: usize, count: i32, context: i32, total: i32): void {
  const end = row + <usize>(count << 2);
  const share = <f32>1 / <f32>total;
  for (let at = row; at < end; at += 4) store<f32>(at, load<f32>(at) * share);
  memory.fill(end, 0, <usize>((context - count) << 2));
}

/** mix[headSize] = clip(roundDiv(Σ weight · value · 2^bits, total)). */
@inline
function mixValues(weights: usize, values: usize, pairs: i32, headSize: i32, total: i32, bits: i32, mix: usize): void {
  const stride = <usize>(headSize << 2);
  const half = i32x4.splat(total >> 1);
  const divisor = f64x2.splat(<f64>total);
  const most = i32x4.splat(LIMIT);
  for (let at: usize = 0; at < stride; at += 16) {
    let sum = i32x4.splat(0);
    let row = values + at;
    for (let pair = weights, end = weights + <usize>(pairs << 2); pair < end; pair += 4) {
      sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.load32_splat(pair), v128.load(row)));
      row += stride;
    }
    // In f64, quotients of integers are never rounded up to a whole number.
    const sign = i32x4.shr_s(sum, 31);
    const numerator = i32x4.add(i32x4.shl(i32x4.abs(sum), bits), half);
    const low = f64x2.div(f64x2.convert_low_i32x4_u(numerator), divisor);
    const high = f64x2.div(f64x2.convert_low_i32x4_u(v128.shuffle<i32>(numerator, numerator, 2, 3, 2, 3)), divisor);
    const quotient = v128.shuffle<i32>(
      i32x4.trunc_sat_f64x2_s_zero(low),
      i32x4.trunc_sat_f64x2_s_zero(high),
      0,
      1,
      4,
      5,
    );
    const magnitude = i32x4.min_s(quotient, most);
    v128.store(mix + at, f32x4.convert_i32x4_s(i32x4.sub(v128.xor(magnitude, sign), sign)));
  }
}

/**
 * dq, dk and dv from dmix.
 * @param slope - d ln(weight) by the score
 * @param scale - what a value is in the mix, 2^mixBits
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
        combine(d, 4, values, contextBytes, headSize, scoresOf(i, context), row, false);
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
  for (let at: usize = 0; at < bytes; at += 4) {
    store<f32>(dp + at, load<f32>(p + at) * (load<f32>(dp + at) - sum) * slope);
  }
  memory.fill(dp + bytes, 0, <usize>((context - count) << 2));
}
