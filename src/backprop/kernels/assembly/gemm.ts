// C[I, J] = Σ_k P[k, i] · R[k, j] in float32. Both factors are packed into panels that the
// innermost loop reads one after another: P four rows wide, R eight columns. A block of C is
// 4 × 8: eight accumulators, as many as two multiply-adds of four cycles each need. Where all
// eight columns of R are zero at a k, that k is left out: of the pixels of a digit, most.

import { multiplyAdd, roundUp } from './vector';

const ROWS: i32 = 4;
const COLUMNS: i32 = 8;
/** k is taken in parts, so that one panel of each factor stays in the first cache: 512·(4 + 8)·4 = 24 KiB. */
const DEPTH: i32 = 512;

/** Bytes of scratch that `gemm` needs. */
export function gemmScratch(depth: i32, rows: i32): i32 {
  const part = min(depth, DEPTH);
  return (roundUp(rows, ROWS) * part + (COLUMNS + 1) * part + ROWS * COLUMNS) << 2;
}

/**
 * Computes C.
 * @param p - P as [K, I], or as [I, K] where `transposed`
 * @param r - R as [K, J]
 * @param scratch - gemmScratch(K, I) bytes, on 16
 */
export function gemm(
  p: usize,
  transposed: bool,
  r: usize,
  depth: i32,
  rows: i32,
  columns: i32,
  c: usize,
  scratch: usize,
): void {
  const part = min(depth, DEPTH);
  const panelsP = scratch;
  const panelR = panelsP + <usize>((roundUp(rows, ROWS) * part) << 2);
  const edge = panelR + <usize>((COLUMNS * part) << 2);
  const used = edge + <usize>((ROWS * COLUMNS) << 2);
  for (let from = 0; from < depth; from += part) {
    const length = min(part, depth - from);
    if (transposed) packTransposed(p + <usize>(from << 2), depth, rows, length, panelsP);
    else packRows(p + <usize>((from * rows) << 2), rows, length, panelsP);
    for (let column = 0; column < columns; column += COLUMNS) {
      const width = min(COLUMNS, columns - column);
      const count = packPanel(r + <usize>((from * columns + column) << 2), columns, width, length, panelR, used);
      for (let row = 0; row < rows; row += ROWS) {
        const height = min(ROWS, rows - row);
        const panelP = panelsP + <usize>((row * length) << 2);
        const at = c + <usize>((row * columns + column) << 2);
        if (height == ROWS && width == COLUMNS) {
          block(panelP, panelR, used, count, at, columns << 2, from > 0);
        } else {
          block(panelP, panelR, used, count, edge, COLUMNS << 2, false);
          copyEdge(edge, height, width, at, columns, from > 0);
        }
      }
    }
  }
}

/** panels[i/4][k][4] of P as [K, I]; what is past the last row is zero. */
function packRows(p: usize, rows: i32, length: i32, panels: usize): void {
  const whole = rows & ~(ROWS - 1);
  for (let row = 0; row < whole; row += ROWS) {
    let to = panels + <usize>((row * length) << 2);
    let from = p + <usize>(row << 2);
    for (let k = 0; k < length; k++) {
      v128.store(to, v128.load(from));
      to += 16;
      from += <usize>(rows << 2);
    }
  }
  if (whole == rows) return;
  let to = panels + <usize>((whole * length) << 2);
  for (let k = 0; k < length; k++) {
    for (let row = 0; row < ROWS; row++) {
      const value: f32 = whole + row < rows ? load<f32>(p + <usize>((k * rows + whole + row) << 2)) : 0;
      store<f32>(to + <usize>(row << 2), value);
    }
    to += 16;
  }
}

/** The same of P as [I, K], whose rows are `stride` long. */
function packTransposed(p: usize, stride: i32, rows: i32, length: i32, panels: usize): void {
  for (let row = 0; row < rows; row += ROWS) {
    const to = panels + <usize>((row * length) << 2);
    for (let lane = 0; lane < ROWS; lane++) {
      const from = p + <usize>(((row + lane) * stride) << 2);
      const inside = row + lane < rows;
      for (let k = 0; k < length; k++) {
        const value: f32 = inside ? load<f32>(from + <usize>(k << 2)) : 0;
        store<f32>(to + <usize>((k * ROWS + lane) << 2), value);
      }
    }
  }
}

/**
 * panel[·][8] of R's columns, without the k at which all are zero; what is past the last column is zero.
 * @param used - [count] receives where P's panel has each k that is left, in bytes
 * @returns how many are left
 */
function packPanel(r: usize, stride: i32, width: i32, length: i32, panel: usize, used: usize): i32 {
  let from = r;
  let to = panel;
  let at = used;
  for (let k = 0; k < length; k++) {
    if (width == COLUMNS) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
    } else {
      for (let column = 0; column < COLUMNS; column++) {
        const value: f32 = column < width ? load<f32>(from + <usize>(column << 2)) : 0;
        store<f32>(to + <usize>(column << 2), value);
      }
    }
    if (v128.any_true(v128.or(v128.load(to), v128.load(to, 16)))) {
      store<u32>(at, k << 4);
      at += 4;
      to += 32;
    }
    from += <usize>(stride << 2);
  }
  return <i32>(at - used) >> 2;
}

/** c[4, 8] = or += Σ panelP[used, 4] · panelR[·, 8]; the stride of c in bytes. */
@inline
function block(panelP: usize, r: usize, used: usize, count: i32, c: usize, stride: i32, add: bool): void {
  const c1 = c + <usize>stride;
  const c2 = c1 + <usize>stride;
  const c3 = c2 + <usize>stride;
  const zero = f32x4.splat(0);
  let a0 = zero;
  let a1 = zero;
  let b0 = zero;
  let b1 = zero;
  let d0 = zero;
  let d1 = zero;
  let e0 = zero;
  let e1 = zero;
  for (const end = used + <usize>(count << 2); used < end; used += 4) {
    const p = panelP + <usize>load<u32>(used);
    const x = v128.load(r);
    const y = v128.load(r, 16);
    r += 32;
    let s = v128.load_splat<f32>(p);
    a0 = multiplyAdd(s, x, a0);
    a1 = multiplyAdd(s, y, a1);
    s = v128.load_splat<f32>(p, 4);
    b0 = multiplyAdd(s, x, b0);
    b1 = multiplyAdd(s, y, b1);
    s = v128.load_splat<f32>(p, 8);
    d0 = multiplyAdd(s, x, d0);
    d1 = multiplyAdd(s, y, d1);
    s = v128.load_splat<f32>(p, 12);
    e0 = multiplyAdd(s, x, e0);
    e1 = multiplyAdd(s, y, e1);
  }
  put(c, a0, a1, add);
  put(c1, b0, b1, add);
  put(c2, d0, d1, add);
  put(c3, e0, e1, add);
}

@inline
function put(c: usize, low: v128, high: v128, add: bool): void {
  if (add) {
    low = f32x4.add(low, v128.load(c));
    high = f32x4.add(high, v128.load(c, 16));
  }
  v128.store(c, low);
  v128.store(c, high, 16);
}

/** The part of a block that lies inside C. */
function copyEdge(edge: usize, height: i32, width: i32, c: usize, columns: i32, add: bool): void {
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = c + <usize>((row * columns + column) << 2);
      const value = load<f32>(edge + <usize>((row * COLUMNS + column) << 2));
      store<f32>(at, add ? load<f32>(at) + value : value);
    }
  }
}
