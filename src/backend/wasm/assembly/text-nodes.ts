// Node perturbation of a transformer, a window a tile: the undisturbed pass, of which everything is kept that a later
// one may begin with; then each matrix as it is applied, and the embedding, R antithetic probes each, with what comes
// after it computed again. docs/transformer.md and src/ops define it.

import { crossEntropy, predict, roundDiv, roundShift } from './arithmetic';
import { control, scratchBase, thread } from './control';
import { walsh } from './nodes';
import { philox, PURPOSE_PROBE } from './random';
import {
  add,
  addHidden,
  applyWindow,
  attentionInputs,
  DOWN,
  embeddingSums,
  feedForward,
  firstOf,
  GATE,
  gated,
  KEY,
  logitsOf,
  MATRICES,
  Matrix,
  matrixAt,
  mixValues,
  narrow,
  OUTPUT,
  product,
  QUERY,
  scaleEmbedding,
  text,
  turn,
  UP,
  VALUE,
} from './text';

const SIZE_SHIFT: i32 = 4;

export function textNodesTile(tile: i32): void {
  const t = text();
  const bytes = t.inputs + <usize>(tile * t.length);
  const labels = t.labels + <usize>(tile * t.length);
  keepWindow(bytes);
  exactHead(tile, labels);
  if (control.probes == 0) return;
  alignEmbedding(tile, bytes, labels);
  for (let application = 0; application < t.applications; application++) {
    for (let matrix = QUERY; matrix < MATRICES; matrix++) alignMatrix(tile, labels, application, matrix);
  }
}

@inline
function keptOf(application: i32): usize {
  return scratchBase + <usize>(text().kept + application * text().keptStride);
}

/** Bytes of a window's rows of i8, `stride` apart. */
@inline
function rowsOf(stride: i32): i32 {
  return text().length * stride;
}

/** The undisturbed pass, up to the logits. */
function keepWindow(bytes: usize): void {
  const t = text();
  const x = scratchBase + <usize>t.x;
  const n = scratchBase + <usize>t.n;
  const keys = scratchBase + <usize>t.keys;
  const values = scratchBase + <usize>t.values;
  for (let position = 0; position < t.length; position++) {
    const row = x + <usize>((position * t.stride) << 2);
    embeddingSums(load<u8>(bytes + <usize>position), row);
    scaleEmbedding(row);
  }
  for (let application = 0; application < t.applications; application++) {
    const first = firstOf(application);
    const kept = keptOf(application);
    memory.copy(kept, x, rowsOf(t.stride) << 2);
    attentionInputs(first, 0, t.length, keys, values);
    memory.copy(kept + <usize>t.keptN, n, rowsOf(t.stride));
    memory.copy(kept + <usize>t.keptQ, scratchBase + <usize>t.q, rowsOf(t.stride));
    memory.copy(kept + <usize>t.keptKeys, keys, rowsOf(t.keyStride));
    memory.copy(kept + <usize>t.keptValues, values, rowsOf(t.keyStride));
    mixValues(first, 0, t.length, keys, values);
    memory.copy(kept + <usize>t.keptMix, scratchBase + <usize>t.mix, rowsOf(t.stride));
    memory.copy(kept + <usize>t.keptY, x, rowsOf(t.stride) << 2);
    feedForward(first, t.length);
    memory.copy(kept + <usize>t.keptN2, n, rowsOf(t.stride));
    memory.copy(kept + <usize>t.keptH, scratchBase + <usize>t.h, rowsOf(t.hiddenStride));
    memory.copy(kept + <usize>t.keptCoarser, scratchBase + <usize>t.coarser, t.length << 2);
  }
  logitsOf(t.length);
}

/** Losses, predictions, and the head's alignment, from the logits at hand. */
function exactHead(tile: i32, labels: usize): void {
  const t = text();
  for (let position = 0; position < t.length; position++) {
    const row = <usize>(position * t.zStride);
    const logits = scratchBase + <usize>t.z + (row << 2);
    const at = tile * t.length + position;
    const label = load<u8>(labels + <usize>position);
    store<i32>(control.losses + <usize>(at << 2), crossEntropy(logits, label, scratchBase + <usize>t.errors + (row << 1)));
    store<u8>(control.predictions + <usize>at, predict(logits));
  }
  addAlignments(matrixAt(t.head), scratchBase + <usize>t.n);
}

function alignEmbedding(tile: i32, bytes: usize, labels: usize): void {
  const t = text();
  const matrix = matrixAt(0);
  for (let position = 0; position < t.length; position++) {
    embeddingSums(load<u8>(bytes + <usize>position), scratchBase + <usize>t.base + <usize>((position * t.zStride) << 2));
  }
  measure(matrix.columns);
  memory.fill(scratchBase + <usize>t.errors, 0, (t.length * t.zStride) << 1);
  for (let probe = 0; probe < control.probes; probe++) {
    drawSigns(tile, 0, probe, matrix.columns);
    for (let side = 1; side >= -1; side -= 2) {
      for (let position = 0; position < t.length; position++) {
        const x = scratchBase + <usize>t.x + <usize>((position * t.stride) << 2);
        disturb(position, side, matrix.columns, x);
        scaleEmbedding(x);
      }
      applyWindow(0);
      keepLosses(labels, side);
    }
    reward(matrix.columns, t.horizon);
  }
  const to = alignmentsOf(matrix);
  for (let position = 0; position < t.length; position++) {
    const row = to + <usize>((load<u8>(bytes + <usize>position) * matrix.stride) << 2);
    const errors = scratchBase + <usize>t.errors + <usize>((position * t.zStride) << 1);
    for (let unit = 0; unit < matrix.columns; unit++) {
      const at = row + <usize>(unit << 2);
      store<i32>(at, load<i32>(at) + <i32>load<i16>(errors + <usize>(unit << 1)));
    }
  }
}

function alignMatrix(tile: i32, labels: usize, application: i32, which: i32): void {
  const t = text();
  const first = firstOf(application);
  const matrix = matrixAt(first + which);
  const kept = keptOf(application);
  const inputs = kept + <usize>(which <= VALUE ? t.keptN : which == OUTPUT ? t.keptMix : which == DOWN ? t.keptH : t.keptN2);
  product(matrix, t.length, inputs, scratchBase + <usize>t.base);
  if (which == GATE) product(matrixAt(first + UP), t.length, inputs, scratchBase + <usize>t.other);
  if (which == UP) product(matrixAt(first + GATE), t.length, inputs, scratchBase + <usize>t.other);
  measure(matrix.rows);
  memory.fill(scratchBase + <usize>t.errors, 0, (t.length * t.zStride) << 1);
  for (let probe = 0; probe < control.probes; probe++) {
    drawSigns(tile, 1 + MATRICES * application + which, probe, matrix.rows);
    for (let side = 1; side >= -1; side -= 2) {
      const z = scratchBase + <usize>(which == UP ? t.z2 : t.z);
      for (let position = 0; position < t.length; position++) {
        disturb(position, side, matrix.rows, z + <usize>((position * t.zStride) << 2));
      }
      goOn(first, kept, which);
      applyWindow(application + 1);
      keepLosses(labels, side);
    }
    reward(matrix.rows, which <= VALUE ? t.horizon : 0);
  }
  addAlignments(matrix, inputs);
}

/** The rest of a block, from the disturbed sums of one of its matrices. */
function goOn(first: i32, kept: usize, which: i32): void {
  const t = text();
  const count = t.length;
  const matrix = matrixAt(first + which);
  const x = scratchBase + <usize>t.x;
  const z = scratchBase + <usize>t.z;
  memory.copy(x, kept + <usize>(which <= OUTPUT ? 0 : t.keptY), rowsOf(t.stride) << 2);
  if (which <= VALUE) {
    const q = scratchBase + <usize>t.q;
    const keys = scratchBase + <usize>t.keys;
    const values = scratchBase + <usize>t.values;
    if (which != QUERY) memory.copy(q, kept + <usize>t.keptQ, rowsOf(t.stride));
    if (which != KEY) memory.copy(keys, kept + <usize>t.keptKeys, rowsOf(t.keyStride));
    if (which != VALUE) memory.copy(values, kept + <usize>t.keptValues, rowsOf(t.keyStride));
    for (let i = 0; i < count; i++) {
      if (which == QUERY) turn(matrix, z, i, i, q + <usize>(i * t.stride));
      else if (which == KEY) turn(matrix, z, i, i, keys + <usize>(i * t.keyStride));
      else narrow(matrix, z, i, values + <usize>(i * t.keyStride));
    }
    mixValues(first, 0, count, keys, values);
    feedForward(first, count);
    return;
  }
  if (which == OUTPUT) {
    add(matrix, count, z, x);
    feedForward(first, count);
    return;
  }
  if (which == DOWN) {
    addHidden(matrix, count, z, kept + <usize>t.keptCoarser);
    return;
  }
  const other = scratchBase + <usize>(which == UP ? t.z : t.z2);
  memory.copy(other, scratchBase + <usize>t.other, rowsOf(t.zStride) << 2);
  gated(first, count);
}

/** Sizes of the probes at each position, from the sums in `base`. */
function measure(units: i32): void {
  const t = text();
  for (let position = 0; position < t.length; position++) {
    const sums = scratchBase + <usize>t.base + <usize>((position * t.zStride) << 2);
    let absolute = 0;
    for (let unit = 0; unit < units; unit++) absolute += roundShift(abs(load<i32>(sums + <usize>(unit << 2))), SIZE_SHIFT);
    const size = roundShift(roundDiv(absolute, units) * control.sigma, 8 - SIZE_SHIFT);
    store<i32>(scratchBase + <usize>t.sizes + <usize>(position << 2), max(1, size));
  }
}

/** Signs of one probe at all positions: base bits flipped by a Walsh function of the unit. */
function drawSigns(tile: i32, site: i32, probe: i32, units: i32): void {
  const t = text();
  const words = scratchBase + <usize>t.words;
  const bits = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  const flips = walsh(probe & 15);
  for (let position = 0; position < t.length; position++) {
    const signs = scratchBase + <usize>t.signs + <usize>(position * t.zStride);
    for (let unit = 0; unit < units; unit += 16) {
      if ((unit & 127) == 0) {
        const block = (unit >>> 7) | ((probe >> 4) << 16);
        philox(control.key0, control.key1, block, control.firstRow + tile * t.length + position, control.step, PURPOSE_PROBE | (<u32>site << 8), words);
      }
      const draw = load<u16>(words + <usize>((unit & 127) >>> 3));
      const spread = v128.shuffle<i8>(i8x16.splat(<i8>draw), i8x16.splat(<i8>(draw >>> 8)), 0, 0, 0, 0, 0, 0, 0, 0, 16, 16, 16, 16, 16, 16, 16, 16);
      const base = i8x16.eq(v128.and(spread, bits), bits);
      v128.store(signs + <usize>unit, v128.or(v128.xor(base, flips), i8x16.splat(1)));
    }
  }
}

/** to[units] = sums + side · size · signs, units by four. */
function disturb(position: i32, side: i32, units: i32, to: usize): void {
  const t = text();
  const row = <usize>(position * t.zStride);
  const sums = scratchBase + <usize>t.base + (row << 2);
  const signs = scratchBase + <usize>t.signs + row;
  const sizes = i32x4.splat(side * load<i32>(scratchBase + <usize>t.sizes + <usize>(position << 2)));
  const whole = units & ~3;
  for (let unit = 0; unit < whole; unit += 4) {
    const drawn = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(signs + <usize>unit)));
    const at = <usize>(unit << 2);
    v128.store(to + at, i32x4.add(v128.load(sums + at), i32x4.mul(drawn, sizes)));
  }
  for (let unit = whole; unit < units; unit++) {
    const at = <usize>(unit << 2);
    store<i32>(to + at, load<i32>(sums + at) + i32x4.extract_lane(sizes, 0) * <i32>load<i8>(signs + <usize>unit));
  }
}

/** The losses of a disturbed pass, from the logits at hand. */
function keepLosses(labels: usize, side: i32): void {
  const t = text();
  const to = scratchBase + <usize>(side == 1 ? t.plus : t.minus);
  for (let position = 0; position < t.length; position++) {
    const logits = scratchBase + <usize>t.z + <usize>((position * t.zStride) << 2);
    const label = load<u8>(labels + <usize>position);
    store<i32>(to + <usize>(position << 2), crossEntropy(logits, label, 0));
  }
}

/** Adds a probe's reward at each position, with `later` positions after it, to the errors of the units. */
function reward(units: i32, later: i32): void {
  const t = text();
  for (let position = 0; position < t.length; position++) {
    let difference = 0;
    for (let at = position; at <= position + later && at < t.length; at++) {
      const offset = <usize>(at << 2);
      difference += load<i32>(scratchBase + <usize>t.plus + offset) - load<i32>(scratchBase + <usize>t.minus + offset);
    }
    const limit = control.rewardLimit;
    const clipped = max(-limit, min(limit, roundShift(difference, control.rewardShift)));
    if (clipped == 0) continue;
    const rewards = i16x8.splat(<i16>clipped);
    const row = <usize>(position * t.zStride);
    const signs = scratchBase + <usize>t.signs + row;
    const errors = scratchBase + <usize>t.errors + (row << 1);
    for (let unit = 0; unit < units; unit += 8) {
      const to = errors + <usize>(unit << 1);
      v128.store(to, i16x8.add(v128.load(to), i16x8.mul(v128.load8x8_s(signs + <usize>unit), rewards)));
    }
  }
}

/** Where this thread sums up the alignments of a matrix, [rows, stride]. */
@inline
function alignmentsOf(matrix: Matrix): usize {
  const t = text();
  const words = <usize>(thread * t.alignmentCount) + matrix.weights - t.firstWeights;
  return t.alignments + (words << 2);
}

/**
 * Σ error·input over the positions of a window, two positions a lane.
 * @param inputs i8 [T, matrix.stride]
 */
function addAlignments(matrix: Matrix, inputs: usize): void {
  const t = text();
  const stride = matrix.stride;
  const halves = (t.length + 1) >> 1;
  const pairs = scratchBase + <usize>t.pairs; // i16 [halves, stride, 2]
  const errors = scratchBase + <usize>t.errorPairs; // i16 [rows, halves, 2]
  for (let half = 0; half < halves; half++) {
    const second = 2 * half + 1 < t.length;
    const from = inputs + <usize>(2 * half * stride);
    const to = pairs + <usize>((half * stride) << 2);
    for (let column = 0; column < stride; column += 8) {
      const a = v128.load8x8_s(from + <usize>column);
      const b = second ? v128.load8x8_s(from + <usize>(stride + column)) : i16x8.splat(0);
      const at = to + <usize>(column << 2);
      v128.store(at, v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
      v128.store(at, v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    }
    const error = scratchBase + <usize>t.errors + <usize>((2 * half * t.zStride) << 1);
    for (let row = 0; row < matrix.rows; row++) {
      const at = error + <usize>(row << 1);
      const low = <i32>load<u16>(at);
      const high = second ? <i32>load<i16>(at + <usize>(t.zStride << 1)) << 16 : 0;
      store<i32>(errors + <usize>((row * halves + half) << 2), low | high);
    }
  }
  const to = alignmentsOf(matrix);
  for (let row = 0; row < matrix.rows; row += 2) {
    const second = row + 1 < matrix.rows;
    const e0 = errors + <usize>((row * halves) << 2);
    const e1 = second ? e0 + <usize>(halves << 2) : e0;
    const to0 = to + <usize>((row * stride) << 2);
    const next: usize = second ? <usize>(stride << 2) : 0;
    for (let column = 0; column < stride; column += 16) {
      const at = <usize>(column << 2);
      let a0 = v128.load(to0 + at);
      let a1 = v128.load(to0 + at, 16);
      let a2 = v128.load(to0 + at, 32);
      let a3 = v128.load(to0 + at, 48);
      const to1 = to0 + at + next;
      let b0 = v128.load(to1);
      let b1 = v128.load(to1, 16);
      let b2 = v128.load(to1, 32);
      let b3 = v128.load(to1, 48);
      let x = pairs + at;
      for (let half: usize = 0; half < <usize>(halves << 2); half += 4, x += <usize>(stride << 2)) {
        const u = v128.load32_splat(e0 + half);
        const v = v128.load32_splat(e1 + half);
        let two = v128.load(x);
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(two, u));
        b0 = i32x4.add(b0, i32x4.dot_i16x8_s(two, v));
        two = v128.load(x, 16);
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(two, u));
        b1 = i32x4.add(b1, i32x4.dot_i16x8_s(two, v));
        two = v128.load(x, 32);
        a2 = i32x4.add(a2, i32x4.dot_i16x8_s(two, u));
        b2 = i32x4.add(b2, i32x4.dot_i16x8_s(two, v));
        two = v128.load(x, 48);
        a3 = i32x4.add(a3, i32x4.dot_i16x8_s(two, u));
        b3 = i32x4.add(b3, i32x4.dot_i16x8_s(two, v));
      }
      // Of the last of an odd number, the second is the first again, and is written over by it.
      v128.store(to1, b0);
      v128.store(to1, b1, 16);
      v128.store(to1, b2, 32);
      v128.store(to1, b3, 48);
      v128.store(to0 + at, a0);
      v128.store(to0 + at, a1, 16);
      v128.store(to0 + at, a2, 32);
      v128.store(to0 + at, a3, 48);
    }
  }
}
