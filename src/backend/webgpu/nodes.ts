/**
 * The `nodes` estimator: a tile of examples at a time through the network, its probes, and its
 * errors and inputs into the batch's transposed planes; then the alignments from those.
 */

import { type DirectionSet, nonzerosMax } from '../../random/directions.js';
import { alignmentShift, type Probes } from '../backend.js';
import type { DeviceBuffer } from './device.js';
import { recordCopies, recordForward, type Tile, tilesOf } from './forward.js';
import { alignKernel, ALIGN_SIDES, alignSignBytes } from './kernels/align.js';
import { linearGroups } from './kernels/kernel.js';
import { disturbKernel } from './kernels/normalize.js';
import {
  errorsKernel,
  exactErrorsKernel,
  PROBE_SIZE,
  PROBES_PER_GROUP,
  rewardsKernel,
  signsKernel,
  transposeKernel,
} from './kernels/probes.js';
import { keyParams, setParams } from './kernels/random.js';
import { rowGroups } from './kernels/reduce.js';
import { tileCounts, TILE_SIDE } from './kernels/tile.js';
import { roundUp, VALUES_PER_VEC4 } from './plan.js';
import type { Workspace } from './workspace.js';

/** The most rows of a tile of the tiled product. */
const TILE_ROWS_MAX = 128;

/** Records the evaluation of a batch and, of each set's layer, errors and alignments. */
export function recordNodes(
  space: Workspace,
  batch: number,
  probes: Probes,
  limit: number,
  sets: readonly DirectionSet[],
  alignments: DeviceBuffer,
): void {
  const last = space.plan.layers.length - 1;
  for (const tile of tilesOf(space, batch)) {
    recordForward(space, tile);
    for (const { group: layer } of sets) {
      if (layer === last) recordExactErrors(space, tile);
      else recordProbes(space, layer, tile, limit, probes);
      recordTranspose(space, layer, tile);
    }
  }
  let first = 0;
  for (const set of sets) {
    recordAlign(space, set, first, batch, alignments);
    first += set.directions;
  }
}

/** Records all probes of a hidden layer, group by group, and of a group as many at a time as there is room for. */
export function recordProbes(
  space: Workspace,
  layer: number,
  tile: Tile,
  limit: number,
  { key, step, probes, sigma, rewardShift, shard }: Probes,
): void {
  const { plan, layers, signs, rewards, copyX, copyLosses, transposed, recorder, device, network } = space;
  const shape = plan.layers[layer];
  const { z, scales, x } = layers[layer];
  const signsOf = space.kernel(`signs ${layer}`, () => signsKernel(shape, layer));
  const disturb = space.kernel(`disturb ${layer}`, () => disturbKernel(shape, network, device.features));
  const reward = space.kernel('rewards', () => rewardsKernel());
  const errors = space.kernel(`errors ${layer}`, () => errorsKernel(shape));
  const firstExample = (shard?.first ?? 0) + tile.first;
  for (let from = 0; from < probes; from += PROBES_PER_GROUP) {
    recorder.add(
      signsOf,
      { x, signs },
      { ...keyParams(key), rows: tile.rows, step, group: from / PROBES_PER_GROUP, firstExample },
      rowGroups(shape.units, tile.rows),
    );
    const end = Math.min(probes, from + PROBES_PER_GROUP);
    for (let firstProbe = from; firstProbe < end; firstProbe += plan.probes) {
      const count = Math.min(plan.probes, end - firstProbe);
      const pairs = tile.rows * count;
      recorder.add(
        disturb,
        { z, scales, signs, x: copyX[0] },
        { rows: 2 * pairs, firstProbe, probes: count, sigma },
        rowGroups(shape.units, 2 * pairs),
      );
      recordCopies(space, layer, 2 * pairs, { first: tile.first, examples: tile.rows, copies: 2 * count });
      recorder.add(
        reward,
        { losses: copyLosses, rewards },
        { pairs, rewardShift, limit },
        linearGroups(pairs, PROBE_SIZE),
      );
      const { errorsLow, errorsHigh } = transposed[layer];
      recorder.add(
        errors,
        { signs, rewards, errorsLow, errorsHigh },
        { ...quadParams(space, tile), firstProbe, probes: count, add: firstProbe > 0 ? 1 : 0 },
        quadGroups(shape.units, tile),
      );
    }
  }
}

function recordExactErrors(space: Workspace, tile: Tile): void {
  const { plan, layers, tables, labels, softmax, transposed, recorder, network } = space;
  const last = layers.length - 1;
  const { errorsLow, errorsHigh } = transposed[last];
  recorder.add(
    space.kernel('exactErrors', () => exactErrorsKernel(network)),
    { tables, labels, z: layers[last].z, softmax, errorsLow, errorsHigh },
    { ...quadParams(space, tile), firstExample: tile.first },
    quadGroups(plan.layers[last].units, tile),
  );
}

function recordTranspose(space: Workspace, layer: number, tile: Tile): void {
  const shape = space.plan.layers[layer];
  space.recorder.add(
    space.kernel(`transpose ${layer}`, () => transposeKernel(shape)),
    { x: space.inputOf(layer), transposed: space.transposed[layer].inputs },
    { ...quadParams(space, tile), firstRow: layer === 0 ? tile.first : 0 },
    quadGroups(4 * shape.depth, tile),
  );
}

/**
 * Records the alignments of a set's directions from a batch of errors and inputs. The batch is not split: a sum is
 * rounded when it is whole, and parts of sums would take room of the size of the weights.
 */
export function recordAlign(
  space: Workspace,
  set: DirectionSet,
  first: number,
  batch: number,
  alignments: DeviceBuffer,
): void {
  const { plan, device, transposed } = space;
  const { units, inputs } = plan.layers[set.group];
  const bytes = device.workgroupBytes - alignSignBytes(TILE_ROWS_MAX);
  const counts = tileCounts(units, inputs, ALIGN_SIDES, bytes, device.tiles);
  const kernel = space.kernel(`align ${counts.lefts} × ${counts.rights}`, () =>
    alignKernel(counts, device.features),
  );
  const depth = Math.ceil(batch / VALUES_PER_VEC4);
  space.recorder.add(
    kernel,
    { ...transposed[set.group], alignments },
    {
      ...{ ...setParams(set), units, inputs, stride: plan.batchStride / VALUES_PER_VEC4, depth, first },
      shift: alignmentShift(nonzerosMax(set)),
    },
    [Math.ceil(units / (TILE_SIDE * counts.lefts)), Math.ceil(inputs / (TILE_SIDE * counts.rights))],
  );
}

function quadParams({ plan }: Workspace, { first, rows }: Tile) {
  return { rows, firstQuad: first / 4, stride: plan.batchStride / 4 };
}

/** Quads up to the next 16 examples, so that a vec4 of them is whole. */
function quadGroups(units: number, { rows }: Tile): readonly [number, number] {
  return [Math.ceil(units / PROBE_SIZE), roundUp(rows, VALUES_PER_VEC4) / 4];
}
