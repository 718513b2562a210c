/**
 * Rebuilding weights from an artifact: all of them on a backend, or one tensor or some rows of
 * one alone, without touching the others.
 */

import type { Backend } from '../backend/backend.js';
import { firstLatents, latentMax, latentsOfValues, valueOfLatent } from '../backend/latents.js';
import { Breath, type Watch } from '../watch.js';
import { ConfigError, expected, printable } from '../errors.js';
import {
  type DirectionSet,
  directionOfWeight,
  logSets,
  nonzerosMax,
  Signs,
  weightsOfDirection,
} from '../random/directions.js';
import type { Model, Tensor } from '../ternary/model.js';
import { type Artifact, atEnd, type SeedLog, type SeedPool, setsOfPool } from './artifact.js';
import { checkedBase, requireBase, withDifferences } from './delta.js';
import { parseKey } from './header.js';
import type { LogStep } from './seed-log.js';
import { weightsHash } from './weights-hash.js';

/**
 * Rebuilds all weights.
 * @param step - of a seed log, the step after which the weights are wanted; the last if left out
 * @param base - of a delta, the weights of its base
 * @param watch - of a log, which may take long: a signal to give up by, and progress in steps
 * @returns the values of all tensors in model order, the same on every backend
 * @throws {ConfigError} when there is no such step
 * @throws {ArtifactError} when a log does not hold what it says, its steps ask for more work than its bytes are worth,
 *   or a base is missing or not the right one
 * @example const weights = await rebuild(artifact, backend);
 * @example await rebuild(log, backend, 100, undefined, { signal: AbortSignal.timeout(5000) });
 */
export async function rebuild(
  artifact: Artifact,
  backend: Backend,
  step = artifact.steps,
  base?: Int8Array,
  watch?: Watch,
): Promise<Int8Array> {
  checkStep(artifact, step);
  const breath = new Breath(watch);
  const start = await checkedBase(artifact, base);
  if (artifact.kind === 'packed') {
    return start ? withDifferences(artifact.network, start, artifact.weights) : artifact.weights.slice();
  }
  const { network, header } = artifact;
  const key = parseKey(header.key);
  const placed = await backend.place(network, { batch: 1 });
  try {
    await (start ? placed.startLatents(start, header.cut) : placed.initLatents(key, header.cut));
    if (artifact.kind === 'pool') {
      await placed.applyPool(setsOfPool(artifact), artifact.coefficients);
    } else {
      let done = 0;
      for (const { sets, coefficients } of stepsUntil(artifact, step)) {
        if (breath.due()) await breath.take(done, step);
        done += 1;
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
 * @param base - of a delta, the weights of its base
 * @param watch - as {@link rebuild} takes it
 * @throws {ArtifactError} when they are not the weights that were trained
 */
export async function rebuildVerified(
  artifact: Artifact,
  backend: Backend,
  base?: Int8Array,
  watch?: Watch,
): Promise<Int8Array> {
  const weights = await rebuild(artifact, backend, artifact.steps, base, watch);
  const hash = await weightsHash(weights, artifact.network.tensors);
  if (hash !== artifact.weightsHash) {
    throw atEnd(artifact, `expected weights with hash ${artifact.weightsHash}, got ${hash}`);
  }
  return weights;
}

/** Rows of a tensor: from…to − 1. */
export interface Rows {
  readonly from: number;
  readonly to: number;
}

/**
 * Rebuilds one tensor of an artifact without touching the others.
 * @param name - the tensor's name, as `inspect` lists it
 * @param base - of a delta, the weights of its base, all of them; their hash is not looked at
 * @returns its values in row-major order, rows × columns, the same as that part of {@link rebuild}
 * @throws {ConfigError} when there is no such tensor or step
 * @throws {ArtifactError} when a log does not hold what it says
 * @example const weights = rebuildTensor(artifact, 'layer0.weight');
 */
export function rebuildTensor(
  artifact: Artifact,
  name: string,
  step = artifact.steps,
  base?: Int8Array,
): Int8Array {
  return finish(rebuildTile(artifact, tileOf(artifact, name, null), step, base));
}

/**
 * Rebuilds some rows of one tensor. Of a pool, and of packed weights, that takes time in proportion to
 * the rows; of a log besides that the decoding of its steps, which is the same for every tile.
 * @param name - the tensor's name, as `inspect` lists it
 * @param rows - 0 ≤ from < to ≤ the tensor's rows
 * @returns their values in row-major order, the same as that part of {@link rebuildTensor}
 * @throws {ConfigError} when there is no such tensor, row or step
 * @throws {ArtifactError} when a log does not hold what it says
 * @example const tile = rebuildRows(artifact, 'layer0.weight', { from: 16, to: 32 });
 */
export function rebuildRows(
  artifact: Artifact,
  name: string,
  rows: Rows,
  step = artifact.steps,
  base?: Int8Array,
): Int8Array {
  return finish(rebuildTile(artifact, tileOf(artifact, name, rows), step, base));
}

/**
 * The same as {@link rebuildTensor}, or with rows as {@link rebuildRows}, without holding up whoever waits: other work
 * has its turn now and then, and it can be given up.
 * @param rows - all if null
 * @param watch - as {@link rebuild} takes it
 */
export async function rebuildPart(
  artifact: Artifact,
  name: string,
  rows: Rows | null,
  step: number = artifact.steps,
  base?: Int8Array,
  watch?: Watch,
): Promise<Int8Array> {
  const breath = new Breath(watch);
  const work = rebuildTile(artifact, tileOf(artifact, name, rows), step, base);
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    if (breath.due()) await breath.take(value, step);
  }
}

/** Some rows of a tensor. */
interface Tile extends Rows {
  readonly tensor: Tensor;
}

function tileOf(artifact: Artifact, name: string, rows: Rows | null): Tile {
  const tensor = tensorOf(artifact.network, name);
  const { from, to } = rows ?? { from: 0, to: tensor.rows };
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || from >= to || to > tensor.rows) {
    throw expected('rows', `a range within the ${tensor.rows} rows of ${name}`, `${from}…${to - 1}`);
  }
  return { tensor, from, to };
}

function finish<Result>(work: Generator<number, Result>): Result {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value as Result;
  }
}

/**
 * A tensor by its name.
 * @throws {ConfigError} when there is none
 */
export function tensorOf({ tensors }: Model, name: string): Tensor {
  const tensor = tensors.find((one) => one.name === name);
  if (tensor) return tensor;
  const names = tensors.map((one) => one.name).join(', ');
  throw new ConfigError(`"tensor" expected one of ${names}, got "${printable(name)}"`);
}

/** The values of a tile; tells of each step of a log. */
function* rebuildTile(
  artifact: Artifact,
  { tensor, from, to }: Tile,
  step: number,
  base: Int8Array | undefined,
): Generator<number, Int8Array> {
  checkStep(artifact, step);
  const start = requireBase(artifact, base);
  const first = from * tensor.columns; // within the tensor
  const size = (to - from) * tensor.columns;
  const offset = tensor.offset + first; // within the model
  const part = start?.subarray(offset, offset + size);
  if (artifact.kind === 'packed') {
    const values = artifact.weights.subarray(offset, offset + size);
    const tile = { tensors: [{ ...tensor, rows: to - from, offset: 0 }], parameters: size };
    return part ? withDifferences(tile, part, values) : values.slice();
  }
  const { cut, key } = artifact.header;
  const index = artifact.network.tensors.indexOf(tensor);
  const latents = new Int8Array(size);
  if (part) latents.set(latentsOfValues(tensor, part, cut));
  else firstLatents(artifact.network, index, parseKey(key), cut, latents, first);
  if (artifact.kind === 'pool') return poolTile(artifact, index, latents, first);
  const range = latentMax(tensor, cut);
  let done = 0;
  for (const { sets, coefficients } of stepsUntil(artifact, step)) {
    yield done++;
    let at = 0;
    for (const set of sets) {
      if (set.offset < offset + size && set.offset + set.size > offset) {
        moveLatents(set, coefficients.subarray(at, at + set.directions), offset, latents, range);
      }
      at += set.directions;
    }
  }
  return latents.map((latent) => valueOfLatent(tensor, latent, cut));
}

/** The values of a tile whose first weight is `first` of its tensor. */
function poolTile(pool: SeedPool, index: number, latents: Int8Array, first: number): Int8Array {
  const tensor = pool.network.tensors[index];
  const { cut } = pool.header;
  let at = 0;
  for (const set of setsOfPool(pool)) {
    if (set.group === index) {
      const signs = new Signs(set);
      return latents.map((latent, i) => {
        const coefficient = pool.coefficients[at + directionOfWeight(set, first + i)];
        return valueOfLatent(tensor, latent + coefficient * signs.at(first + i), cut);
      });
    }
    at += set.directions;
  }
  return latents.map((latent) => valueOfLatent(tensor, latent, cut)); // a tensor that was not trained
}

/**
 * One step of a log on the latents of a tile, which starts at `offset` in the model. Either every weight
 * of the tile asks for its direction, or every direction that moves asks for its weights: whichever is
 * fewer permutations.
 */
export function moveLatents(
  set: DirectionSet,
  coefficients: Int8Array,
  offset: number,
  latents: Int8Array,
  range: number,
): void {
  const signs = new Signs(set);
  const move = (i: number, by: number) => {
    latents[i] = Math.max(-range, Math.min(range, latents[i] - by));
  };
  const shift = set.offset - offset; // from an index of the set to one of the tile
  const begin = Math.max(0, shift);
  const end = Math.min(latents.length, shift + set.size);
  const moving = coefficients.reduce((sum, coefficient) => sum + Math.abs(coefficient), 0);
  if (end - begin < moving * nonzerosMax(set)) {
    for (let i = begin; i < end; i++) {
      const direction = directionOfWeight(set, i - shift);
      const coefficient = direction < 0 ? 0 : coefficients[direction];
      if (coefficient !== 0) move(i, coefficient * signs.at(i - shift));
    }
    return;
  }
  coefficients.forEach((coefficient, k) => {
    if (coefficient === 0) return;
    for (const index of weightsOfDirection(set, k)) {
      const i = index + shift;
      if (i >= begin && i < end) move(i, coefficient * signs.at(index));
    }
  });
}

/** The directions of a step of a log. */
export function setsOfStep({ network, header }: SeedLog, { seedStep, nonzeros }: LogStep): DirectionSet[] {
  return logSets(network.tensors, parseKey(header.key), seedStep, header.directions, nonzeros);
}

function* stepsUntil(
  log: SeedLog,
  last: number,
): Generator<{ sets: DirectionSet[]; coefficients: Int8Array }> {
  if (last === 0) return;
  for (const entry of log.replaySteps()) {
    const { step, coefficients } = entry;
    yield { sets: setsOfStep(log, entry), coefficients };
    // The last of all is followed by what checks the end of its block.
    if (step === last && last < log.steps) return;
  }
}

/**
 * Checks that an artifact has the weights after a step.
 * @throws {ConfigError} when it has not
 */
export function checkStep(artifact: Artifact, step: number): void {
  if (artifact.kind !== 'log' && step !== artifact.steps) {
    throw new ConfigError(
      `"step" expected a seed log, got a ${artifact.kind}, which keeps the last step alone`,
    );
  }
  if (!Number.isInteger(step) || step < 0 || step > artifact.steps) {
    throw expected('step', `an integer in 0…${artifact.steps}`, step);
  }
}
