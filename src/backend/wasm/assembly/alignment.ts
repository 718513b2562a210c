// Alignment sums of the `nodes` estimator: for four rows of a tensor at a time, the products
// Σ δ̂·x over the batch, and from them the sums of the directions that touch these rows. The
// tile of products is transient; nothing of the size of a tensor is kept.

import { roundShift } from './arithmetic';
import { control, DirectionSet, Layer, layerAt, scratchBase, scratchOffsets, setAt, thread } from './control';
import { scanFrom, scanNext, signBlock, signMask, unpermute } from './random';

/** Rows that a unit of work takes. */
export const ALIGNMENT_ROWS: i32 = 4;

/** Units of work are numbered through the sets, one after another. */
export function alignTile(tile: i32): void {
  for (let index = 0; index < control.sets; index++) {
    const set = setAt(index);
    const layer = layerAt(set.tensor);
    const tiles = (layer.rows + ALIGNMENT_ROWS - 1) / ALIGNMENT_ROWS;
    if (tile < tiles) {
      alignRows(set, layer, tile * ALIGNMENT_ROWS);
      return;
    }
    tile -= tiles;
  }
}

function alignRows(set: DirectionSet, layer: Layer, row: i32): void {
  const products = scratchBase + <usize>scratchOffsets().products;
  const stride = layer.inputStride << 2;
  const errors = layer.errorsT + <usize>((row * control.batchStride) << 1);
  for (let column = 0; column < layer.columns; column += 2) {
    const inputs = layer.inputsT + <usize>(column * control.batchStride);
    productBlock(errors, inputs, products + <usize>(column << 2), stride);
  }
  const sums =
    control.alignments + <usize>((thread * control.alignmentCount + set.first) << 2);
  const rows = min(ALIGNMENT_ROWS, layer.rows - row);
  for (let r = 0; r < rows; r++) {
    sumDirections(set, (row + r) * layer.columns, layer.columns, products + <usize>(r * stride), sums);
  }
}

/** Four rows × two columns of Σ δ̂·x. Rows past the tensor's end read zeros. */
@inline
function productBlock(errors: usize, inputs: usize, to: usize, toStride: i32): void {
  const batch = control.batchStride;
  const errorBytes = <usize>(batch << 1);
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const end = inputs + <usize>((control.batch + 7) & ~7);
  for (let e = errors; inputs < end; inputs += 8) {
    const a = v128.load8x8_u(inputs);
    const b = v128.load8x8_u(inputs + <usize>batch);
    let v = v128.load(e);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(a, v));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(b, v));
    v = v128.load(e + errorBytes);
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(a, v));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(b, v));
    v = v128.load(e + 2 * errorBytes);
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(a, v));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(b, v));
    v = v128.load(e + 3 * errorBytes);
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(a, v));
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(b, v));
    e += 16;
  }
  storePair(to, a0, b0);
  storePair(to + <usize>toStride, a1, b1);
  storePair(to + <usize>(2 * toStride), a2, b2);
  storePair(to + <usize>(3 * toStride), a3, b3);
}

/** [Σ a, Σ b] of two i32x4. */
@inline
function storePair(to: usize, a: v128, b: v128): void {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  v128.store64_lane(to, i32x4.add(ab, v128.shuffle<i32>(ab, ab, 2, 3, 2, 3)), 0);
}

/** sums[direction] += sign · roundShift(product) for `count` weights from `index` on. */
function sumDirections(set: DirectionSet, index: i32, count: i32, products: usize, sums: usize): void {
  const words = scratchBase + <usize>scratchOffsets().words;
  const shift = set.shift;
  const whole = set.lows < 4 ? 0 : count & ~3;
  signBlock(set, index, words);
  if (whole > 0) scanFrom(set, index);
  for (let at = 0; at < whole; at += 4) {
    const directions = scanNext(set);
    const from = products + <usize>(at << 2);
    add(set, index + at, i32x4.extract_lane(directions, 0), load<i32>(from), shift, sums, words);
    add(set, index + at + 1, i32x4.extract_lane(directions, 1), load<i32>(from, 4), shift, sums, words);
    add(set, index + at + 2, i32x4.extract_lane(directions, 2), load<i32>(from, 8), shift, sums, words);
    add(set, index + at + 3, i32x4.extract_lane(directions, 3), load<i32>(from, 12), shift, sums, words);
  }
  for (let at = whole; at < count; at++) {
    const position = unpermute(set, index + at);
    const direction = position < set.touched ? position % set.directions : -1;
    add(set, index + at, direction, load<i32>(products + <usize>(at << 2)), shift, sums, words);
  }
}

@inline
function add(set: DirectionSet, index: i32, direction: i32, product: i32, shift: i32, sums: usize, words: usize): void {
  if ((index & 127) == 0) signBlock(set, index, words);
  if (direction < 0) return;
  const mask = signMask(words, index);
  const value = (roundShift(product, shift) ^ mask) - mask;
  const to = sums + <usize>(direction << 2);
  store<i32>(to, load<i32>(to) + value);
}
