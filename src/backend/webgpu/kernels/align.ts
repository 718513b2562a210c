/**
 * Alignments: Σ_b δ̂·x of every weight by a tiled product of errors and inputs, both transposed so
 * that a row is a batch. δ̂ = 256·high + low comes in two planes of signed bytes, each a product of
 * its own. `align` rounds each sum and adds it, with the sign of its weight, to the direction that
 * the weight belongs to; nothing of the size of the weights is stored. `alignWeights` adds it to
 * the weight's own.
 */

import { type Features, type Kernel, kernel, read, write } from './kernel.js';
import { DIRECTION_OF, PHILOX, SET_PARAMS, SIGN_BLOCK, SIGNS_PER_BLOCK } from './random.js';
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

/** The operands of the product, zero past their ends. */
const LOADS = (
  [
    ['low', 'errorsLow', 'units'],
    ['high', 'errorsHigh', 'units'],
    ['right', 'inputs', 'inputs'],
  ] as const
).map(
  ([name, buffer, count]) => `
fn load_${name}(row: u32, word: u32) -> vec4<u32> {
  if (row >= params.${count} || word >= params.depth) { return vec4<u32>(); }
  return ${buffer}[row * params.stride + word];
}`,
);

/**
 * `stride` is the vec4s of a row of errors or inputs, `depth` those that the batch fills.
 * Workgroups: (tiles of units, tiles of inputs).
 */
export function alignKernel(
  counts: TileCounts,
  features: Features,
): Kernel<
  'errorsLow' | 'errorsHigh' | 'inputs' | 'alignments',
  (typeof SET_PARAMS)[number] | 'units' | 'inputs' | 'stride' | 'depth' | 'first' | 'shift'
> {
  const rows = TILE_SIDE * counts.lefts;
  return kernel({
    name: 'align',
    params: [...SET_PARAMS, 'units', 'inputs', 'stride', 'depth', 'first', 'shift'],
    buffers: {
      errorsLow: read('array<vec4<u32>>'),
      errorsHigh: read('array<vec4<u32>>'),
      inputs: read('array<vec4<u32>>'),
      alignments: write('array<atomic<i32>>'),
    },
    code: [
      ROUNDING,
      PHILOX,
      SIGN_BLOCK,
      DIRECTION_OF,
      dots(features),
      ...LOADS,
      tileVariables(LEFTS, counts),
      `
// The blocks of signs of each row of the tile, from the one that has its first weight.
var<workgroup> signs: array<vec4<u32>, ${rows * BLOCKS}>;
fn addWeight(row: u32, unit: u32, firstInput: u32, input: u32, product: i32) {
  if (unit >= params.units || input >= params.inputs) { return; }
  let index = unit * params.inputs + input;
  let direction = directionOf(index);
  if (direction == NO_DIRECTION) { return; }
  let block = index / ${SIGNS_PER_BLOCK}u - (unit * params.inputs + firstInput) / ${SIGNS_PER_BLOCK}u;
  let word = signs[row * ${BLOCKS}u + block][(index >> 5u) & 3u];
  let sign = 1 - 2 * i32((word >> (index & 31u)) & 1u);
  atomicAdd(&alignments[params.first + direction], sign * roundShift(product, params.shift));
}
`,
      tileMain(
        counts,
        `
  for (var slot = thread; slot < ${rows * BLOCKS}u; slot += ${TILE_SIDE * TILE_SIDE}u) {
    let weight = (firstLeft + slot / ${BLOCKS}u) * params.inputs + firstRight;
    signs[slot] = signBlock(weight / ${SIGNS_PER_BLOCK}u + slot % ${BLOCKS}u);
  }
${tiledProduct(LEFTS, counts, 'params.depth')}
  // A loop, since a weight takes far more instructions here than registers are worth.
  var products = array<i32, ${counts.lefts * counts.rights}>(${range(counts.lefts)
    .flatMap((i) => range(counts.rights).map((j) => `sum_low_${i}_${j} + (sum_high_${i}_${j} << 8u)`))
    .join(', ')});
  for (var at = 0u; at < ${counts.lefts * counts.rights}u; at++) {
    let row = local.y + ${TILE_SIDE}u * (at / ${counts.rights}u);
    let input = firstRight + local.x + ${TILE_SIDE}u * (at % ${counts.rights}u);
    addWeight(row, firstLeft + row, firstRight, input, products[at]);
  }`,
      ),
    ],
  });
}

/**
 * Adds the sums of a matrix to those of its weights, [units, inputs] from word `first` on.
 * `stride` and `depth` as in `alignKernel`; workgroups: (tiles of units, tiles of inputs).
 */
export function alignWeightsKernel(
  counts: TileCounts,
  features: Features,
): Kernel<
  'errorsLow' | 'errorsHigh' | 'inputs' | 'alignments',
  'units' | 'inputs' | 'stride' | 'depth' | 'first'
> {
  return kernel({
    name: 'alignWeights',
    params: ['units', 'inputs', 'stride', 'depth', 'first'],
    buffers: {
      errorsLow: read('array<vec4<u32>>'),
      errorsHigh: read('array<vec4<u32>>'),
      inputs: read('array<vec4<u32>>'),
      alignments: write('array<i32>'),
    },
    code: [
      dots(features),
      ...LOADS,
      tileVariables(LEFTS, counts),
      `
fn addWeight(unit: u32, input: u32, sum: i32) {
  if (unit >= params.units || input >= params.inputs) { return; }
  alignments[params.first + unit * params.inputs + input] += sum;
}
`,
      tileMain(
        counts,
        `
${tiledProduct(LEFTS, counts, 'params.depth')}
${forEachSum(
  counts,
  (end, unit, input) => `addWeight(${unit}, ${input}, sum_low_${end} + (sum_high_${end} << 8u));`,
)}`,
      ),
    ],
  });
}
