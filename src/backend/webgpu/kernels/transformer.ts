/**
 * What a transformer has beside products, attention and losses: embedding, normalization, rotation, the gate, the
 * residual stream, logits. docs/transformer.md defines them. Shapes are parameters, so that models share kernels.
 * Activations between products are i8, four to a word and 16 to a vec4, rows filled up with zeros.
 */

import { RMS_RECIPROCAL_BITS } from '../../../ops/rms-norm/op.js';
import { FINER_MAX } from '../../../ops/rescale/op.js';
import { ROTARY_BITS } from '../../../ops/rotary/op.js';
import { GATED_SHIFT } from '../../../ops/gate/op.js';
import {
  EMBEDDING_SHIFT,
  FINER_BITS,
  I8_MAX,
  LOGIT_MAX,
  LOGIT_SHIFT,
  RESIDUAL_MAX,
} from '../../../ternary/units.js';
import { groupMain, type Kernel, kernel, linearMain, read, write } from './kernel.js';
import { ROUNDING } from './rounding.js';

/** Threads of a workgroup, an item each. */
export const ITEMS = 64;
/** Threads that share a row of `normKernel` or `gateKernel`. */
const ROW_SIZE = 64;
/** A scaled sum that passes this saturates the residual stream, whatever is there. */
const SATURATING = 2 ** 24;

/** `rescale` to the unit that follows, and clips. */
const SCALING = `${ROUNDING}
fn rescale(sum: i32, mantissa: u32, exponent: u32) -> i32 {
  return select(roundShift(sum * i32(mantissa), min(exponent, 30u)), 0, exponent > 30u);
}
fn clipI8(value: i32) -> i32 { return clamp(value, -${I8_MAX}, ${I8_MAX}); }`;

/** `finer(sum)`: queries, keys and values before they are rounded to i8. */
const FINER = `
fn finer(sum: i32) -> i32 {
  return clamp(rescale(sum, params.mantissa, params.exponent), -${FINER_MAX}, ${FINER_MAX});
}`;

/** The residual stream of each row begins with the row of its byte. Items: rows × width. */
export function embedKernel(
  wide: boolean,
): Kernel<'weights' | 'bytes' | 'x', 'rows' | 'first' | 'width' | 'depth' | 'mantissa' | 'exponent'> {
  return kernel({
    name: 'embed',
    params: ['rows', 'first', 'width', 'depth', 'mantissa', 'exponent'],
    buffers: { weights: read('array<u32>'), bytes: read('array<u32>'), x: write('array<i32>') },
    code: [
      SCALING,
      wide
        ? `
fn valueAt(row: u32, unit: u32) -> i32 {
  return extractBits(bitcast<i32>(weights[row * params.depth * 4u + unit / 4u]), 8u * (unit & 3u), 8u);
}`
        : `
fn valueAt(row: u32, unit: u32) -> i32 {
  let bit = 8u * (unit & 3u) + 2u * ((unit >> 2u) & 3u);
  return extractBits(bitcast<i32>(weights[row * params.depth + unit / 16u]), bit, 2u); // 3 is −1
}`,
      linearMain(
        ITEMS,
        `
  if (item >= params.rows * params.width) { return; }
  let at = params.first + item / params.width;
  let byte = (bytes[at / 4u] >> (8u * (at & 3u))) & 255u;
  let value = valueAt(byte, item % params.width);
  x[item] = rescale(value << ${EMBEDDING_SHIFT}u, params.mantissa, params.exponent);`,
      ),
    ],
  });
}

/** x from sums of the embedding. Items: of x. */
export function scaleKernel() {
  return streamKernel('scale', 'scaled');
}

/** x += the scaled sums, saturating. Items: of x. */
export function addKernel() {
  return streamKernel('add', `clamp(x[item] + scaled, -${RESIDUAL_MAX}, ${RESIDUAL_MAX})`);
}

function streamKernel(name: string, value: string): Kernel<'z' | 'x', 'items' | 'mantissa' | 'exponent'> {
  return kernel({
    name,
    params: ['items', 'mantissa', 'exponent'],
    buffers: { z: read('array<i32>'), x: write('array<i32>') },
    code: [
      SCALING,
      linearMain(
        ITEMS,
        `
  if (item >= params.items) { return; }
  let scaled = rescale(z[item], params.mantissa, params.exponent);
  x[item] = ${value};`,
      ),
    ],
  });
}

/** n from x: a root mean square of one becomes 32. A workgroup a row: `linearGroups(rows, 1)`. */
export function normKernel(): Kernel<'x' | 'n', 'rows' | 'width' | 'words' | 'gain' | 'valueBits'> {
  return kernel({
    name: 'norm',
    params: ['rows', 'width', 'words', 'gain', 'valueBits'],
    buffers: { x: read('array<i32>'), n: write('array<u32>') },
    code: [
      SCALING,
      `
var<workgroup> largest: atomic<u32>;
var<workgroup> squares: atomic<u32>;
// The integer that is nearest to the root of s < 2^30.
fn rootOf(s: u32) -> u32 {
  var root = u32(sqrt(f32(s)));
  while (root * root > s) { root -= 1u; }
  while ((root + 1u) * (root + 1u) <= s) { root += 1u; }
  return root + select(0u, 1u, s - root * root > root);
}
fn shifted(value: i32, shift: i32) -> i32 {
  if (shift > 0) { return roundShift(value, u32(shift)); }
  return value << u32(-shift);
}
`,
      groupMain(
        ROW_SIZE,
        `
  let row = item;
  if (row >= params.rows) { return; }
  let first = row * params.width;
  var most = 0u;
  for (var unit = thread; unit < params.width; unit += ${ROW_SIZE}u) { most = max(most, u32(abs(x[first + unit]))); }
  atomicMax(&largest, most);
  workgroupBarrier();
  let shift = 32 - i32(countLeadingZeros(atomicLoad(&largest))) - i32(params.valueBits);
  var sum = 0u;
  for (var unit = thread; unit < params.width; unit += ${ROW_SIZE}u) {
    let y = shifted(x[first + unit], shift);
    sum += u32(y * y);
  }
  atomicAdd(&squares, sum);
  workgroupBarrier();
  let root = max(1u, rootOf(atomicLoad(&squares)));
  let reciprocal = roundDiv(i32(params.gain << ${RMS_RECIPROCAL_BITS}u), root);
  for (var word = thread; word < params.words; word += ${ROW_SIZE}u) {
    var packed = 0u;
    for (var place = 0u; place < 4u; place++) {
      let unit = 4u * word + place;
      if (unit < params.width) {
        let q = clipI8(roundShift(shifted(x[first + unit], shift) * reciprocal, ${RMS_RECIPROCAL_BITS}u));
        packed |= (u32(q) & 255u) << (8u * place);
      }
    }
    n[row * params.words + word] = packed;
  }`,
      ),
    ],
  });
}

type HeadParam = 'rows' | 'units' | 'to' | 'mantissa' | 'exponent';

/**
 * Queries or keys of rows, turned by their positions, to rows to… of `q`. Items: rows × units / 2.
 * Row r has position start + r mod length.
 */
export function turnKernel(): Kernel<
  'z' | 'rotary' | 'q',
  HeadParam | 'pairs' | 'start' | 'length' | 'sines'
> {
  const turned = (value: string) => `clipI8(roundShift(${value}, ${ROTARY_BITS + FINER_BITS}u))`;
  return kernel({
    name: 'turn',
    params: ['rows', 'units', 'to', 'mantissa', 'exponent', 'pairs', 'start', 'length', 'sines'],
    buffers: { z: read('array<i32>'), rotary: read('array<i32>'), q: write('array<i32>') },
    code: [
      SCALING,
      FINER,
      linearMain(
        ITEMS,
        `
  if (item >= params.rows * params.units / 2u) { return; }
  let row = 2u * item / params.units;
  let position = params.start + row % params.length;
  let at = position * params.pairs + item % params.pairs; // a row has whole heads
  let c = rotary[at];
  let s = rotary[params.sines + at];
  let a = finer(z[2u * item]);
  let b = finer(z[2u * item + 1u]);
  let place = params.to * params.units + 2u * item;
  q[place] = ${turned('a * c - b * s')};
  q[place + 1u] = ${turned('a * s + b * c')};`,
      ),
    ],
  });
}

/** Values of rows, to rows to… of `v`. Items: rows × units. */
export function narrowKernel(): Kernel<'z' | 'v', HeadParam> {
  return kernel({
    name: 'narrow',
    params: ['rows', 'units', 'to', 'mantissa', 'exponent'],
    buffers: { z: read('array<i32>'), v: write('array<i32>') },
    code: [
      SCALING,
      FINER,
      linearMain(
        ITEMS,
        `
  if (item >= params.rows * params.units) { return; }
  v[params.to * params.units + item] = clipI8(roundShift(finer(z[item]), ${FINER_BITS}u));`,
      ),
    ],
  });
}

/**
 * The same for sums of hidden activations, whose rows are as many bits coarser as `coarser` says, of coarserRows over
 * and over. Items: of x.
 */
export function addHiddenKernel(): Kernel<
  'z' | 'coarser' | 'x',
  'items' | 'width' | 'coarserRows' | 'mantissa' | 'exponent'
> {
  return kernel({
    name: 'addHidden',
    params: ['items', 'width', 'coarserRows', 'mantissa', 'exponent'],
    buffers: { z: read('array<i32>'), coarser: read('array<u32>'), x: write('array<i32>') },
    code: [
      SCALING,
      linearMain(
        ITEMS,
        `
  if (item >= params.items) { return; }
  let bits = coarser[(item / params.width) % params.coarserRows];
  let left = max(bits, params.exponent) - params.exponent;
  let scaled = rescale(z[item], params.mantissa, max(params.exponent, bits) - bits);
  let sum = x[item] + (clamp(scaled, -${SATURATING}, ${SATURATING}) << left);
  x[item] = clamp(sum, -${RESIDUAL_MAX}, ${RESIDUAL_MAX});`,
      ),
    ],
  });
}

/**
 * h = silu(gate) · up, of gateRows and upRows over and over, in the finest unit that has room for all of a row, and
 * by how many bits that is coarser than the finest there is. A workgroup a row: `linearGroups(rows, 1)`.
 */
export function gateKernel(): Kernel<
  'z' | 'z2' | 'silu' | 'h' | 'coarser',
  ('rows' | 'units' | 'words' | 'gateRows' | 'upRows') | ('mantissa' | 'exponent' | 'mantissa2' | 'exponent2')
> {
  return kernel({
    name: 'gate',
    params: [
      ...(['rows', 'units', 'words', 'gateRows', 'upRows'] as const),
      ...(['mantissa', 'exponent', 'mantissa2', 'exponent2'] as const),
    ],
    buffers: {
      z: read('array<i32>'),
      z2: read('array<i32>'),
      silu: read('array<i32>'),
      h: write('array<u32>'),
      coarser: write('array<u32>'),
    },
    code: [
      SCALING,
      `
var<workgroup> largest: atomic<u32>;
fn gatedAt(row: u32, unit: u32) -> i32 {
  let gates = (row % params.gateRows) * params.units;
  let ups = (row % params.upRows) * params.units;
  let gate = clipI8(rescale(z[gates + unit], params.mantissa, params.exponent));
  let up = clipI8(rescale(z2[ups + unit], params.mantissa2, params.exponent2));
  return silu[gate + ${I8_MAX}] * up;
}
`,
      groupMain(
        ROW_SIZE,
        `
  let row = item;
  if (row >= params.rows) { return; }
  var most = 0u;
  for (var unit = thread; unit < params.units; unit += ${ROW_SIZE}u) { most = max(most, u32(abs(gatedAt(row, unit)))); }
  atomicMax(&largest, most);
  workgroupBarrier();
  let all = i32(atomicLoad(&largest));
  var shift = ${GATED_SHIFT}u;
  while (roundShift(all, shift) > ${I8_MAX}) { shift += 1u; }
  if (thread == 0u) { coarser[row] = shift - ${GATED_SHIFT}u; }
  for (var word = thread; word < params.words; word += ${ROW_SIZE}u) {
    var packed = 0u;
    for (var place = 0u; place < 4u; place++) {
      let unit = 4u * word + place;
      if (unit < params.units) {
        packed |= (u32(roundShift(gatedAt(row, unit), shift)) & 255u) << (8u * place);
      }
    }
    h[row * params.words + word] = packed;
  }`,
      ),
    ],
  });
}

/** The head's sums as logits, in place. Items: of z. */
export function logitsKernel(): Kernel<'z', 'items' | 'shift' | 'mantissa' | 'exponent'> {
  return kernel({
    name: 'logits',
    params: ['items', 'shift', 'mantissa', 'exponent'],
    buffers: { z: write('array<i32>') },
    code: [
      SCALING,
      linearMain(
        ITEMS,
        `
  if (item >= params.items) { return; }
  let logit = rescale(roundShift(z[item], params.shift), params.mantissa, params.exponent);
  z[item] = clamp(logit, -${LOGIT_MAX}, ${LOGIT_MAX}) << ${LOGIT_SHIFT}u;`,
      ),
    ],
  });
}
