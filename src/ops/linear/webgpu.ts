/**
 * z[row, unit] = Σ w·x for rows of activations, rounded as the precision of the weights says; op.ts defines it. Trits
 * lie in device memory two bits each, 16 to a word, and become the bytes of one vec4 on their way into workgroup
 * memory: 16 times fewer bytes than activations are read for the same products.
 */

import { BYTES } from '../../backend/webgpu/kernels/bytes.js';
import {
  type Features,
  itemGroups,
  itemMain,
  kernel,
  read,
  write,
} from '../../backend/webgpu/kernels/kernel.js';
import { ROUNDING } from '../../backend/webgpu/kernels/rounding.js';
import {
  dots,
  forEachSum,
  type TileCounts,
  tileCounts,
  tiledProduct,
  tileGroups,
  tileMain,
  tileVariables,
} from '../../backend/webgpu/kernels/tile.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import { SCALE_BITS } from '../../ternary/precision.js';

/** Rows of activations are left and weights right, so that neighbouring threads store neighbouring units. */
const LEFTS = ['x'];

/** What makes one kernel differ from another; shapes are parameters, so that layers share kernels. */
interface LinearVariant {
  /** Null: no tile, a thread a result; for rows so short that bringing them to workgroup memory costs more. */
  readonly counts: TileCounts | null;
  /** Whether weights are bytes, not trits. */
  readonly wide: boolean;
  /** Whether rows have scales. */
  readonly scaled: boolean;
}

/**
 * Rows firstRow…firstRow + rows − 1 of `x` give rows 0…rows − 1 of `z`.
 * Workgroups: `tileGroups` of rows and units, or `itemGroups` of rows · units.
 */
function linearKernel({ counts, wide, scaled }: LinearVariant, features: Features) {
  return kernel({
    name: 'linear',
    params: ['firstRow', 'rows', 'units', 'depth', 'weightsAt', 'shift', 'scalesAt'],
    buffers: {
      weights: read(wide ? 'array<vec4<u32>>' : 'array<u32>'),
      scales: read('array<u32>'), // one a row of four words
      x: read('array<vec4<u32>>'),
      z: write('array<i32>'),
    },
    code: [
      ROUNDING,
      BYTES,
      dots(features),
      wide ? LOAD_BYTES : LOAD_TRITS,
      `
// The activations of one row, 16 at a time; zeros past the end of the rows or of the row.
fn load_x(row: u32, word: u32) -> vec4<u32> {
  if (row >= params.rows || word >= params.depth) { return vec4<u32>(); }
  return x[(params.firstRow + row) * params.depth + word];
}
fn store(row: u32, unit: u32, product: i32) {
  if (row >= params.rows || unit >= params.units) { return; }
  let sum = roundShift(product, params.shift);
  z[row * params.units + unit] = ${scaled ? `roundShift(sum * i32(scales[params.scalesAt + 4u * unit] & 255u), ${SCALE_BITS}u)` : 'sum'};
}`,
      ...(counts ? tiled(counts) : [DIRECT]),
    ],
  });
}

/** Vec4s of a row up to which no tile is used. */
const DIRECT_DEPTH_MAX = 2;

const DIRECT = itemMain(`
  if (item >= params.rows * params.units) { return; }
  let row = item / params.units;
  let unit = item - row * params.units;
  var sum = 0;
  for (var word = 0u; word < params.depth; word++) {
    sum = dots(sum, load_x(row, word), load_right(unit, word));
  }
  store(row, unit, sum);`);

function tiled(counts: TileCounts): string[] {
  return [
    tileVariables(LEFTS, counts),
    tileMain(
      counts,
      `
${tiledProduct(LEFTS, counts, 'params.depth')}
${forEachSum(counts, (end, row, unit) => `store(${row}, ${unit}, sum_x_${end});`)}`,
    ),
  ];
}

/** Four words of four signed bytes from one word of 16 trits, see trits.ts of the backend. */
const LOAD_TRITS = `
fn load_right(row: u32, word: u32) -> vec4<u32> {
  if (row >= params.units || word >= params.depth) { return vec4<u32>(); }
  let trits = weights[params.weightsAt + row * params.depth + word];
  let codes = (vec4<u32>(trits) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(0x03030303u);
  return codes | (((codes >> vec4<u32>(1u)) & vec4<u32>(0x01010101u)) * 0xfcu); // 3 becomes 255
}`;

const LOAD_BYTES = `
fn load_right(row: u32, word: u32) -> vec4<u32> {
  if (row >= params.units || word >= params.depth) { return vec4<u32>(); }
  return weights[params.weightsAt / 4u + row * params.depth + word];
}`;

export const linear: Recipe<'linear'> = {
  record({ attributes: { shift }, tensors }, at) {
    const { device, rows, weights } = at;
    const { rows: units, depth, at: weightsAt, wide } = at.tensor(0);
    const { buffer: x, first: firstRow } = at.input(0);
    const counts =
      depth <= DIRECT_DEPTH_MAX ? null : tileCounts(rows, units, 1, device.workgroupBytes, device.tiles);
    const scaled = tensors.length > 1;
    const variant = { counts, wide, scaled };
    at.recorder.run(
      `linear ${JSON.stringify(variant)}`,
      () => linearKernel(variant, device.features),
      { weights, scales: weights, x, z: at.output(0).buffer },
      { firstRow, rows, units, depth, weightsAt, shift, scalesAt: scaled ? at.tensor(1).at : 0 },
      counts ? tileGroups(rows, units, counts) : itemGroups(rows * units),
    );
  },
};
