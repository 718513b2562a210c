// The `weights` estimator on one tile of a chain of layers. A direction has few nonzeros, so most of an example's
// sums stay what they were: only what a perturbation reaches is computed again, by adding the
// weight columns of the activations that changed.

import { crossEntropy } from '../../../ops/loss/wasm';
import { activations, limitOf, measure, Normalize, quantize, reciprocalOf, Scale, scaleAt } from '../../../ops/normalize/wasm';
import { roundDiv } from './arithmetic';
import { control, Entry, Instruction, LayerOf, own, slotAt, tensorOf, thread, tileFirst, tileLabels, training } from './control';
import { forwardTile, lossOf } from './program';

/** Columns that i16 lanes can sum: 256 · 127 < 2^15. */
const COLUMNS_AT_ONCE: i32 = 256;

/** Examples whose sums and activations stay in the first cache while the directions go by. */
const EXAMPLES_AT_ONCE: i32 = 16;

@unmanaged
class Change {
  index: i32;
  delta: i32;
}

export function weightsTile(tile: i32): void {
  const count = forwardTile(tile);
  const sums = training.alignments + <usize>((thread * training.alignmentCount) << 3);
  for (let begin = 0; begin < count; begin += EXAMPLES_AT_ONCE) {
    const stop = min(count, begin + EXAMPLES_AT_ONCE);
    for (let k = 0; k < training.directions; k++) {
      const first = load<i32>(training.directionStart + <usize>(k << 2));
      const end = load<i32>(training.directionStart + <usize>(k << 2), 4);
      let difference: i64 = 0;
      for (let example = begin; example < stop; example++) {
        if (!reaches(first, end, example)) continue;
        difference += disturbedLoss(first, end, example, 1);
        difference -= disturbedLoss(first, end, example, -1);
      }
      const to = sums + <usize>(k << 3);
      store<f64>(to, load<f64>(to) + <f64>difference);
    }
  }
}

@inline
function entryAt(index: i32): Entry {
  return changetype<Entry>(training.entries + <usize>index * offsetof<Entry>());
}

@inline
function changeAt(index: i32): Change {
  return changetype<Change>(own(training.changes) + <usize>index * offsetof<Change>());
}

@inline
function layerAt(index: i32): LayerOf {
  return changetype<LayerOf>(training.layer + <usize>index * offsetof<LayerOf>());
}

@inline
function inputsOf(linear: Instruction, example: i32): usize {
  return slotAt(linear.x) + <usize>(example * linear.inputStride);
}

/** Whether any nonzero meets an activation that is not zero. */
function reaches(first: i32, end: i32, example: i32): bool {
  for (let at = first; at < end; at++) {
    const entry = entryAt(at);
    if (load<u8>(inputsOf(layerAt(entry.layer).linear, example) + <usize>entry.column)) return true;
  }
  return false;
}

/** Loss of one example with the direction added (side 1) or subtracted (side −1). */
function disturbedLoss(first: i32, end: i32, example: i32, side: i32): i32 {
  const last = training.layers - 1;
  const loss = lossOf();
  const label = load<u8>(tileLabels + <usize>example);
  const z = own(training.sumsOf);
  let x = inputsOf(layerAt(0).linear, example);
  let next = own(training.outputsA);
  let other = own(training.outputsB);
  let changes = 0; // activations of x that differ from the unperturbed ones, listed in the scratch
  let entry = first;
  for (let index = 0; index <= last; index++) {
    const linear = layerAt(index).linear;
    const normalize = changetype<Normalize>(layerAt(index).normalize);
    const from = entry;
    while (entry < end && entryAt(entry).layer == index) entry++;
    const base = slotAt(linear.out) + <usize>((example * linear.stride) << 2);
    const stays = index < last ? slotAt(normalize.out) + <usize>(example * normalize.stride) : 0;

    if (changes == 0) {
      const touched = touchedRows(from, entry, x, side);
      if (touched == 0) {
        x = stays;
        continue;
      }
      if (index < last && keepsScale(normalize, base, scaleAt(normalize.scales, example), touched)) {
        changes = requantize(normalize, base, scaleAt(normalize.scales, example), touched, stays, next);
        x = changes ? next : stays;
      } else {
        memory.copy(z, base, linear.stride << 2);
        for (let at = 0; at < touched; at++) {
          const to = z + <usize>(changeAt(at).index << 2);
          store<i32>(to, load<i32>(to) + changeAt(at).delta);
        }
        if (index == last) return crossEntropy(loss, z, label, 0);
        changes = activate(normalize, z, stays, next);
        x = next;
      }
    } else {
      addColumns(linear, base, changes, z);
      for (let at = from; at < entry; at++) {
        const e = entryAt(at);
        const to = z + <usize>(e.row << 2);
        store<i32>(to, load<i32>(to) + side * e.sign * <i32>load<u8>(x + <usize>e.column));
      }
      if (index == last) return crossEntropy(loss, z, label, 0);
      changes = activate(normalize, z, stays, next);
      x = next;
    }
    const swap = next;
    next = other;
    other = swap;
  }
  return load<i32>(control.losses + <usize>((tileFirst + example) << 2));
}

/** Rows that nonzeros from…end change by what, one entry a row; returns how many. */
function touchedRows(from: i32, end: i32, x: usize, side: i32): i32 {
  let touched = 0;
  for (let at = from; at < end; at++) {
    const entry = entryAt(at);
    const delta = side * entry.sign * <i32>load<u8>(x + <usize>entry.column);
    if (delta == 0) continue;
    let known = 0;
    while (known < touched && changeAt(known).index != entry.row) known++;
    if (known == touched) {
      changeAt(known).index = entry.row;
      changeAt(known).delta = 0;
      touched++;
    }
    changeAt(known).delta += delta;
  }
  return touched;
}

/** Whether mean and mean absolute value round to what they were. */
function keepsScale(i: Normalize, base: usize, scale: Scale, touched: i32): bool {
  const mean = scale.mean;
  let sum = scale.sum;
  let absolute = scale.absolute;
  for (let at = 0; at < touched; at++) {
    const change = changeAt(at);
    const z = load<i32>(base + <usize>(change.index << 2)) - mean;
    sum += change.delta;
    absolute += abs(z + change.delta) - abs(z);
  }
  if (i.centred && roundDiv(sum, i.units) != mean) return false;
  return max(1, roundDiv(absolute, i.units)) == scale.meanAbs;
}

/** New activations where only the touched rows can differ; lists the changes, returns how many. */
function requantize(i: Normalize, base: usize, scale: Scale, touched: i32, stays: usize, q: usize): i32 {
  const limit = limitOf(i, scale.meanAbs);
  const reciprocal = reciprocalOf(i, scale.meanAbs);
  let changes = 0;
  for (let at = 0; at < touched; at++) {
    const row = changeAt(at).index;
    const value = quantize(load<i32>(base + <usize>(row << 2)) + changeAt(at).delta, scale.mean, limit, reciprocal);
    const delta = value - <i32>load<u8>(stays + <usize>row);
    if (delta == 0) continue;
    if (changes == 0) memory.copy(q, stays, i.stride);
    store<u8>(q + <usize>row, value);
    changeAt(changes).index = row; // changes ≤ at: earlier entries are done with
    changeAt(changes).delta = delta;
    changes++;
  }
  return changes;
}

/** Activations of all rows; lists where they differ from `stays`, returns how many. */
function activate(i: Normalize, z: usize, stays: usize, q: usize): i32 {
  const scale = changetype<Scale>(own(control.words));
  measure(z, i.units, i.centred, scale);
  activations(i, z, scale, q);
  let changes = 0;
  for (let row = 0; row < i.stride; row += 16) {
    let different = ~i8x16.bitmask(i8x16.eq(v128.load(q + <usize>row), v128.load(stays + <usize>row))) & 0xffff;
    while (different) {
      const at = row + ctz(different);
      different &= different - 1;
      changeAt(changes).index = at;
      changeAt(changes).delta = <i32>load<u8>(q + <usize>at) - <i32>load<u8>(stays + <usize>at);
      changes++;
    }
  }
  return changes;
}

/** z = base + Σ delta · (column of the weights) over the listed changes. */
function addColumns(i: Instruction, base: usize, changes: i32, z: usize): void {
  const stride = i.stride;
  for (let row = 0; row < stride; row += 16) {
    const to = z + <usize>(row << 2);
    const from = base + <usize>(row << 2);
    let s0 = v128.load(from);
    let s1 = v128.load(from, 16);
    let s2 = v128.load(from, 32);
    let s3 = v128.load(from, 48);
    const columns = tensorOf(i).transposed + <usize>row;
    for (let first = 0; first < changes; first += COLUMNS_AT_ONCE) {
      let low = i16x8.splat(0);
      let high = i16x8.splat(0);
      const end = min(changes, first + COLUMNS_AT_ONCE);
      for (let at = first; at < end; at++) {
        const change = changeAt(at);
        const delta = i16x8.splat(<i16>change.delta);
        const column = columns + <usize>(change.index * stride);
        low = i16x8.add(low, i16x8.mul(v128.load8x8_s(column), delta));
        high = i16x8.add(high, i16x8.mul(v128.load8x8_s(column, 8), delta));
      }
      s0 = i32x4.add(s0, i32x4.extend_low_i16x8_s(low));
      s1 = i32x4.add(s1, i32x4.extend_high_i16x8_s(low));
      s2 = i32x4.add(s2, i32x4.extend_low_i16x8_s(high));
      s3 = i32x4.add(s3, i32x4.extend_high_i16x8_s(high));
    }
    v128.store(to, s0);
    v128.store(to, s1, 16);
    v128.store(to, s2, 32);
    v128.store(to, s3, 48);
  }
}
