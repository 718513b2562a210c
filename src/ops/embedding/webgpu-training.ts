/** Errors of an embedding, added to the rows that their bytes name. */

import { BYTES } from '../../backend/webgpu/kernels/bytes.js';
import { itemGroups, itemMain, kernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import type { Training } from '../../backend/webgpu/recipe.js';

/** Items: rows · units. */
function alignKernel() {
  return kernel({
    name: 'alignEmbedding',
    params: ['items', 'units', 'stride', 'firstRow', 'first'],
    buffers: {
      bytes: read('array<u32>'),
      errorsLow: read('array<u32>'),
      errorsHigh: read('array<u32>'),
      alignments: write('array<atomic<i32>>'),
    },
    code: [
      BYTES,
      itemMain(`
  if (item >= params.items) { return; }
  let row = item / params.units;
  let unit = item % params.units;
  let at = unit * params.stride + row / 4u;
  let error = bytesOf(errorsHigh[at])[row & 3u] * 256 + bytesOf(errorsLow[at])[row & 3u];
  let weight = bytes[params.firstRow + row] * params.units + unit;
  if (error != 0) { atomicAdd(&alignments[params.first + weight], error); }`),
    ],
  });
}

export const embedding: Training<'embedding'> = {
  align(_, at, { errorsLow, errorsHigh, stride }, sums): void {
    const { columns: units, offset } = at.tensor(0);
    const { buffer: bytes, first: firstRow } = at.input(0);
    const items = at.rows * units;
    at.run(
      'alignEmbedding',
      alignKernel,
      { bytes, errorsLow, errorsHigh, alignments: sums },
      { items, units, stride, firstRow, first: offset },
      itemGroups(items),
    );
  },
};
