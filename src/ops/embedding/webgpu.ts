/** The row of a matrix that a byte names; op.ts defines it. */

import { itemKernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import type { Pass, Recipe } from '../../backend/webgpu/recipe.js';
import type { Op } from '../../ternary/graph.js';
import { EMBEDDING_SHIFT } from '../../ternary/units.js';
import { SCALING } from '../rescale/webgpu-scaling.js';

const BYTE_AT = `
fn valueAt(row: u32, unit: u32) -> i32 {
  return extractBits(bitcast<i32>(scales[params.at + row * params.depth * 4u + unit / 4u]), 8u * (unit & 3u), 8u);
}`;
const TRIT_AT = `
fn valueAt(row: u32, unit: u32) -> i32 {
  let bit = 8u * (unit & 3u) + 2u * ((unit >> 2u) & 3u);
  return extractBits(bitcast<i32>(scales[params.at + row * params.depth + unit / 16u]), bit, 2u); // 3 is −1
}`;

/** Sums of rows firstRow… of bytes, in units that a scale gives. Items: rows · units; `scales` has all values of the model. */
function embeddingKernel(wide: boolean, scaled: boolean) {
  const sum = `valueAt(byte, item % params.units) << ${EMBEDDING_SHIFT}u`;
  return itemKernel({
    name: 'embedding',
    params: ['firstRow', 'units', 'at', 'depth', 'scale'],
    buffers: { scales: read('array<u32>'), bytes: read('array<u32>'), z: write('array<i32>') },
    code: [SCALING, wide ? BYTE_AT : TRIT_AT],
    body: `
  let byte = bytes[params.firstRow + item / params.units];
  z[item] = ${scaled ? `rescale(${sum}, scaleAt(params.scale))` : sum};`,
  });
}

/**
 * Records the lookup.
 * @param scale - the word of a scale that brings sums to another unit, or null
 */
export function recordEmbedding(
  { tensors: [tensor] }: Op<'embedding'>,
  at: Pass,
  scale: number | null,
): void {
  const { columns: units, at: first, depth, wide } = at.placed(tensor);
  const { buffer: bytes, first: firstRow } = at.input(0);
  at.recorder.runItems(
    `embedding ${wide} ${scale !== null}`,
    () => embeddingKernel(wide, scale !== null),
    { scales: at.weights, bytes, z: at.output(0).buffer },
    { firstRow, units, at: first, depth, scale: scale ?? 0 },
    at.rows * units,
  );
}

export const embedding: Recipe<'embedding'> = {
  record: (op, at) => recordEmbedding(op, at, null),
};
