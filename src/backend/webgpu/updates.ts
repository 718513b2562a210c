/** Draws and updates of the weights: initial latents, steps of a log, pools. */

import type { DirectionSet } from '../../random/directions.js';
import type { Key } from '../../random/philox.js';
import { latentRange } from '../../random/latents.js';
import type { DeviceBuffer } from './device.js';
import {
  APPLY_SIZE,
  gatherKernel,
  initKernel,
  LATENTS_PER_BLOCK,
  poolKernel,
  scatterKernel,
} from './kernels/apply.js';
import { linearGroups } from './kernels/kernel.js';
import { keyParams, setParams } from './kernels/random.js';
import type { Workspace } from './workspace.js';

/** Scatter draws signs and places for each weight alone; gather shares them, but meets every weight. */
const GATHER_SHARE = 4;

/** Sets latents to the initial draw of a key, and the weights to what they stand for. */
export function recordInit(space: Workspace, key: Key, cut: number): void {
  const { plan, weights, latents, recorder } = space;
  plan.layers.forEach(({ units, inputs }, tensor) => {
    const kernel = space.kernel(`init ${tensor}`, () => initKernel(plan.layers, tensor));
    recorder.add(
      kernel,
      { weights, latents },
      { ...keyParams(key), cut, range: latentRange(cut) },
      linearGroups(Math.ceil((units * inputs) / LATENTS_PER_BLOCK), APPLY_SIZE),
    );
  });
}

/** One update of a log along every direction of a set. */
export function recordStep(
  space: Workspace,
  set: DirectionSet,
  coefficients: DeviceBuffer,
  cut: number,
): void {
  const { plan, weights, latents, recorder } = space;
  const gather = set.touched * GATHER_SHARE > set.size;
  const kernel = gather
    ? space.kernel('gather', () => gatherKernel(plan.layers))
    : space.kernel('scatter', () => scatterKernel(plan.layers));
  recorder.add(
    kernel,
    { weights, latents, coefficients },
    { ...setParams(set), cut, range: latentRange(cut) },
    linearGroups(gather ? set.size : set.touched, APPLY_SIZE),
  );
}

/** The weights of a pool; the sets' coefficients follow one another. */
export function recordPool(
  space: Workspace,
  sets: readonly DirectionSet[],
  coefficients: DeviceBuffer,
  cut: number,
): void {
  const { plan, weights, latents, recorder } = space;
  const kernel = space.kernel('pool', () => poolKernel(plan.layers));
  let first = 0;
  for (const set of sets) {
    recorder.add(
      kernel,
      { weights, latents, coefficients },
      { ...setParams(set), cut, first },
      linearGroups(set.size, APPLY_SIZE),
    );
    first += set.directions;
  }
}
