// For bench/speed/product.mjs, compiled as the package's kernels are: those kernels themselves, and loops that do
// nothing but what bounds them.

import { attach, tensorAt } from '../../../src/backend/wasm/assembly/control';
import { ternaryProduct } from '../../../src/ops/linear/assembly/products';
import { CODE_ROWS, encodeTile, tableProduct } from '../../../src/ops/linear/assembly/tables';

export { attach, CODE_ROWS, encodeTile };

/** z[32, M] = x[32, N]·Wᵀ by tables. */
export function tables(tensor: i32, x: usize, z: usize): void {
  tableProduct(tensorAt(tensor), x, z);
}

/** z[32, M] = x[32, N]·Wᵀ by dot products. */
export function dots(index: i32, x: usize, z: usize): void {
  const tensor = tensorAt(index);
  ternaryProduct(32, x, tensor.values, tensor.stride, (tensor.rows + 3) & ~3, z, tensor.outputStride);
}

/** Products and sums in registers alone, six vectors a round: 6 × 16 products with relaxed SIMD, else 6 × 8. */
export function multiplyAdd(rounds: i32, at: usize): void {
  const b0 = v128.load(at);
  const b1 = v128.load(at, 16);
  const b2 = v128.load(at, 32);
  const b3 = v128.load(at, 48);
  const b4 = v128.load(at, 64);
  const b5 = v128.load(at, 80);
  const one = i8x16.splat(1);
  let a = v128.load(at, 96); // changes, so that no product can be made before the loop
  let s0 = i16x8.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let s4 = s0;
  let s5 = s0;
  for (let round = 0; round < rounds; round++) {
    a = i8x16.add(a, one);
    s0 = addProduct(s0, a, b0);
    s1 = addProduct(s1, a, b1);
    s2 = addProduct(s2, a, b2);
    s3 = addProduct(s3, a, b3);
    s4 = addProduct(s4, a, b4);
    s5 = addProduct(s5, a, b5);
  }
  v128.store(at, v128.xor(v128.xor(v128.xor(s0, s1), v128.xor(s2, s3)), v128.xor(s4, s5)), 112);
}

@inline
function addProduct(sum: v128, a: v128, b: v128): v128 {
  return RELAXED ? i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(a, b)) : i32x4.add(sum, i32x4.dot_i16x8_s(a, b));
}

/** Loads from the first cache and additions, four vectors of i16 a step: what a table product does, without its codes. */
export function loadAdd(rounds: i32, at: usize): void {
  let s0 = v128.load(at);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (let round = 0; round < rounds; round++) {
    for (let from = at, end = at + 16384; from < end; from += 128) {
      s0 = i16x8.add(s0, v128.load(from));
      s1 = i16x8.add(s1, v128.load(from, 16));
      s2 = i16x8.add(s2, v128.load(from, 32));
      s3 = i16x8.add(s3, v128.load(from, 48));
      s0 = i16x8.add(s0, v128.load(from, 64));
      s1 = i16x8.add(s1, v128.load(from, 80));
      s2 = i16x8.add(s2, v128.load(from, 96));
      s3 = i16x8.add(s3, v128.load(from, 112));
    }
  }
  v128.store(at, v128.xor(v128.xor(s0, s1), v128.xor(s2, s3)));
}

/** Reads bytes in order. */
export function read(at: usize, bytes: i32): i32 {
  let s0 = i8x16.splat(0);
  let s1 = s0;
  for (const end = at + <usize>bytes; at < end; at += 64) {
    s0 = v128.or(s0, v128.or(v128.load(at), v128.load(at, 16)));
    s1 = v128.or(s1, v128.or(v128.load(at, 32), v128.load(at, 48)));
  }
  return i32x4.extract_lane(v128.or(s0, s1), 0);
}
