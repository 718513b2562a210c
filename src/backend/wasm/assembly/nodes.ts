// The `nodes` estimator on one tile: the unperturbed pass, then for each hidden layer R
// antithetic probes on its active units, with the layers above recomputed.

import { crossEntropy, measure, normalize, roundShift } from './arithmetic';
import { control, Layer, layerAt, Scale, scratchBase, scratchOffsets, TILE } from './control';
import { forwardFrom, forwardTile, inputsOf, labelOf, outputsOf, scaleOf, sumsOf, transposeBytes, transposeWords } from './forward';
import { PURPOSE_PROBE, philox } from './random';

export function nodesTile(tile: i32): void {
  forwardTile(tile);
  for (let index = 0; index < control.layers; index++) {
    const layer = layerAt(index);
    if (!layer.errorsT) continue; // not trained
    const column = <usize>(tile * TILE);
    transposeBytes(inputsOf(index, tile), layer.inputStride, layer.inputStride, layer.inputsT + column, control.batchStride);
    const errors = scratchBase + <usize>scratchOffsets().errors;
    if (index == control.layers - 1) outputErrors(layer, tile, errors);
    else hiddenErrors(index, layer, tile, errors);
    transposeWords(errors, layer.outputStride, layer.outputStride, layer.errorsT + (column << 1), control.batchStride);
  }
}

/** Exact errors of the logits; zero for the examples that only fill the tile up. */
function outputErrors(layer: Layer, tile: i32, errors: usize): void {
  const bytes = layer.outputStride << 1;
  memory.fill(errors, 0, TILE * bytes);
  const count = min(TILE, control.batch - tile * TILE);
  for (let example = 0; example < count; example++) {
    crossEntropy(sumsOf(layer, example), labelOf(tile * TILE + example), errors + <usize>(example * bytes));
  }
}

function hiddenErrors(index: i32, layer: Layer, tile: i32, errors: usize): void {
  const offsets = scratchOffsets();
  const stride = layer.outputStride;
  const probeBytes = TILE * stride;
  const signs = scratchBase + <usize>offsets.signs;
  const rewards = scratchBase + <usize>offsets.rewards;
  const losses = scratchBase + <usize>offsets.losses;
  const sums = scratchBase + <usize>offsets.sums;
  const outputs = scratchBase + <usize>offsets.outputsA;
  const scale = changetype<Scale>(scratchBase + <usize>offsets.words);
  const count = min(TILE, control.batch - tile * TILE);

  for (let example = 0; example < TILE; example++) {
    drawSigns(outputsOf(layer, example), stride, index, tile * TILE + example, signs + <usize>(example * stride), probeBytes);
  }
  for (let probe = 0; probe < control.probes; probe++) {
    const reward = rewards + <usize>((probe * TILE) << 2);
    for (let side = 1; side >= -1; side -= 2) {
      for (let example = 0; example < TILE; example++) {
        const size = max(1, roundShift(scaleOf(layer, example).meanAbs * control.sigma, 8)) * side;
        const z = sums + <usize>((example * stride) << 2);
        disturb(sumsOf(layer, example), signs + <usize>(probe * probeBytes + example * stride), stride, size, z);
        measure(z, layer.rows, scale);
        normalize(z, layer.rows, stride, scale, outputs + <usize>(example * stride));
      }
      forwardFrom(index + 1, outputs, tile);
      for (let example = 0; example < count; example++) {
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
  memory.fill(errors, 0, probeBytes << 1);
  for (let probe = 0; probe < control.probes; probe++) {
    for (let example = 0; example < count; example++) {
      addReward(
        load<i32>(rewards + <usize>((probe * TILE + example) << 2)),
        signs + <usize>(probe * probeBytes + example * stride),
        stride,
        errors + <usize>((example * stride) << 1),
      );
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

/** to = from + size · signs. */
function disturb(from: usize, signs: usize, stride: i32, size: i32, to: usize): void {
  const sizes = i32x4.splat(size);
  for (let at = 0; at < stride; at += 8) {
    const both = v128.load8x8_s(signs + <usize>at);
    const offset = <usize>(at << 2);
    const low = i32x4.mul(i32x4.extend_low_i16x8_s(both), sizes);
    const high = i32x4.mul(i32x4.extend_high_i16x8_s(both), sizes);
    v128.store(to + offset, i32x4.add(v128.load(from + offset), low));
    v128.store(to + offset, i32x4.add(v128.load(from + offset, 16), high), 16);
  }
}

/**
 * Signs of all probes of one example: base bits flipped by Walsh functions of the active
 * unit's rank mod 16, zero on units that are not active.
 */
function drawSigns(active: usize, stride: i32, layer: i32, example: i32, signs: usize, probeBytes: i32): void {
  const words = scratchBase + <usize>scratchOffsets().words;
  const stream = PURPOSE_PROBE | (<u32>layer << 8);
  const bits = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  for (let group = 0; group << 4 < control.probes; group++) {
    const probesHere = min(16, control.probes - (group << 4));
    let before = 0; // active units so far, mod 16
    for (let unit = 0; unit < stride; unit += 16) {
      if ((unit & 127) == 0) {
        philox(control.key0, control.key1, (unit >>> 7) | (group << 16), example, control.step, stream, words);
      }
      const mask = i8x16.gt_s(v128.load(active + <usize>unit), i8x16.splat(0));
      const ones = v128.and(mask, i8x16.splat(1));
      const ranks = v128.and(
        i8x16.add(i8x16.sub(prefixSum(ones), ones), i8x16.splat(<i8>before)),
        i8x16.splat(15),
      );
      before = (before + popcnt(i8x16.bitmask(mask))) & 15;
      const draw = load<u16>(words + <usize>((unit & 127) >>> 3));
      const spread = v128.shuffle<i8>(i8x16.splat(<i8>draw), i8x16.splat(<i8>(draw >>> 8)), 0, 0, 0, 0, 0, 0, 0, 0, 16, 16, 16, 16, 16, 16, 16, 16);
      const base = i8x16.eq(v128.and(spread, bits), bits);
      let to = signs + <usize>((group << 4) * probeBytes + unit);
      for (let probe = 0; probe < probesHere; probe++) {
        const flips = i8x16.swizzle(walsh(probe), ranks);
        const negative = v128.xor(base, flips);
        v128.store(to, v128.and(v128.or(negative, i8x16.splat(1)), mask));
        to += probeBytes;
      }
    }
  }
}

/** 0xff at k where parity(probe & k) is odd, k = 0…15. */
@inline
function walsh(probe: i32): v128 {
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
