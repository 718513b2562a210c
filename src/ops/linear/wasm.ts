// A matrix times the activations of each row. op.ts defines what this computes; the products are in assembly/, and
// what is to be had faster by tables, for u7 activations and trits.

import { roundShift4 } from '../../backend/wasm/assembly/arithmetic';
import { Instruction, own, slotAt, Tensor, tensorOf, TILE, training } from '../../backend/wasm/assembly/control';
import { ternaryProduct, wideProduct } from './assembly/products';
import { signedProduct } from './assembly/signed';
import { tableProduct, takesTables } from './assembly/tables';

/** Fraction bits of the scale of a row. */
const SCALE_BITS: i32 = 7;

/** What a product is made of: u7 activations with trits, or with bytes; i8 activations with trits, or with bytes. */
const U7_TRITS: i32 = 0;
const U7_BYTES: i32 = 1;
const I8_BYTES: i32 = 3;

@unmanaged
export class Linear extends Instruction {
  way: i32;
  shift: i32; // fraction bits of the weights
}

export function linear(i: Linear, rows: i32): void {
  const tensor = tensorOf(i);
  const x = slotAt(i.x);
  const z = slotAt(i.out);
  if (LAYERS && i.way <= U7_BYTES) {
    for (let row = 0; row < rows; row += TILE) {
      const inputs = x + <usize>(row * i.inputStride);
      unsignedProduct(i.way, min(TILE, rows - row), inputs, tensor, z + <usize>((row * i.stride) << 2), i.stride);
    }
  } else if (SIGNED) {
    signedProduct(i.way == I8_BYTES, rows, x, tensor.values, tensor.stride, tensor.rows, z, i.stride);
  } else unreachable();
  finishSums(i, rows, z);
}

@inline
function unsignedProduct(way: i32, rows: i32, x: usize, tensor: Tensor, z: usize, stride: i32): void {
  const paddedRows = (tensor.rows + 3) & ~3;
  if (takesTables(tensor, rows)) tableProduct(tensor, x, z);
  else if (way == U7_TRITS) ternaryProduct(rows, x, tensor.values, tensor.stride, paddedRows, z, stride);
  else wideProduct(rows, x, tensor.values, tensor.stride, paddedRows, z, stride);
}

/** Sums become pre-activations: rounded by the weights' fraction bits, and by the scales of the units. */
function finishSums(i: Linear, rows: i32, z: usize): void {
  const shift = i.shift;
  const scales = i.other ? changetype<Tensor>(i.other).values : 0;
  if (shift == 0 && !scales) return;
  const half = i32x4.splat((1 << shift) >> 1);
  const halfScale = i32x4.splat(1 << (SCALE_BITS - 1));
  for (let row = 0; row < rows; row++) {
    for (let unit = 0; unit < i.units; unit += 4) {
      const at = z + <usize>((row * i.stride + unit) << 2);
      let v = roundShift4(v128.load(at), shift, half);
      if (scales) {
        const four = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(scales + <usize>unit)));
        v = roundShift4(i32x4.mul(v, four), SCALE_BITS, halfScale);
      }
      v128.store(at, v);
    }
  }
}

/** Adds Σ error·input over some rows to sums i32[M, stride], two rows a lane. */
export function alignLinear(i: Linear, rows: i32, errors: usize, sums: usize): void {
  const stride = tensorOf(i).stride;
  const units = i.units;
  const inputs = slotAt(i.x);
  const halves = (rows + 1) >> 1;
  const pairs = own(training.pairs); // i16 [halves, stride, 2]
  const errorPairs = own(training.errorPairs); // i16 [units, halves, 2]
  for (let half = 0; half < halves; half++) {
    const second = 2 * half + 1 < rows;
    const from = inputs + <usize>(2 * half * stride);
    const to = pairs + <usize>((half * stride) << 2);
    for (let column = 0; column < stride; column += 8) {
      const a = v128.load8x8_s(from + <usize>column);
      const b = second ? v128.load8x8_s(from + <usize>(stride + column)) : i16x8.splat(0);
      const at = to + <usize>(column << 2);
      v128.store(at, v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
      v128.store(at, v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    }
    const error = errors + <usize>((2 * half * i.stride) << 1);
    for (let unit = 0; unit < units; unit++) {
      const at = error + <usize>(unit << 1);
      const low = <i32>load<u16>(at);
      const high = second ? <i32>load<i16>(at + <usize>(i.stride << 1)) << 16 : 0;
      store<i32>(errorPairs + <usize>((unit * halves + half) << 2), low | high);
    }
  }
  for (let unit = 0; unit < units; unit += 2) {
    const second = unit + 1 < units;
    const e0 = errorPairs + <usize>((unit * halves) << 2);
    const e1 = second ? e0 + <usize>(halves << 2) : e0;
    const to0 = sums + <usize>((unit * stride) << 2);
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
