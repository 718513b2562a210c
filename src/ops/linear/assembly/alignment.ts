// Alignments of node perturbation along directions, for u7 inputs: for sixteen columns of a tensor at a time, the products
// Σ δ̂·x over the batch, and from them the sums of the directions that touch these weights. Most
// inputs are zero, and so are all errors of an example that the net is sure of: for each column the
// examples that count are listed first, and only they are summed. The products are transient;
// nothing of the size of a tensor is kept.

import { roundShift, roundShift4 } from '../../../backend/wasm/assembly/arithmetic';
import { control, DirectionSet, own, setAt, Tensor, tensorAt, thread, training } from '../../../backend/wasm/assembly/control';
import { scanFrom, scanNext, signBlock, signMask, signMask4, unpermute } from '../../../backend/wasm/assembly/random';
import { zipHigh16, zipLow16 } from './transpose';

/** Columns that a unit of work takes. */
export const ALIGNMENT_COLUMNS: i32 = 16;

/** Examples whose errors stay in the second cache while the columns go by. */
const EXAMPLES_AT_ONCE: i32 = 128;

/** The examples of a column that count: their number, where their errors are, and their inputs, in pairs. */
@unmanaged
class Column {
  count: i32;
}
const COLUMN_INPUTS: i32 = 16; // u16 [EXAMPLES_AT_ONCE + 1]
const COLUMN_ERRORS: i32 = COLUMN_INPUTS + 2 * EXAMPLES_AT_ONCE + 16; // u32 [EXAMPLES_AT_ONCE + 1]
const COLUMN_BYTES: i32 = COLUMN_ERRORS + 4 * EXAMPLES_AT_ONCE + 16;

/** Units of work are numbered through the sets, one after another. */
export function alignTile(tile: i32): void {
  for (let index = 0; index < control.sets; index++) {
    const set = setAt(index);
    const tensor = tensorAt(set.tensor);
    const tiles = (tensor.columns + ALIGNMENT_COLUMNS - 1) / ALIGNMENT_COLUMNS;
    if (tile < tiles) {
      alignColumns(set, tensor, tile * ALIGNMENT_COLUMNS);
      return;
    }
    tile -= tiles;
  }
}

function alignColumns(set: DirectionSet, tensor: Tensor, column: i32): void {
  const products = own(training.products); // i32 [16, outputStride]
  const productStride = tensor.outputStride << 2;
  memory.fill(products, 0, ALIGNMENT_COLUMNS * productStride);
  for (let from = 0; from < control.rows; from += EXAMPLES_AT_ONCE) {
    listExamples(tensor, column, from, min(control.rows, from + EXAMPLES_AT_ONCE));
    for (let c = 0; c < ALIGNMENT_COLUMNS; c++) {
      addErrors(columnAt(c), tensor.outputStride, products + <usize>(c * productStride));
    }
  }
  const sums =
    training.alignments + <usize>((thread * training.alignmentCount + set.first) << 2);
  const columns = min(ALIGNMENT_COLUMNS, tensor.columns - column);
  // Signs of four weights lie in one block where rows begin at multiples of four.
  const byFour = (tensor.columns & 3) == 0 && set.lows >= 4;
  for (let row = 0; row < tensor.rows; row++) {
    const index = row * tensor.columns + column;
    const from = products + <usize>(row << 2);
    if (byFour) sumByFour(set, index, columns, from, productStride, sums);
    else sumDirections(set, index, columns, from, productStride, sums);
  }
}

@inline
function columnAt(c: i32): usize {
  return own(training.columns + c * COLUMN_BYTES);
}

/** Lists the examples from…end − 1 that count, for each of sixteen columns. */
function listExamples(tensor: Tensor, column: i32, from: i32, end: i32): void {
  const errorStride = tensor.outputStride << 1;
  for (let c = 0; c < ALIGNMENT_COLUMNS; c++) changetype<Column>(columnAt(c)).count = 0;
  const first = columnAt(0);
  for (let example = from; example < end; example++) {
    if (!load<u8>(tensor.live + <usize>example)) continue;
    const inputs = tensor.inputs + <usize>(example * tensor.stride + column);
    const errors = <u32>(tensor.errors + <usize>(example * errorStride));
    let nonzero = i8x16.bitmask(i8x16.gt_s(v128.load(inputs), i8x16.splat(0)));
    while (nonzero) {
      const c = ctz(nonzero);
      nonzero &= nonzero - 1;
      const list = first + <usize>(c * COLUMN_BYTES);
      const count = changetype<Column>(list).count;
      store<u16>(list + COLUMN_INPUTS + <usize>(count << 1), load<u8>(inputs + <usize>c));
      store<u32>(list + COLUMN_ERRORS + <usize>(count << 2), errors);
      changetype<Column>(list).count = count + 1;
    }
  }
  for (let c = 0; c < ALIGNMENT_COLUMNS; c++) {
    // The last pair may be a half: its other example counts nothing.
    const list = columnAt(c);
    const count = changetype<Column>(list).count;
    store<u16>(list + COLUMN_INPUTS + <usize>(count << 1), 0);
    store<u32>(list + COLUMN_ERRORS + <usize>(count << 2), <u32>tensor.errors);
  }
}

/** products[M] += Σ x·δ̂[M] over the examples of a list. */
function addErrors(list: usize, rows: i32, products: usize): void {
  const count = changetype<Column>(list).count;
  if (count == 0) return;
  let row = 0;
  for (; row + 32 <= rows; row += 32) {
    addErrors16x2(list, count, <usize>(row << 1), products + <usize>(row << 2));
  }
  if (row < rows) addErrors16(list, count, <usize>(row << 1), products + <usize>(row << 2));
}

/** The same for 32 rows. */
@inline
function addErrors16x2(list: usize, count: i32, at: usize, products: usize): void {
  let p0 = v128.load(products);
  let p1 = v128.load(products, 16);
  let p2 = v128.load(products, 32);
  let p3 = v128.load(products, 48);
  let p4 = v128.load(products, 64);
  let p5 = v128.load(products, 80);
  let p6 = v128.load(products, 96);
  let p7 = v128.load(products, 112);
  for (let k: usize = 0, end = <usize>(count << 1); k < end; k += 4) {
    const x = v128.load32_splat(list + k, COLUMN_INPUTS);
    const a = <usize>load<u32>(list + (k << 1), COLUMN_ERRORS) + at;
    const b = <usize>load<u32>(list + (k << 1), COLUMN_ERRORS + 4) + at;
    let u = v128.load(a);
    let v = v128.load(b);
    p0 = i32x4.add(p0, i32x4.dot_i16x8_s(zipLow16(u, v), x));
    p1 = i32x4.add(p1, i32x4.dot_i16x8_s(zipHigh16(u, v), x));
    u = v128.load(a, 16);
    v = v128.load(b, 16);
    p2 = i32x4.add(p2, i32x4.dot_i16x8_s(zipLow16(u, v), x));
    p3 = i32x4.add(p3, i32x4.dot_i16x8_s(zipHigh16(u, v), x));
    u = v128.load(a, 32);
    v = v128.load(b, 32);
    p4 = i32x4.add(p4, i32x4.dot_i16x8_s(zipLow16(u, v), x));
    p5 = i32x4.add(p5, i32x4.dot_i16x8_s(zipHigh16(u, v), x));
    u = v128.load(a, 48);
    v = v128.load(b, 48);
    p6 = i32x4.add(p6, i32x4.dot_i16x8_s(zipLow16(u, v), x));
    p7 = i32x4.add(p7, i32x4.dot_i16x8_s(zipHigh16(u, v), x));
  }
  v128.store(products, p0);
  v128.store(products, p1, 16);
  v128.store(products, p2, 32);
  v128.store(products, p3, 48);
  v128.store(products, p4, 64);
  v128.store(products, p5, 80);
  v128.store(products, p6, 96);
  v128.store(products, p7, 112);
}

/** The same for 16 rows. */
@inline
function addErrors16(list: usize, count: i32, at: usize, products: usize): void {
  let p0 = v128.load(products);
  let p1 = v128.load(products, 16);
  let p2 = v128.load(products, 32);
  let p3 = v128.load(products, 48);
  for (let k: usize = 0, end = <usize>(count << 1); k < end; k += 4) {
    const x = v128.load32_splat(list + k, COLUMN_INPUTS);
    const a = <usize>load<u32>(list + (k << 1), COLUMN_ERRORS) + at;
    const b = <usize>load<u32>(list + (k << 1), COLUMN_ERRORS + 4) + at;
    let u = v128.load(a);
    let v = v128.load(b);
    p0 = i32x4.add(p0, i32x4.dot_i16x8_s(zipLow16(u, v), x));
    p1 = i32x4.add(p1, i32x4.dot_i16x8_s(zipHigh16(u, v), x));
    u = v128.load(a, 16);
    v = v128.load(b, 16);
    p2 = i32x4.add(p2, i32x4.dot_i16x8_s(zipLow16(u, v), x));
    p3 = i32x4.add(p3, i32x4.dot_i16x8_s(zipHigh16(u, v), x));
  }
  v128.store(products, p0);
  v128.store(products, p1, 16);
  v128.store(products, p2, 32);
  v128.store(products, p3, 48);
}

/** sums[direction] += sign · roundShift(product) for `count` weights from `index` on; products are `stride` bytes apart. */
function sumDirections(set: DirectionSet, index: i32, count: i32, products: usize, stride: usize, sums: usize): void {
  const words = own(control.words);
  signBlock(set, index, words);
  for (const end = index + count; index < end; index++, products += stride) {
    if ((index & 127) == 0) signBlock(set, index, words);
    const position = unpermute(set, index);
    if (position >= set.touched) continue;
    const mask = signMask(words, index);
    add(sums, position % set.directions, (roundShift(load<i32>(products), set.shift) ^ mask) - mask);
  }
}

/** The same where index and count are multiples of four. */
function sumByFour(set: DirectionSet, index: i32, count: i32, products: usize, stride: usize, sums: usize): void {
  const words = own(control.words);
  const shift = set.shift;
  const half = i32x4.splat((1 << shift) >> 1);
  const zero = i32x4.splat(0);
  signBlock(set, index, words);
  scanFrom(set, index);
  for (const end = index + count; index < end; index += 4, products += 4 * stride) {
    if ((index & 127) == 0) signBlock(set, index, words);
    const directions = scanNext(set);
    let values = v128.load32_zero(products);
    values = v128.load32_lane(products + stride, values, 1);
    values = v128.load32_lane(products + 2 * stride, values, 2);
    values = v128.load32_lane(products + 3 * stride, values, 3);
    const signs = signMask4(words, index);
    values = i32x4.sub(v128.xor(roundShift4(values, shift, half), signs), signs);
    // A weight that no direction touches adds nothing to the first one.
    values = v128.andnot(values, i32x4.lt_s(directions, zero));
    const slots = i32x4.max_s(directions, zero);
    add(sums, i32x4.extract_lane(slots, 0), i32x4.extract_lane(values, 0));
    add(sums, i32x4.extract_lane(slots, 1), i32x4.extract_lane(values, 1));
    add(sums, i32x4.extract_lane(slots, 2), i32x4.extract_lane(values, 2));
    add(sums, i32x4.extract_lane(slots, 3), i32x4.extract_lane(values, 3));
  }
}

@inline
function add(sums: usize, direction: i32, value: i32): void {
  const to = sums + <usize>(direction << 2);
  store<i32>(to, load<i32>(to) + value);
}
