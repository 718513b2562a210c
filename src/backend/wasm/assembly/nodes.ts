// The `nodes` estimator on one tile: the unperturbed pass, then for each hidden layer R
// antithetic probes on its active units, with the layers above recomputed.

import { crossEntropy, normalize, roundDiv, roundShift, total } from './arithmetic';
import { control, Layer, layerAt, Scale, scratchBase, scratchOffsets, TILE } from './control';
import { examplesOf, forwardFrom, forwardTile, inputsOf, labelOf, outputsOf, scaleOf, sumsOf } from './forward';
import { PURPOSE_PROBE, philox } from './random';

export function nodesTile(tile: i32): void {
  forwardTile(tile);
  const first = tile * TILE;
  const examples = examplesOf(tile);
  for (let index = 0; index < control.layers; index++) {
    const layer = layerAt(index);
    if (!layer.errors) continue; // not trained
    if (index > 0) {
      const inputs = layer.inputs + <usize>(first * layer.inputStride);
      memory.copy(inputs, inputsOf(index, tile), examples * layer.inputStride);
    }
    const stride = layer.outputStride << 1;
    const errors = layer.errors + <usize>(first * stride);
    if (index == control.layers - 1) outputErrors(layer, tile, errors);
    else hiddenErrors(index, layer, tile, errors);
    for (let example = 0; example < examples; example++) {
      store<u8>(layer.live + <usize>(first + example), hasNonzero(errors + <usize>(example * stride), stride));
    }
  }
}

/** Whether any of the bytes at an address is not 0; their number is a multiple of 16. */
function hasNonzero(at: usize, bytes: i32): bool {
  let seen = v128.load(at);
  for (const end = at + <usize>bytes; at < end; at += 16) seen = v128.or(seen, v128.load(at));
  return v128.any_true(seen);
}

/** Exact errors of the logits. */
function outputErrors(layer: Layer, tile: i32, errors: usize): void {
  const bytes = layer.outputStride << 1;
  const examples = examplesOf(tile);
  memory.fill(errors, 0, examples * bytes);
  for (let example = 0; example < examples; example++) {
    crossEntropy(sumsOf(layer, example), labelOf(tile * TILE + example), errors + <usize>(example * bytes));
  }
}

function hiddenErrors(index: i32, layer: Layer, tile: i32, errors: usize): void {
  const offsets = scratchOffsets();
  const stride = layer.outputStride;
  const probeBytes = TILE * stride;
  const signs = scratchBase + <usize>offsets.signs;
  const signSums = scratchBase + <usize>offsets.signSums;
  const rewards = scratchBase + <usize>offsets.rewards;
  const losses = scratchBase + <usize>offsets.losses;
  const outputs = scratchBase + <usize>offsets.outputsA;
  const examples = examplesOf(tile);

  for (let example = 0; example < examples; example++) {
    const sums = signSums + <usize>(example << 2);
    drawSigns(outputsOf(layer, example), stride, index, control.firstRow + tile * TILE + example, signs + <usize>(example * stride), probeBytes, sums);
  }
  for (let probe = 0; probe < control.probes; probe++) {
    const reward = rewards + <usize>((probe * TILE) << 2);
    for (let side = 1; side >= -1; side -= 2) {
      for (let example = 0; example < examples; example++) {
        const size = max(1, roundShift(scaleOf(layer, example).meanAbs * control.sigma, 8)) * side;
        const drawn = signs + <usize>(probe * probeBytes + example * stride);
        const sum = load<i32>(signSums + <usize>((probe * TILE + example) << 2));
        disturb(layer, example, drawn, sum, size, outputs + <usize>(example * stride));
      }
      forwardFrom(index + 1, outputs, tile);
      for (let example = 0; example < examples; example++) {
        const at = <usize>(example << 2);
        const loss = load<i32>(losses + at);
        if (side == 1) store<i32>(reward + at, loss);
        else {
          const difference = roundShift(load<i32>(reward + at) - loss, control.rewardShift);
          store<i32>(reward + at, max(-control.rewardLimit, min(control.rewardLimit, difference)));
        }
      }
    }
  }
  memory.fill(errors, 0, examples * stride << 1);
  for (let probe = 0; probe < control.probes; probe++) {
    for (let example = 0; example < examples; example++) {
      const reward = load<i32>(rewards + <usize>((probe * TILE + example) << 2));
      if (reward == 0) continue;
      const drawn = signs + <usize>(probe * probeBytes + example * stride);
      addReward(reward, drawn, stride, errors + <usize>((example * stride) << 1));
    }
  }
}

/** errors[stride] += reward · signs[stride]. */
function addReward(reward: i32, signs: usize, stride: i32, errors: usize): void {
  const rewards = i16x8.splat(<i16>reward);
  for (let at = 0; at < stride; at += 8) {
    const to = errors + <usize>(at << 1);
    const moved = i16x8.mul(v128.load8x8_s(signs + <usize>at), rewards);
    v128.store(to, i16x8.add(v128.load(to), moved));
  }
}

/**
 * Activations of a layer whose pre-activations are moved by size · signs. Where the mean comes to is known
 * beforehand, from the sum of the signs; so one walk moves and measures.
 */
function disturb(layer: Layer, example: i32, signs: usize, signSum: i32, size: i32, outputs: usize): void {
  const offsets = scratchOffsets();
  const rows = layer.rows;
  const stride = layer.outputStride;
  const z = scratchBase + <usize>offsets.sums;
  const from = sumsOf(layer, example);
  const mean = control.centred ? roundDiv(scaleOf(layer, example).sum + size * signSum, rows) : 0;
  const sizes = i32x4.splat(size);
  const means = i32x4.splat(mean);
  const whole = rows & ~7;
  let absolutes = i32x4.splat(0);
  for (let at = 0; at < whole; at += 8) {
    const both = v128.load8x8_s(signs + <usize>at);
    const offset = <usize>(at << 2);
    const low = i32x4.add(v128.load(from + offset), i32x4.mul(i32x4.extend_low_i16x8_s(both), sizes));
    const high = i32x4.add(v128.load(from + offset, 16), i32x4.mul(i32x4.extend_high_i16x8_s(both), sizes));
    v128.store(z + offset, low);
    v128.store(z + offset, high, 16);
    absolutes = i32x4.add(absolutes, i32x4.abs(i32x4.sub(low, means)));
    absolutes = i32x4.add(absolutes, i32x4.abs(i32x4.sub(high, means)));
  }
  let absolute = total(absolutes);
  for (let at = whole; at < rows; at++) {
    const moved = load<i32>(from + <usize>(at << 2)) + size * <i32>load<i8>(signs + <usize>at);
    store<i32>(z + <usize>(at << 2), moved);
    absolute += abs(moved - mean);
  }
  const scale = changetype<Scale>(scratchBase + <usize>offsets.words);
  scale.mean = mean;
  scale.meanAbs = max(1, roundDiv(absolute, rows));
  normalize(z, rows, stride, scale, outputs);
}

/**
 * Signs of all probes of one example, and their sums, TILE words apart: base bits flipped by Walsh functions of the active
 * unit's rank mod 16, zero on units that are not active.
 */
function drawSigns(outputs: usize, stride: i32, layer: i32, example: i32, signs: usize, probeBytes: i32, sums: usize): void {
  const words = scratchBase + <usize>scratchOffsets().words;
  const stream = PURPOSE_PROBE | (<u32>layer << 8);
  const bits = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  for (let group = 0; group << 4 < control.probes; group++) {
    const probesHere = min(16, control.probes - (group << 4));
    let before = 0; // active units so far, mod 16
    for (let probe = 0; probe < probesHere; probe++) store<i32>(sums + <usize>((((group << 4) + probe) * TILE) << 2), 0);
    for (let unit = 0; unit < stride; unit += 16) {
      if ((unit & 127) == 0) {
        philox(control.key0, control.key1, (unit >>> 7) | (group << 16), example, control.step, stream, words);
      }
      const mask = i8x16.gt_s(v128.load(outputs + <usize>unit), i8x16.splat(0));
      const ones = v128.and(mask, i8x16.splat(1));
      const ranks = v128.and(
        i8x16.add(i8x16.sub(prefixSum(ones), ones), i8x16.splat(<i8>before)),
        i8x16.splat(15),
      );
      const active = popcnt(i8x16.bitmask(mask));
      before = (before + active) & 15;
      const draw = load<u16>(words + <usize>((unit & 127) >>> 3));
      const spread = v128.shuffle<i8>(i8x16.splat(<i8>draw), i8x16.splat(<i8>(draw >>> 8)), 0, 0, 0, 0, 0, 0, 0, 0, 16, 16, 16, 16, 16, 16, 16, 16);
      const base = i8x16.eq(v128.and(spread, bits), bits);
      let to = signs + <usize>((group << 4) * probeBytes + unit);
      let sum = sums + <usize>(((group << 4) * TILE) << 2);
      for (let probe = 0; probe < probesHere; probe++) {
        const flips = i8x16.swizzle(walsh(probe), ranks);
        const negative = v128.xor(base, flips);
        const drawn = v128.and(v128.or(negative, i8x16.splat(1)), mask);
        v128.store(to, drawn);
        store<i32>(sum, load<i32>(sum) + active - (popcnt(i8x16.bitmask(drawn)) << 1));
        to += probeBytes;
        sum += TILE << 2;
      }
    }
  }
}

/** 0xff at k where parity(probe & k) is odd, k = 0…15. */
@inline
export function walsh(probe: i32): v128 {
  const ranks = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const ones = i8x16.popcnt(v128.and(ranks, i8x16.splat(<i8>probe)));
  return i8x16.neg(v128.and(ones, i8x16.splat(1)));
}

/** Inclusive sums over the 16 lanes. */
@inline
function prefixSum(v: v128): v128 {
  const zero = i8x16.splat(0);
  v = i8x16.add(v, v128.shuffle<i8>(zero, v, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30));
  v = i8x16.add(v, v128.shuffle<i8>(zero, v, 0, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29));
  v = i8x16.add(v, v128.shuffle<i8>(zero, v, 0, 0, 0, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27));
  return i8x16.add(v, v128.shuffle<i8>(zero, v, 0, 0, 0, 0, 0, 0, 0, 0, 16, 17, 18, 19, 20, 21, 22, 23));
}
