// Node perturbation on one tile: the undisturbed pass, then each site alone. Its sums are moved by R antithetic probes,
// the instructions that depend on them are run again, and the rewards times the signs are the errors of its units.

import { crossEntropy, logitsOf } from '../../../ops/loss/wasm';
import { activations, measure, Normalize, Scale, scaleAt } from '../../../ops/normalize/wasm';
import { align, run } from '../../../ops/wasm';
import { roundDiv, roundShift, roundShift4, total, within4 } from './arithmetic';
import {
  control,
  Instruction,
  own,
  Site,
  slotAt,
  Tensor,
  tensorOf,
  thread,
  tileFirst,
  tileLabels,
  training,
} from './control';
import { execute, forwardTile, lossOf } from './program';
import { philox, PURPOSE_PROBE } from './random';

const CENTRED: i32 = 1;
const COARSE: i32 = 2;
/** Bits that the terms of a coarse magnitude are rounded by before they are summed up. */
const COARSE_SHIFT: i32 = 4;
/** Fraction bits of sigma. */
const SIGMA_BITS: i32 = 8;

export function nodesTile(tile: i32): void {
  const rows = forwardTile(tile);
  for (let index = 0; index < training.sites; index++) {
    const site = changetype<Site>(training.site + <usize>index * offsetof<Site>());
    if (!site.trained) continue;
    const i = site.instruction;
    const tensor = tensorOf(i);
    const bytes = i.stride << 1; // of a row's errors
    const errors = tensor.errors ? tensor.errors + <usize>(tileFirst * bytes) : own(training.errors);
    memory.fill(errors, 0, rows * bytes);
    if (site.exact) exactErrors(i, rows, errors);
    else if (training.probes > 0) probe(site, rows, errors);
    if (LAYERS && tensor.errors) keepRows(i, tensor, rows, errors);
    else if (SIGNED && (site.exact || training.probes > 0)) {
      align(i, rows, errors, training.sums + <usize>(thread * training.sumsBytes + tensor.sums));
    }
  }
}

/** Errors that the loss gives in closed form. */
function exactErrors(i: Instruction, rows: i32, errors: usize): void {
  const loss = lossOf();
  for (let row = 0; row < rows; row++) {
    const label = load<u8>(tileLabels + <usize>row);
    crossEntropy(loss, logitsOf(loss, row), label, errors + <usize>((row * i.stride) << 1));
  }
}

/** Keeps the inputs of a tensor, and which rows count, for the alignment of the whole batch. */
function keepRows(i: Instruction, tensor: Tensor, rows: i32, errors: usize): void {
  const bytes = i.stride << 1;
  if (i.x >= 0) {
    memory.copy(tensor.inputs + <usize>(tileFirst * tensor.stride), slotAt(i.x), rows * tensor.stride);
  }
  for (let row = 0; row < rows; row++) {
    store<u8>(tensor.live + <usize>(tileFirst + row), hasNonzero(errors + <usize>(row * bytes), bytes));
  }
}

/** Whether any of the bytes at an address is not 0; their number is a multiple of 16. */
function hasNonzero(at: usize, bytes: i32): bool {
  let seen = v128.load(at);
  for (const end = at + <usize>bytes; at < end; at += 16) seen = v128.or(seen, v128.load(at));
  return v128.any_true(seen);
}

/** Errors of a site's units, from all its probes. */
function probe(site: Site, rows: i32, errors: usize): void {
  const i = site.instruction;
  const signBytes = rows * i.stride; // of a probe
  if (site.again) run(i, rows);
  for (let row = 0; row < rows; row++) {
    store<i32>(own(training.sizes) + <usize>(row << 2), sizeOf(site, row));
  }
  for (let first = 0; first < training.probes; first += training.together) {
    const end = min(training.probes, first + training.together);
    for (let row = 0; row < rows; row++) drawSigns(site, row, rows, first, end);
    for (let probe = first; probe < end; probe++) {
      const signs = own(training.signs) + <usize>((probe - first) * signBytes);
      const signSums = own(training.signSums) + <usize>(((probe - first) * rows) << 2);
      disturbedPass(site, rows, signs, signSums, 1);
      memory.copy(own(training.plus), own(training.minus), rows << 2);
      disturbedPass(site, rows, signs, signSums, -1);
      addRewards(i, rows, site.horizon ? training.horizon : 0, signs, errors);
    }
  }
}

/** The size of a row's probes: sigma times the mean magnitude of its sums, at least 1. */
function sizeOf(site: Site, row: i32): i32 {
  const i = site.instruction;
  if (site.scales >= 0) return max(1, roundShift(scaleAt(site.scales, row).meanAbs * training.sigma, SIGMA_BITS));
  const z = sumsOf(i, row);
  if (site.size == COARSE) {
    const coarse = roundDiv(coarseSum(z, i.units), i.units);
    return max(1, roundShift(coarse * training.sigma, SIGMA_BITS - COARSE_SHIFT));
  }
  const scale = changetype<Scale>(own(control.words));
  measure(z, i.units, i32(site.size == CENTRED), scale);
  return max(1, roundShift(scale.meanAbs * training.sigma, SIGMA_BITS));
}

@inline
function sumsOf(i: Instruction, row: i32): usize {
  return slotAt(i.out) + <usize>((row * i.stride) << 2);
}

function coarseSum(z: usize, units: i32): i32 {
  const half = i32x4.splat((1 << COARSE_SHIFT) >> 1);
  let lanes = i32x4.splat(0);
  for (let unit = 0; unit < units; unit += 4) {
    const coarse = roundShift4(i32x4.abs(v128.load(z + <usize>(unit << 2))), COARSE_SHIFT, half);
    lanes = i32x4.add(lanes, v128.and(coarse, within4(unit, units)));
  }
  return total(lanes);
}

/** The losses of all rows with their sums moved to one side. */
function disturbedPass(site: Site, rows: i32, signs: usize, signSums: usize, side: i32): void {
  const stride = site.instruction.stride;
  const fused = site.scales >= 0;
  for (let row = 0; row < rows; row++) {
    const size = load<i32>(own(training.sizes) + <usize>(row << 2)) * side;
    const drawn = signs + <usize>(row * stride);
    if (LAYERS && fused) moveAndNormalize(site, row, drawn, load<i32>(signSums + <usize>(row << 2)), size);
    else move(site, row, drawn, size);
  }
  execute(fused ? changetype<Instruction>(site.continuation).next : site.continuation, rows);
}

/** Sums + size · signs. */
function move(site: Site, row: i32, signs: usize, size: i32): void {
  const i = site.instruction;
  const from = sumsOf(i, row);
  const to = own(site.disturbed) + <usize>((row * i.stride) << 2);
  const sizes = i32x4.splat(size);
  for (let unit = 0; unit < i.units; unit += 4) {
    const drawn = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(signs + <usize>unit)));
    const at = <usize>(unit << 2);
    v128.store(to + at, i32x4.add(v128.load(from + at), i32x4.mul(drawn, sizes)));
  }
}

/**
 * The same, and the activations that `normalize` makes of it. Where the mean comes to is known beforehand, from the
 * sum of the signs; so one walk moves and measures.
 */
function moveAndNormalize(site: Site, row: i32, signs: usize, signSum: i32, size: i32): void {
  const normalize = changetype<Normalize>(site.continuation);
  const units = normalize.columns;
  const z = own(site.disturbed);
  const from = sumsOf(site.instruction, row);
  const mean = normalize.centred ? roundDiv(scaleAt(site.scales, row).sum + size * signSum, units) : 0;
  const sizes = i32x4.splat(size);
  const means = i32x4.splat(mean);
  const whole = units & ~7;
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
  for (let at = whole; at < units; at++) {
    const moved = load<i32>(from + <usize>(at << 2)) + size * <i32>load<i8>(signs + <usize>at);
    store<i32>(z + <usize>(at << 2), moved);
    absolute += abs(moved - mean);
  }
  const scale = changetype<Scale>(own(control.words));
  scale.mean = mean;
  scale.meanAbs = max(1, roundDiv(absolute, units));
  activations(normalize, z, scale, slotAt(normalize.out) + <usize>(row * normalize.stride));
}

/** Adds a probe's reward at each row, with `later` rows after it, to the errors of the units. */
function addRewards(i: Instruction, rows: i32, later: i32, signs: usize, errors: usize): void {
  const plus = own(training.plus);
  const minus = own(training.minus);
  const limit = training.rewardLimit;
  for (let row = 0; row < rows; row++) {
    let difference = 0;
    for (let at = row; at <= row + later && at < rows; at++) {
      difference += load<i32>(plus + <usize>(at << 2)) - load<i32>(minus + <usize>(at << 2));
    }
    const reward = max(-limit, min(limit, roundShift(difference, training.rewardShift)));
    if (reward == 0) continue;
    const rewards = i16x8.splat(<i16>reward);
    const drawn = signs + <usize>(row * i.stride);
    const sums = errors + <usize>((row * i.stride) << 1);
    for (let unit = 0; unit < i.units; unit += 8) {
      const to = sums + <usize>(unit << 1);
      v128.store(to, i16x8.add(v128.load(to), i16x8.mul(v128.load8x8_s(drawn + <usize>unit), rewards)));
    }
  }
}

/**
 * Signs of the probes first…end − 1 of a row, which are of one group of 16, and their sums: base bits flipped by Walsh
 * functions of the active unit's rank mod 16, zero on units that are not active.
 */
function drawSigns(site: Site, row: i32, rows: i32, first: i32, end: i32): void {
  const units = site.instruction.units;
  const stride = site.instruction.stride;
  const words = own(control.words);
  const signs = own(training.signs) + <usize>(row * stride);
  const sums = own(training.signSums) + <usize>(row << 2);
  const active: usize = site.active < 0 ? 0 : own(site.active) + <usize>(row * stride);
  const group = (first >> 4) << 16;
  const stream = PURPOSE_PROBE | (<u32>site.site << 8);
  const bits = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  const lanes = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  let before = 0; // active units so far, mod 16
  for (let probe = first; probe < end; probe++) store<i32>(sums + <usize>(((probe - first) * rows) << 2), 0);
  for (let unit = 0; unit < units; unit += 16) {
    if ((unit & 127) == 0) {
      philox(control.key0, control.key1, (unit >>> 7) | group, training.firstRow + tileFirst + row, control.step, stream, words);
    }
    let mask = i8x16.lt_s(lanes, i8x16.splat(<i8>min(16, units - unit)));
    let ranks = lanes;
    if (active) {
      mask = i8x16.gt_s(v128.load(active + <usize>unit), i8x16.splat(0));
      const ones = v128.and(mask, i8x16.splat(1));
      ranks = v128.and(i8x16.add(i8x16.sub(prefixSum(ones), ones), i8x16.splat(<i8>before)), i8x16.splat(15));
    }
    const count = popcnt(i8x16.bitmask(mask));
    before = (before + count) & 15;
    const draw = load<u16>(words + <usize>((unit & 127) >>> 3));
    const spread = v128.shuffle<i8>(i8x16.splat(<i8>draw), i8x16.splat(<i8>(draw >>> 8)), 0, 0, 0, 0, 0, 0, 0, 0, 16, 16, 16, 16, 16, 16, 16, 16);
    const base = i8x16.eq(v128.and(spread, bits), bits);
    let to = signs + <usize>unit;
    let sum = sums;
    for (let probe = first; probe < end; probe++) {
      const flips = i8x16.swizzle(walsh(probe & 15), ranks);
      const drawn = v128.and(v128.or(v128.xor(base, flips), i8x16.splat(1)), mask);
      v128.store(to, drawn);
      store<i32>(sum, load<i32>(sum) + count - (popcnt(i8x16.bitmask(drawn)) << 1));
      to += rows * stride;
      sum += rows << 2;
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
