/**
 * Node perturbation: sizes and signs of probes, disturbed sums, rewards, and the errors they add up to. Copies of
 * rows follow one another, two of all rows a probe: row (2·probe + side)·examples + example is disturbed by + or −.
 */

import type { Probe } from '../../../ternary/graph.js';
import { BYTES } from './bytes.js';
import { type Groups, groupMain, itemKernel, ITEMS, kernel, read, write } from './kernel.js';
import { PHILOX } from './random.js';
import { rowMain, sharingOf } from './reduce.js';
import { ROUNDING } from './rounding.js';

/** Units that share a Philox block, and threads of a workgroup. */
export const UNITS_PER_BLOCK = 128;
/** Bits that terms of a coarse magnitude are rounded by before they are summed up. */
const COARSE_SHIFT = 4;

/** How far each row's probes move its sums. A workgroup a row: `itemGroups(rows, 1)`. */
export function sizesKernel(size: Probe['size']) {
  const coarse = size === 'coarse magnitude' ? COARSE_SHIFT : 0;
  const mean = `
  var plain = 0;
  for (var unit = thread; unit < params.units; unit += ${ITEMS}u) { plain += sums[first + unit]; }
  atomicAdd(&total, plain);
  workgroupBarrier();
  mean = roundDiv(atomicLoad(&total), params.units);`;
  return kernel({
    name: 'sizes',
    params: ['rows', 'units', 'sigma'],
    buffers: { sums: read('array<i32>'), sizes: write('array<i32>') },
    code: [
      ROUNDING,
      'var<workgroup> total: atomic<i32>;\nvar<workgroup> absolute: atomic<i32>;',
      groupMain(
        ITEMS,
        `
  let row = item;
  if (row >= params.rows) { return; }
  let first = row * params.units;
  var mean = 0;${size === 'centred magnitude' ? mean : ''}
  var sum = 0;
  for (var unit = thread; unit < params.units; unit += ${ITEMS}u) {
    sum += roundShift(abs(sums[first + unit] - mean), ${coarse}u);
  }
  atomicAdd(&absolute, sum);
  workgroupBarrier();
  if (thread == 0u) {
    let size = max(${coarse ? 0 : 1}, roundDiv(atomicLoad(&absolute), params.units));
    sizes[row] = max(1, roundShift(size * i32(params.sigma), ${8 - coarse}u));
  }`,
      ),
    ],
  });
}

/** `signsOf(base, unit, rank)`: bit r is set where probe r of the group is −1, bit 16 always. */
const SIGNS_OF = `
// Bit r is the Walsh function r at a rank: parity(r & rank).
fn walsh(rank: u32) -> u32 {
  return (0xaaaau * (rank & 1u)) ^ (0xccccu * ((rank >> 1u) & 1u))
    ^ (0xf0f0u * ((rank >> 2u) & 1u)) ^ (0xff00u * ((rank >> 3u) & 1u));
}
fn signsOf(base: vec4<u32>, unit: u32, rank: u32) -> u32 {
  let bit = (base[(unit >> 5u) & 3u] >> (unit & 31u)) & 1u;
  return 0x10000u | ((0xffffu * bit) ^ walsh(rank));
}
fn baseBlock(block: u32, example: u32) -> vec4<u32> {
  return philox(
    vec4<u32>(block | (params.group << 16u), params.firstExample + example, params.step, params.stream),
    vec2<u32>(params.key0, params.key1),
  );
}`;
const SIGN_PARAMS = ['key0', 'key1', 'step', 'stream', 'group', 'firstExample', 'rows'] as const;

/** Signs of a group of 16 probes, a word for each unit of a row, all of them active. A workgroup a block of units. */
export function signsKernel() {
  return kernel({
    name: 'signs',
    params: [...SIGN_PARAMS, 'units'],
    buffers: { signs: write('array<u32>') },
    code: [
      PHILOX,
      SIGNS_OF,
      'var<workgroup> base: vec4<u32>;',
      groupMain(
        UNITS_PER_BLOCK,
        `
  let blocks = (params.units + ${UNITS_PER_BLOCK - 1}u) / ${UNITS_PER_BLOCK}u;
  let example = item / blocks;
  let block = item % blocks;
  if (example >= params.rows) { return; }
  if (thread == 0u) { base = baseBlock(block, example); }
  workgroupBarrier();
  let unit = block * ${UNITS_PER_BLOCK}u + thread;
  if (unit < params.units) { signs[example * params.units + unit] = signsOf(base, unit, unit); }`,
      ),
    ],
  });
}

/**
 * The same of units that are not zero in `x`, zero of all others.
 * @param words - of a row of `x`, whose values are bytes; null: a word each
 */
export function activeSignsKernel(units: number, words: number | null) {
  const sharing = sharingOf(units);
  const value = words
    ? `(x[example * ${words}u + unit / 4u] >> (8u * (unit & 3u))) & 255u`
    : `x[example * ${units}u + unit]`;
  return kernel({
    name: 'activeSigns',
    params: SIGN_PARAMS,
    buffers: { x: read('array<u32>'), signs: write('array<u32>') },
    code: [
      PHILOX,
      SIGNS_OF,
      `fn activeAt(example: u32, unit: u32) -> bool { return (${value}) != 0u; }`,
      sharing.alone ? rowMain(sharing, signsAlone(units)) : signsShared(units),
    ],
  });
}

/** `rowGroups` of `activeSignsKernel`: a thread or a workgroup a row. */
const signsAlone = (units: number) => `
  let base = baseBlock(0u, row);
  var rank = 0u;
  for (var unit = 0u; unit < ${units}u; unit++) {
    let isActive = activeAt(row, unit);
    signs[row * ${units}u + unit] = select(0u, signsOf(base, unit, rank), isActive);
    rank += u32(isActive);
  }`;

/** A workgroup a row and a thread a unit: the active ones are counted as bits of words. */
function signsShared(units: number): string {
  const blocks = Math.ceil(units / UNITS_PER_BLOCK);
  return `
var<workgroup> bases: array<vec4<u32>, ${blocks}>;
var<workgroup> activeBits: array<atomic<u32>, 4>; // a bit for each unit of a block
${groupMain(
  UNITS_PER_BLOCK,
  `
  let example = item;
  if (example >= params.rows) { return; }
  for (var block = thread; block < ${blocks}u; block += ${UNITS_PER_BLOCK}u) {
    bases[block] = baseBlock(block, example);
  }
  var before = 0u; // active units of earlier blocks
  for (var block = 0u; block < ${blocks}u; block++) {
    if (thread < 4u) { atomicStore(&activeBits[thread], 0u); }
    workgroupBarrier();
    let unit = block * ${UNITS_PER_BLOCK}u + thread;
    var isActive = false;
    if (unit < ${units}u) { isActive = activeAt(example, unit); }
    if (isActive) { atomicOr(&activeBits[thread >> 5u], 1u << (thread & 31u)); }
    workgroupBarrier();
    var rank = before;
    for (var word = 0u; word < 4u; word++) {
      let bits = atomicLoad(&activeBits[word]);
      before += countOneBits(bits);
      if (word < (thread >> 5u)) { rank += countOneBits(bits); }
      if (word == (thread >> 5u)) { rank += countOneBits(bits & ((1u << (thread & 31u)) - 1u)); }
    }
    if (unit < ${units}u) {
      signs[example * ${units}u + unit] = select(0u, signsOf(bases[block], unit, rank), isActive);
    }
    workgroupBarrier(); // all have read the bits before the next block clears them
  }`,
)}`;
}

/** Sums of all copies from those of the rows. Items: copies · examples · units. */
export function disturbSumsKernel() {
  return itemKernel({
    name: 'disturbSums',
    params: ['examples', 'units', 'firstProbe'],
    buffers: {
      sums: read('array<i32>'),
      sizes: read('array<i32>'),
      signs: read('array<u32>'),
      copies: write('array<i32>'),
    },
    code: [],
    body: `
  let count = params.examples * params.units;
  let copy = item / count;
  let at = item % count;
  let sign = signs[at];
  let negative = ((sign >> ((params.firstProbe + copy / 2u) & 15u)) & 1u) ^ (copy & 1u);
  copies[item] = sums[at] + sizes[at / params.units] * i32(sign >> 16u) * (1 - 2 * i32(negative));`,
  });
}

/**
 * Rewards [examples, probes] from the losses of all copies, those of the next `horizon` positions of a window with
 * them. Items: examples · probes.
 */
export function rewardsKernel() {
  return itemKernel({
    name: 'rewards',
    params: ['examples', 'probes', 'length', 'horizon', 'rewardShift', 'limit'],
    buffers: { losses: read('array<i32>'), rewards: write('array<i32>') },
    code: [ROUNDING],
    body: `
  let example = item / params.probes;
  let plus = 2u * (item % params.probes) * params.examples;
  let position = example % params.length;
  let end = example + min(params.horizon + 1u, params.length - position);
  var difference = 0;
  for (var at = plus + example; at < plus + end; at++) { difference += losses[at] - losses[at + params.examples]; }
  let limit = i32(params.limit);
  rewards[item] = clamp(roundShift(difference, params.rewardShift), -limit, limit);`,
  });
}

/**
 * Errors go into two planes of signed bytes, transposed: a word has four examples of one unit, so that
 * their product with the inputs is one of bytes, too. A quad is four examples, `stride` the quads of a unit.
 */
export const STORE_QUAD = `${BYTES}
fn storeQuad(at: u32, errors: vec4<i32>) {
  errorsLow[at] = wordOf(errors);
  errorsHigh[at] = wordOf((errors + vec4<i32>(128)) >> vec4<u32>(8u));
}`;

/** The planes, as kernels that write errors declare them. */
export const PLANES = { errorsLow: write('array<u32>'), errorsHigh: write('array<u32>') };

/** A `main` for each unit of each quad. */
export function quadMain(body: string): string {
  return `
@compute @workgroup_size(${ITEMS})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let unit = group.x * ${ITEMS}u + thread;
  let quad = group.y;
  if (unit >= params.units) { return; }
${body}
}`;
}

/** Workgroups for so many units and rows; quads up to the next 16 rows, so that a vec4 of them is whole. */
export function quadGroups(units: number, rows: number): Groups {
  return [Math.ceil(units / ITEMS), 4 * Math.ceil(rows / 16)];
}

/** δ̂: adds reward · sign of the probes at hand to what the planes have, or to zero. Workgroups: `quadGroups`. */
export function errorsKernel() {
  return kernel({
    name: 'errors',
    params: ['rows', 'units', 'stride', 'firstProbe', 'probes', 'add'],
    buffers: { signs: read('array<u32>'), rewards: read('array<i32>'), ...PLANES },
    code: [
      STORE_QUAD,
      quadMain(`
  let at = unit * params.stride + quad;
  var errors = vec4<i32>();
  if (params.add != 0u) { errors = bytesOf(errorsHigh[at]) * 256 + bytesOf(errorsLow[at]); }
  for (var place = 0u; place < 4u; place++) {
    let example = 4u * quad + place;
    if (example >= params.rows) { break; }
    let sign = signs[example * params.units + unit];
    if ((sign >> 16u) == 0u) { continue; }
    var error = 0;
    for (var probe = 0u; probe < params.probes; probe++) {
      let negative = i32((sign >> ((params.firstProbe + probe) & 15u)) & 1u);
      error += rewards[example * params.probes + probe] * (1 - 2 * negative);
    }
    errors[place] += error;
  }
  storeQuad(at, errors);`),
    ],
  });
}

/** Rows firstRow… of activations, transposed: a row a byte, zero past the last one. Workgroups: `quadGroups` of words. */
export function transposeKernel() {
  return kernel({
    name: 'transpose',
    params: ['rows', 'units', 'columns', 'stride', 'firstRow'],
    buffers: { x: read('array<u32>'), transposed: write('array<u32>') },
    code: [
      quadMain(`
  var rows = vec4<u32>(); // of each, four neighbouring activations
  for (var place = 0u; place < 4u; place++) {
    let row = 4u * quad + place;
    if (row < params.rows) { rows[place] = x[(params.firstRow + row) * params.units + unit]; }
  }
  for (var place = 0u; place < 4u; place++) {
    let column = 4u * unit + place;
    if (column >= params.columns) { break; }
    let bytes = (rows >> vec4<u32>(8u * place)) & vec4<u32>(255u);
    transposed[column * params.stride + quad] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
  }`),
    ],
  });
}
