/** The `weights` estimator: both sides of some directions at a time, for a tile of examples at a time. */

import { type DirectionSet, nonzerosMax } from '../../random/directions.js';
import type { DeviceBuffer } from './device.js';
import { recordCopies, recordForward, recordNormalize, tilesOf } from './forward.js';
import { linearGroups } from './kernels/kernel.js';
import {
  COPY_SIZE,
  differencesKernel,
  ENTRIES_SIZE,
  entriesKernel,
  perturbKernel,
  SHARE_MAX,
  spreadKernel,
} from './kernels/perturb.js';
import { setParams } from './kernels/random.js';
import type { Workspace } from './workspace.js';

/** Nonzeros of the directions that are tried at a time, where a direction has not more. */
const ENTRIES_MAX = 2 ** 20;

/** Records the evaluation of a batch and, in two words each, the sums for directions first…first + count − 1. */
export function recordTrials(
  space: Workspace,
  batch: number,
  set: DirectionSet,
  first: number,
  count: number,
  sums: DeviceBuffer,
): void {
  const { plan, recorder, device } = space;
  const { layers, inputs, copyZ, copyX, copyLosses } = space;
  const nonzeros = nonzerosMax(set);
  const directions = Math.max(1, Math.floor(ENTRIES_MAX / nonzeros));
  const entries = space.growing(
    'weights of directions',
    4 * nonzeros * Math.min(count, directions, Math.floor(plan.copies / 2)),
  );
  const makeEntries = space.kernel('entries', () => entriesKernel());
  const differences = space.kernel('differences', () => differencesKernel(plan.tile, device.features));
  const share = Math.min(nonzeros, SHARE_MAX);
  const spread = space.kernel('spread', spreadKernel);
  const perturbs = plan.layers.map((layer, index) =>
    space.kernel(`perturb ${index}`, () => perturbKernel(layer, index === 0)),
  );
  for (const tile of tilesOf(space, batch)) {
    recordForward(space, tile);
    const atATime = Math.min(directions, Math.floor(plan.copies / (2 * tile.rows)));
    for (let from = 0; from < count; from += atATime) {
      const tried = Math.min(atATime, count - from);
      const rows = 2 * tried * tile.rows;
      recorder.add(
        makeEntries,
        { entries },
        { ...setParams(set), firstDirection: (first + from) % set.directions, count: tried, nonzeros },
        linearGroups(tried * nonzeros, ENTRIES_SIZE),
      );
      const { units } = plan.layers[0];
      recorder.add(
        spread,
        { z: layers[0].z, copies: copyZ },
        { count: rows * units, period: tile.rows * units },
        linearGroups(rows * units, COPY_SIZE),
      );
      const perturb = (index: number, x: DeviceBuffer) => {
        recorder.add(
          perturbs[index],
          { entries, x, copies: copyZ },
          { count: rows * share, share, nonzeros, examples: tile.rows, firstRow: tile.first },
          linearGroups(rows * share, COPY_SIZE),
        );
      };
      perturb(0, inputs);
      if (plan.layers.length > 1) recordNormalize(space, 0, copyZ, space.copyScales, copyX[0], rows);
      recordCopies(space, 0, rows, { first: tile.first, examples: tile.rows, copies: 1 }, perturb);
      recorder.add(
        differences,
        { losses: copyLosses, sums },
        { examples: tile.rows, first: from, add: tile.first > 0 ? 1 : 0 },
        [tried, 1],
      );
    }
  }
}
