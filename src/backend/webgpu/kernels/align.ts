/**
 * Alignments: Σ_b δ̂·x of every weight by a tiled product of errors and inputs, both transposed so
 * that a row is a batch. δ̂ = 256·high + low comes in two planes of signed bytes, each a product of
 * its own. `alignSet` rounds each sum and adds it, with the sign of its weight, to the direction that
 * the weight belongs to; nothing of the size of the weights is stored. `alignWeights` adds it to
 * the weight's own, and `directions` adds those to directions when they are whole.
 */

import { BYTES } from './bytes.js';
import { type Features, kernel, read, write } from './kernel.js';
import { DIRECTION_OF, directionMain, PHILOX, SET_PARAMS, SIGN_BLOCK, SIGNS_PER_BLOCK } from './random.js';
import { ROUNDING } from './rounding.js';
import {
  dots,
  forEachSum,
  range,
  type TileCounts,
  tiledProduct,
  tileMain,
  tileVariables,
  TILE_SIDE,
} from './tile.js';

const LEFTS = ['low', 'high'];
/** Left sides in workgroup memory. */
export const ALIGN_SIDES = LEFTS.length;
/** Blocks of signs that a row of a tile, at most 128 weights, can meet. */
const BLOCKS = 2;

/** Workgroup memory that the signs of a tile of so many rows take, in bytes. */
export function alignSignBytes(rows: number): number {
  return rows * BLOCKS * 16;
}

/** `stride` is the vec4s of a row of errors or inputs, `depth` those that the rows of the batch fill. */
const SHAPE_PARAMS = ['units', 'columns', 'stride', 'depth', 'first'] as const;

const buffers = {
  errorsLow: read('array<vec4<u32>>'),
  errorsHigh: read('array<vec4<u32>>'),
  inputs: read('array<vec4<u32>>'),
};

/** The operands of the product, zero past their ends. */
const LOADS = (
  [
    ['low', 'errorsLow', 'units'],
    ['high', 'errorsHigh', 'units'],
    ['right', 'inputs', 'columns'],
  ] as const
).map(
  ([name, buffer, count]) => `
fn load_${name}(row: u32, word: u32) -> vec4<u32> {
  if (row >= params.${count} || word >= params.depth) { return vec4<u32>(); }
  return ${buffer}[row * params.stride + word];
}`,
);

/** Adds to the directions of a set from word `first` on. Workgroups: `tileGroups` of units and columns. */
export function alignSetKernel(counts: TileCounts, features: Features) {
  const rows = TILE_SIDE * counts.lefts;
  return kernel({
    name: 'alignSet',
    params: [...SET_PARAMS, ...SHAPE_PARAMS, 'shift'],
    buffers: { ...buffers, alignments: write('array<atomic<i32>>') },
    code: [
      ROUNDING,
      PHILOX,
      SIGN_BLOCK,
      DIRECTION_OF,
      BYTES,
      dots(features),
      ...LOADS,
      tileVariables(LEFTS, counts),
      `
// The blocks of signs of each row of the tile, from the one that has its first weight.
var<workgroup> signs: array<vec4<u32>, ${rows * BLOCKS}>;
fn addWeight(row: u32, unit: u32, firstColumn: u32, column: u32, product: i32) {
  if (unit >= params.units || column >= params.columns) { return; }
  let index = unit * params.columns + column;
  let direction = directionOf(index);
  if (direction == NO_DIRECTION) { return; }
  let block = index / ${SIGNS_PER_BLOCK}u - (unit * params.columns + firstColumn) / ${SIGNS_PER_BLOCK}u;
  let word = signs[row * ${BLOCKS}u + block][(index >> 5u) & 3u];
  let sign = 1 - 2 * i32((word >> (index & 31u)) & 1u);
  atomicAdd(&alignments[params.first + direction], sign * roundShift(product, params.shift));
}
`,
      tileMain(
        counts,
        `
  for (var slot = thread; slot < ${rows * BLOCKS}u; slot += ${TILE_SIDE * TILE_SIDE}u) {
    let weight = (firstLeft + slot / ${BLOCKS}u) * params.columns + firstRight;
    signs[slot] = signBlock(weight / ${SIGNS_PER_BLOCK}u + slot % ${BLOCKS}u);
  }
${tiledProduct(LEFTS, counts, 'params.depth')}
  // A loop, since a weight takes far more instructions here than registers are worth.
  var products = array<i32, ${counts.lefts * counts.rights}>(${range(counts.lefts)
    .flatMap((i) => range(counts.rights).map((j) => `sum_low_${i}_${j} + (sum_high_${i}_${j} << 8u)`))
    .join(', ')});
  for (var at = 0u; at < ${counts.lefts * counts.rights}u; at++) {
    let row = local.y + ${TILE_SIDE}u * (at / ${counts.rights}u);
    let column = firstRight + local.x + ${TILE_SIDE}u * (at % ${counts.rights}u);
    addWeight(row, firstLeft + row, firstRight, column, products[at]);
  }`,
      ),
    ],
  });
}

/** Adds to the sums of the weights, from word `first` on. Workgroups: `tileGroups` of units and columns. */
export function alignWeightsKernel(counts: TileCounts, features: Features) {
  return kernel({
    name: 'alignWeights',
    params: [...SHAPE_PARAMS],
    buffers: { ...buffers, alignments: write('array<i32>') },
    code: [
      BYTES,
      dots(features),
      ...LOADS,
      tileVariables(LEFTS, counts),
      `
fn addWeight(unit: u32, column: u32, sum: i32) {
  if (unit >= params.units || column >= params.columns) { return; }
  alignments[params.first + unit * params.columns + column] += sum;
}
`,
      tileMain(
        counts,
        `
${tiledProduct(LEFTS, counts, 'params.depth')}
${forEachSum(
  counts,
  (end, unit, column) => `addWeight(${unit}, ${column}, sum_low_${end} + (sum_high_${end} << 8u));`,
)}`,
      ),
    ],
  });
}

/** The alignments of a set's directions, from word `first` on, from the sums of all weights. Items: `size`, SIGNED_SIZE a workgroup. */
export function directionsKernel() {
  return kernel({
    name: 'directions',
    params: [...SET_PARAMS, 'first', 'shift'],
    buffers: { sums: read('array<i32>'), alignments: write('array<atomic<i32>>') },
    code: [
      ROUNDING,
      PHILOX,
      directionMain(`
  atomicAdd(&alignments[params.first + direction], signOf(thread) * roundShift(sums[params.offset + item], params.shift));`),
    ],
  });
}
