/** The forward pass: of the examples of a batch, a tile at a time, and of disturbed copies of them. */

import type { DeviceBuffer } from './device.js';
import { linearGroups } from './kernels/kernel.js';
import { DIRECT_DEPTH_MAX, DIRECT_SIZE, linearKernel } from './kernels/linear.js';
import { LOSS_SIZE, lossKernel } from './kernels/loss.js';
import { normalizeKernel } from './kernels/normalize.js';
import { rowGroups } from './kernels/reduce.js';
import { tileCounts, TILE_SIDE } from './kernels/tile.js';
import type { Workspace } from './workspace.js';

/** Examples first…first + rows − 1 of the batch. */
export interface Tile {
  readonly first: number;
  readonly rows: number;
}

/** Which example a copy is of: `examples` of them from `first` on, `copies` copies each, again and again. */
export interface CopyOrder {
  readonly first: number;
  readonly examples: number;
  readonly copies: number;
}

/** The tiles of a batch. */
export function tilesOf({ plan }: Workspace, batch: number): Tile[] {
  const tiles: Tile[] = [];
  for (let first = 0; first < batch; first += plan.tile) {
    tiles.push({ first, rows: Math.min(plan.tile, batch - first) });
  }
  return tiles;
}

/** Records the whole pass of a tile: every layer's results, losses and predictions. */
export function recordForward(space: Workspace, tile: Tile): void {
  const { layers, recorder, network } = space;
  layers.forEach(({ z, scales, x }, index) => {
    recordLinear(space, index, space.inputOf(index), z, index === 0 ? tile.first : 0, tile.rows);
    if (index + 1 < layers.length) recordNormalize(space, index, z, scales, x, tile.rows);
  });
  const kernel = space.kernel('loss', () => lossKernel(network, true));
  const logits = (layers.at(-1) as (typeof layers)[number]).z;
  const { tables, labels, losses, predictions, softmax } = space;
  recorder.add(
    kernel,
    { tables, labels, z: logits, losses, predictions, softmax },
    {
      ...{ count: tile.rows, firstExample: tile.first, firstResult: tile.first },
      ...{ copies: 1, examples: tile.rows },
    },
    linearGroups(tile.rows, LOSS_SIZE),
  );
}

/**
 * Records the layers above `layer` for copies whose inputs to layer + 1 are in `copyX[0]`.
 * @param disturb - called for each layer above once its sums are in `copyZ`, with the copies' inputs
 */
export function recordCopies(
  space: Workspace,
  layer: number,
  rows: number,
  order: CopyOrder,
  disturb: (layer: number, inputs: DeviceBuffer) => void = () => {},
): void {
  const { plan, copyZ, copyX, recorder, network } = space;
  for (let index = layer + 1; index < plan.layers.length; index++) {
    const side = (index - layer - 1) % 2;
    recordLinear(space, index, copyX[side], copyZ, 0, rows);
    disturb(index, copyX[side]);
    if (index + 1 < plan.layers.length) {
      recordNormalize(space, index, copyZ, space.copyScales, copyX[1 - side], rows);
    }
  }
  const kernel = space.kernel('lossAlone', () => lossKernel(network, false));
  const { tables, labels, copyLosses, predictions, softmax } = space;
  recorder.add(
    kernel,
    { tables, labels, z: copyZ, losses: copyLosses, predictions, softmax },
    {
      ...{ count: rows, firstExample: order.first, firstResult: 0 },
      ...{ copies: order.copies, examples: order.examples },
    },
    linearGroups(rows, LOSS_SIZE),
  );
}

/** Rows firstRow… of `x` through the weights of a layer. */
export function recordLinear(
  space: Workspace,
  index: number,
  x: DeviceBuffer,
  z: DeviceBuffer,
  firstRow: number,
  rows: number,
): void {
  const { weights, scales, device, plan, recorder } = space;
  const { units, depth, weightsAt, scalesAt, wide, shift } = plan.layers[index];
  const counts =
    depth <= DIRECT_DEPTH_MAX ? null : tileCounts(rows, units, 1, device.workgroupBytes, device.tiles);
  const scaled = scalesAt !== null;
  const variant = { counts, wide, scaled };
  const kernel = space.kernel(`linear ${JSON.stringify(variant)}`, () =>
    linearKernel(variant, device.features),
  );
  recorder.add(
    kernel,
    { weights, scales, x, z },
    { firstRow, rows, units, depth, weightsAt, shift, scalesAt: scalesAt ?? 0 },
    counts
      ? [Math.ceil(rows / (TILE_SIDE * counts.lefts)), Math.ceil(units / (TILE_SIDE * counts.rights))]
      : linearGroups(rows * units, DIRECT_SIZE),
  );
}

export function recordNormalize(
  space: Workspace,
  index: number,
  z: DeviceBuffer,
  scales: DeviceBuffer,
  x: DeviceBuffer,
  rows: number,
): void {
  const { device, plan, network, recorder } = space;
  const kernel = space.kernel(`normalize ${index}`, () =>
    normalizeKernel(plan.layers[index], network, device.features),
  );
  recorder.add(kernel, { z, scales, x }, { rows }, rowGroups(plan.layers[index].units, rows));
}
