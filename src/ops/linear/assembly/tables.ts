// The product of trits with 32 examples by tables: three inputs have 27 ternary combinations, so their
// sums are tabulated for all examples of the tile, and a row of weights then costs a load and an addition
// a vector of eight examples for three inputs, without a multiplication. This is the method of the four
// Russians (Arlazarov et al. 1970) along the batch. It wins where a layer has enough rows to pay for
// the tables: docs/performance.md counts.

import { control, own, Tensor, tensorAt, TILE } from '../../../backend/wasm/assembly/control';
import { transposeBytes, zipHigh16, zipLow16 } from './transpose';

/** Inputs of a table, and its entries. */
const GROUP_COLUMNS: i32 = 3;
const PATTERNS: i32 = 27;

/** Tables that are alive at once. Their inputs are a whole number of vectors. */
const SEGMENT_GROUPS: i32 = 16;
export const SEGMENT_COLUMNS: i32 = SEGMENT_GROUPS * GROUP_COLUMNS;

/** Segments that i16 lanes can sum: 5 · 48 · 127 < 2^15. */
const SEGMENTS_AT_ONCE: i32 = 5;

/** Bytes of an entry, i16[32], and of a table: those of a segment stay in the first cache. */
const ENTRY: i32 = TILE << 1;
const TABLE: i32 = PATTERNS * ENTRY;

/** Rows of a layer that a unit of work of `encodeTile` takes. */
export const CODE_ROWS: i32 = 16;

/** Fewest rows, and fewest examples of a tile, for which tables are faster than dot products. */
const ROWS_MIN: i32 = 32;
const EXAMPLES_MIN: i32 = RELAXED ? 24 : 12;

/** Whether a tensor's product with so many examples takes the tables. */
@inline
export function takesTables(tensor: Tensor, examples: i32): bool {
  return tensor.codes != 0 && tensor.rows >= ROWS_MIN && examples >= EXAMPLES_MIN;
}

/** Codes of some rows: the offset of each group's entry in its segment's tables, u16 [segments, M, 16]. */
export function encodeTile(tile: i32): void {
  for (let index = 0; index < control.tensors; index++) {
    const tensor = tensorAt(index);
    if (!tensor.codes) continue;
    const tiles = (tensor.rows + CODE_ROWS - 1) / CODE_ROWS;
    if (tile < tiles) {
      const end = min(tensor.rows, (tile + 1) * CODE_ROWS);
      for (let row = tile * CODE_ROWS; row < end; row++) encodeRow(tensor, row);
      return;
    }
    tile -= tiles;
  }
}

function encodeRow(tensor: Tensor, row: i32): void {
  const weights = tensor.values + <usize>(row * tensor.stride);
  const columns = tensor.columns;
  for (let from = 0, segment = 0; from < columns; from += SEGMENT_COLUMNS, segment++) {
    const to = tensor.codes + <usize>((segment * tensor.rows + row) * SEGMENT_GROUPS * 2);
    for (let group = 0; group < SEGMENT_GROUPS; group++) {
      const column = from + group * GROUP_COLUMNS;
      let pattern = 13; // 1 + 3 + 9: three zeros
      if (column < columns) pattern += load<i8>(weights + <usize>column);
      if (column + 1 < columns) pattern += 3 * load<i8>(weights + <usize>column, 1);
      if (column + 2 < columns) pattern += 9 * load<i8>(weights + <usize>column, 2);
      store<u16>(to + <usize>(group << 1), group * TABLE + pattern * ENTRY);
    }
  }
}

/** z[32, outputStride] = x[32, stride]·Wᵀ. */
export function tableProduct(tensor: Tensor, x: usize, z: usize): void {
  const columns = own(control.segment);
  const tables = own(control.tables);
  const sums = own(control.tableSums);
  const stride = tensor.stride;
  let summed = 0; // segments in the i16 sums
  let flushed = false;
  for (let from = 0, segment = 0; from < tensor.columns; from += SEGMENT_COLUMNS, segment++) {
    const inputs = min(SEGMENT_COLUMNS, stride - from); // a multiple of 16
    for (let example = 0; example < TILE; example += 16) {
      transposeBytes(x + <usize>(example * stride + from), stride, inputs, columns + <usize>example, TILE);
    }
    const groups = min(SEGMENT_GROUPS, (tensor.columns - from + GROUP_COLUMNS - 1) / GROUP_COLUMNS);
    for (let group = 0; group < groups; group++) {
      tabulate(columns + <usize>(group * GROUP_COLUMNS * TILE), tables + <usize>(group * TABLE));
    }
    const codes = tensor.codes + <usize>(segment * tensor.rows * SEGMENT_GROUPS * 2);
    addEntries(codes, groups, tensor.rows, tables, sums, summed == 0);
    summed++;
    if (summed == SEGMENTS_AT_ONCE || from + SEGMENT_COLUMNS >= tensor.columns) {
      flush(sums, tensor.rows, z, tensor.outputStride, flushed);
      flushed = true;
      summed = 0;
    }
  }
}

/** The 27 sums ±a ± b ± c of three inputs u8[3, 32]. Inputs past the last column meet zero trits alone. */
function tabulate(inputs: usize, table: usize): void {
  for (let example = 0; example < TILE; example += 8) {
    const from = inputs + <usize>example;
    const a = v128.load8x8_u(from);
    const b = v128.load8x8_u(from, TILE);
    const c = v128.load8x8_u(from, 2 * TILE);
    const sum = i16x8.add(a, b);
    const difference = i16x8.sub(a, b);
    const to = table + <usize>(example << 1);
    tabulateThird(i16x8.neg(sum), c, to, 0);
    tabulateThird(i16x8.neg(b), c, to, 1);
    tabulateThird(difference, c, to, 2);
    tabulateThird(i16x8.neg(a), c, to, 3);
    tabulateThird(i16x8.splat(0), c, to, 4);
    tabulateThird(a, c, to, 5);
    tabulateThird(i16x8.neg(difference), c, to, 6);
    tabulateThird(b, c, to, 7);
    tabulateThird(sum, c, to, 8);
  }
}

@inline
function tabulateThird(ab: v128, c: v128, to: usize, pattern: usize): void {
  const at = to + pattern * ENTRY;
  v128.store(at, i16x8.sub(ab, c));
  v128.store(at, ab, 9 * ENTRY);
  v128.store(at, i16x8.add(ab, c), 18 * ENTRY);
}

/**
 * sums[M, 32] += the entries that the codes name, groups by two; `fresh` sums begin at zero. The second of the
 * last two may be past the last column: its code names three zeros.
 */
function addEntries(codes: usize, groups: i32, rows: i32, tables: usize, sums: usize, fresh: bool): void {
  const pairs = (groups + 1) >> 1;
  const used = <usize>(pairs << 2);
  const unused = <usize>(SEGMENT_GROUPS << 1) - used;
  for (const end = sums + <usize>(rows * ENTRY); sums < end; sums += ENTRY) {
    let s0: v128 = i16x8.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    if (!fresh) {
      s0 = v128.load(sums);
      s1 = v128.load(sums, 16);
      s2 = v128.load(sums, 32);
      s3 = v128.load(sums, 48);
    }
    for (const last = codes + used; codes < last; codes += 4) {
      let entry = tables + <usize>load<u16>(codes);
      s0 = i16x8.add(s0, v128.load(entry));
      s1 = i16x8.add(s1, v128.load(entry, 16));
      s2 = i16x8.add(s2, v128.load(entry, 32));
      s3 = i16x8.add(s3, v128.load(entry, 48));
      entry = tables + <usize>load<u16>(codes, 2);
      s0 = i16x8.add(s0, v128.load(entry));
      s1 = i16x8.add(s1, v128.load(entry, 16));
      s2 = i16x8.add(s2, v128.load(entry, 32));
      s3 = i16x8.add(s3, v128.load(entry, 48));
    }
    codes += unused;
    v128.store(sums, s0);
    v128.store(sums, s1, 16);
    v128.store(sums, s2, 32);
    v128.store(sums, s3, 48);
  }
}

/** z[32, stride] = sums[M, 32] transposed and widened, or += them. Rows are taken by eight, past the last one too. */
function flush(sums: usize, rows: i32, z: usize, stride: i32, adds: bool): void {
  for (let row = 0; row < rows; row += 8) {
    for (let example = 0; example < TILE; example += 8) {
      const from = sums + <usize>(row * ENTRY + (example << 1));
      const to = z + <usize>((example * stride + row) << 2);
      flushBlock(from, to, <usize>(stride << 2), adds);
    }
  }
}

/** An 8 × 8 block: three rounds of zips transpose it. */
@inline
function flushBlock(from: usize, to: usize, stride: usize, adds: bool): void {
  const r0 = v128.load(from);
  const r1 = v128.load(from, ENTRY);
  const r2 = v128.load(from, 2 * ENTRY);
  const r3 = v128.load(from, 3 * ENTRY);
  const r4 = v128.load(from, 4 * ENTRY);
  const r5 = v128.load(from, 5 * ENTRY);
  const r6 = v128.load(from, 6 * ENTRY);
  const r7 = v128.load(from, 7 * ENTRY);
  const a0 = zipLow16(r0, r4);
  const a1 = zipHigh16(r0, r4);
  const a2 = zipLow16(r1, r5);
  const a3 = zipHigh16(r1, r5);
  const a4 = zipLow16(r2, r6);
  const a5 = zipHigh16(r2, r6);
  const a6 = zipLow16(r3, r7);
  const a7 = zipHigh16(r3, r7);
  const b0 = zipLow16(a0, a4);
  const b1 = zipHigh16(a0, a4);
  const b2 = zipLow16(a1, a5);
  const b3 = zipHigh16(a1, a5);
  const b4 = zipLow16(a2, a6);
  const b5 = zipHigh16(a2, a6);
  const b6 = zipLow16(a3, a7);
  const b7 = zipHigh16(a3, a7);
  put(zipLow16(b0, b4), to, adds);
  put(zipHigh16(b0, b4), to + stride, adds);
  put(zipLow16(b1, b5), to + 2 * stride, adds);
  put(zipHigh16(b1, b5), to + 3 * stride, adds);
  put(zipLow16(b2, b6), to + 4 * stride, adds);
  put(zipHigh16(b2, b6), to + 5 * stride, adds);
  put(zipLow16(b3, b7), to + 6 * stride, adds);
  put(zipHigh16(b3, b7), to + 7 * stride, adds);
}

@inline
function put(values: v128, to: usize, adds: bool): void {
  let low = i32x4.extend_low_i16x8_s(values);
  let high = i32x4.extend_high_i16x8_s(values);
  if (adds) {
    low = i32x4.add(low, v128.load(to));
    high = i32x4.add(high, v128.load(to, 16));
  }
  v128.store(to, low);
  v128.store(to, high, 16);
}
