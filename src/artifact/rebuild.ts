/**
 * Rebuilding weights from an artifact: all of them on a backend, or one tensor alone, without
 * touching the others.
 */

import type { Backend } from '../backend/backend.js';
import { ConfigError, expected, printable } from '../errors.js';
import {
  type DirectionSet,
  directionOfWeight,
  logSets,
  Signs,
  weightsOfDirection,
} from '../random/directions.js';
import { initLatents, latentRange, tritOf } from '../random/latents.js';
import { type Artifact, atEnd, type SeedLog, type SeedPool, setsOfPool } from './artifact.js';
import { parseKey } from './header.js';
import { weightsHash } from './weights-hash.js';

/**
 * Rebuilds all weights.
 * @param step - of a seed log, the step after which the weights are wanted; the last if left out
 * @returns the values of all tensors in model order, the same on every backend
 * @throws {ConfigError} when there is no such step
 * @throws {ArtifactError} when a log does not hold what it says
 * @example const weights = await rebuild(artifact, backend);
 */
export async function rebuild(
  artifact: Artifact,
  backend: Backend,
  step = artifact.steps,
): Promise<Int8Array> {
  checkStep(artifact, step);
  if (artifact.kind === 'packed') return artifact.weights.slice();
  const { network, header } = artifact;
  const key = parseKey(header.key);
  const placed = await backend.place(network, { batch: 1 });
  try {
    await placed.initLatents(key, header.cut);
    if (artifact.kind === 'pool') {
      await placed.applyPool(setsOfPool(artifact), artifact.coefficients);
    } else {
      for (const { sets, coefficients } of stepsUntil(artifact, step)) {
        let first = 0;
        for (const set of sets) {
          await placed.applyStep(set, coefficients.subarray(first, first + set.directions));
          first += set.directions;
        }
      }
    }
    return await placed.readWeights();
  } finally {
    await placed.release();
  }
}

/**
 * Rebuilds all weights and compares them with the hash in the artifact.
 * @throws {ArtifactError} when they are not the weights that were trained
 */
export async function rebuildVerified(artifact: Artifact, backend: Backend): Promise<Int8Array> {
  const weights = await rebuild(artifact, backend);
  const hash = await weightsHash(weights, artifact.network.tensors);
  if (hash !== artifact.weightsHash) {
    throw atEnd(artifact, `expected weights with hash ${artifact.weightsHash}, got ${hash}`);
  }
  return weights;
}

/**
 * Rebuilds one tensor of an artifact without touching the others.
 * @param name - the tensor's name, as `inspect` lists it
 * @returns its values in row-major order, rows × columns, the same as that part of {@link rebuild}
 * @throws {ConfigError} when there is no such tensor or step
 * @throws {ArtifactError} when a log does not hold what it says
 * @example const weights = rebuildTensor(artifact, 'layer0.weight');
 */
export function rebuildTensor(artifact: Artifact, name: string, step = artifact.steps): Int8Array {
  checkStep(artifact, step);
  const index = artifact.network.tensors.findIndex((tensor) => tensor.name === name);
  const tensor = artifact.network.tensors[index];
  if (!tensor) {
    const names = artifact.network.tensors.map((one) => one.name).join(', ');
    throw new ConfigError(`"tensor" expected one of ${names}, got "${printable(name)}"`);
  }
  const size = tensor.rows * tensor.columns;
  if (artifact.kind === 'packed') return artifact.weights.slice(tensor.offset, tensor.offset + size);
  const { cut, key } = artifact.header;
  const latents = new Int8Array(size);
  initLatents(parseKey(key), index, cut, latents);
  if (artifact.kind === 'pool') return poolTensor(artifact, index, latents);
  const range = latentRange(cut);
  for (const { sets, coefficients } of stepsUntil(artifact, step)) {
    let first = 0;
    for (const set of sets) {
      if (set.offset < tensor.offset + size && set.offset + set.size > tensor.offset) {
        moveLatents(set, coefficients.subarray(first, first + set.directions), tensor.offset, latents, range);
      }
      first += set.directions;
    }
  }
  return latents.map((latent) => tritOf(latent, cut));
}

function poolTensor(pool: SeedPool, index: number, latents: Int8Array): Int8Array {
  let first = 0;
  for (const set of setsOfPool(pool)) {
    if (set.group === index) {
      const signs = new Signs(set);
      return latents.map((latent, i) => {
        const coefficient = pool.coefficients[first + directionOfWeight(set, i)];
        return tritOf(latent + coefficient * signs.at(i), pool.header.cut);
      });
    }
    first += set.directions;
  }
  return latents.map((latent) => tritOf(latent, pool.header.cut)); // a tensor that was not trained
}

/** One step of a log on the latents of one tensor, which start at `offset` in the model. */
function moveLatents(
  set: DirectionSet,
  coefficients: Int8Array,
  offset: number,
  latents: Int8Array,
  range: number,
): void {
  const signs = new Signs(set);
  coefficients.forEach((coefficient, k) => {
    if (coefficient === 0) return;
    for (const index of weightsOfDirection(set, k)) {
      const i = set.offset + index - offset;
      if (i < 0 || i >= latents.length) continue;
      const moved = latents[i] - coefficient * signs.at(index);
      latents[i] = Math.max(-range, Math.min(range, moved));
    }
  });
}

function* stepsUntil(
  log: SeedLog,
  last: number,
): Generator<{ sets: DirectionSet[]; coefficients: Int8Array }> {
  const { network, header } = log;
  const key = parseKey(header.key);
  let step = 0;
  for (const { seedStep, nonzeros, coefficients } of log.replaySteps()) {
    if (step === last) return;
    step += 1;
    yield { sets: logSets(network.tensors, key, seedStep, header.directions, nonzeros), coefficients };
  }
}

function checkStep(artifact: Artifact, step: number): void {
  if (artifact.kind !== 'log' && step !== artifact.steps) {
    throw new ConfigError(
      `"step" expected a seed log, got a ${artifact.kind}, which keeps the last step alone`,
    );
  }
  if (!Number.isInteger(step) || step < 0 || step > artifact.steps) {
    throw expected('step', `an integer in 0…${artifact.steps}`, step);
  }
}
