/** Errors of an embedding, added to the rows that their bytes name. */

import { BYTES } from '../../backend/webgpu/kernels/bytes.js';
import { itemKernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import type { Training } from '../../backend/webgpu/recipe.js';

/** Items: rows · units. */
function alignKernel() {
  return itemKernel({
    name: 'alignEmbedding',
    params: ['units', 'stride', 'firstRow', 'first'],
    buffers: {
      bytes: read('array<u32>'),
      errorsLow: read('array<u32>'),
      errorsHigh: read('array<u32>'),
      alignments: write('array<atomic<i32>>'),
    },
    code: [BYTES],
    body: `
  let row = item / params.units;
  let unit = item % params.units;
  let at = unit * params.stride + row / 4u;
  let error = bytesOf(errorsHigh[at])[row & 3u] * 256 + bytesOf(errorsLow[at])[row & 3u];
  let weight = bytes[params.firstRow + row] * params.units + unit;
  if (error != 0) { atomicAdd(&alignments[params.first + weight], error); }`,
  });
}

export const embedding: Training<'embedding'> = {
  align(_, at, { errorsLow, errorsHigh, stride }, sums): void {
    const { columns: units, offset } = at.tensor(0);
    const { buffer: bytes, first: firstRow } = at.input(0);
    at.recorder.runItems(
      'alignEmbedding',
      alignKernel,
      { bytes, errorsLow, errorsHigh, alignments: sums },
      { units, stride, firstRow, first: offset },
      at.rows * units,
    );
  },
};
