/** Errors of sums times inputs: products of a batch that is transposed, so that a row is a unit or an input. */

import { type DirectionSet, nonzerosMax } from '../../random/directions.js';
import { alignmentShift } from '../../backend/backend.js';
import {
  alignSetKernel,
  ALIGN_SIDES,
  alignSignBytes,
  alignWeightsKernel,
} from '../../backend/webgpu/kernels/align.js';
import { quadGroups, transposeKernel } from '../../backend/webgpu/kernels/probes.js';
import { setParams } from '../../backend/webgpu/kernels/random.js';
import { tileCounts, tileGroups } from '../../backend/webgpu/kernels/tile.js';
import type { Errors, Pass, Training } from '../../backend/webgpu/recipe.js';

/** The most rows of a tile of the tiled product. */
const TILE_ROWS_MAX = 128;

/** Transposes the inputs; returns what both kernels of a product take. */
function operands(at: Pass, { errorsLow, errorsHigh, inputs, stride }: Errors) {
  const { rows } = at;
  const { rows: units, columns, depth } = at.tensor(0);
  const { buffer: x, first: firstRow } = at.input(0);
  at.recorder.run(
    'transpose',
    transposeKernel,
    { x, transposed: inputs },
    { rows, units: 4 * depth, columns, stride, firstRow },
    quadGroups(4 * depth, rows),
  );
  return {
    buffers: { errorsLow, errorsHigh, inputs },
    shape: { units, columns, stride: stride / 4, depth: Math.ceil(rows / 16) },
  };
}

export const linear: Training<'linear'> = {
  align(_, at, errors, sums): void {
    const { device } = at;
    const { buffers, shape } = operands(at, errors);
    const { units, columns } = shape;
    const counts = tileCounts(units, columns, ALIGN_SIDES, device.workgroupBytes, device.tiles);
    at.recorder.run(
      `alignWeights ${JSON.stringify(counts)}`,
      () => alignWeightsKernel(counts, device.features),
      { ...buffers, alignments: sums },
      { ...shape, first: at.tensor(0).offset },
      tileGroups(units, columns, counts),
    );
  },

  alignSet(_, at, errors, set: DirectionSet, alignments, first): void {
    const { device } = at;
    const { buffers, shape } = operands(at, errors);
    const { units, columns } = shape;
    const bytes = device.workgroupBytes - alignSignBytes(TILE_ROWS_MAX);
    const counts = tileCounts(units, columns, ALIGN_SIDES, bytes, device.tiles);
    at.recorder.run(
      `alignSet ${JSON.stringify(counts)}`,
      () => alignSetKernel(counts, device.features),
      { ...buffers, alignments },
      { ...setParams(set), ...shape, first, shift: alignmentShift(nonzerosMax(set)) },
      tileGroups(units, columns, counts),
    );
  },
};
