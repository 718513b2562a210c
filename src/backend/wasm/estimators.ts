/**
 * What estimates how the loss changes with the weights: loaded with the first model that is placed to be trained.
 */

import { type DirectionSet, Signs, weightsOfDirection } from '../../random/directions.js';
import type { Alignment, Evaluation, Probes } from '../backend.js';
import { alignmentsOfDirections } from '../host-latents.js';
import { Job, type SharedModel } from './shared-model.js';
import { ENTRY_WORDS, SITE, TRAINING, type TrainedPlan, type TrainingField } from './training-plan.js';

export { trainingPlan } from './training-plan.js';

/** See `Placed.alignWeights`. */
export async function alignWeights(
  model: SharedModel,
  set: DirectionSet,
  first: number,
  count: number,
): Promise<Alignment<Float64Array>> {
  const { threads } = model;
  model.begin();
  putDirections(model, set, first, count);
  const address = model.take(threads * count * 8);
  const sums = new Float64Array(model.words().buffer, address, threads * count).fill(0);
  model.set({ logits: 0 });
  setFields(model, { alignments: address, alignmentCount: count });
  await model.run(Job.weights, model.tiles());
  return { alignments: mergeThreads(sums, new Float64Array(count)), evaluation: model.evaluation() };
}

/**
 * See `Placed.align`.
 * @param rewardLimit - the largest magnitude of a reward
 */
export async function align(
  model: SharedModel,
  probes: Probes,
  rewardLimit: number,
  sets?: readonly DirectionSet[],
): Promise<Alignment<Int32Array>> {
  const { graph, plan } = model;
  const { siteTensors } = trainedOf(model);
  const isListed = (tensor: number) => Boolean(plan.tensors[tensor].errors);
  if (!sets && siteTensors.some(isListed)) {
    const { alignEachWeight } = await import('../each-weight.js');
    return alignEachWeight(graph, (single) => align(model, probes, rewardLimit, single));
  }
  const evaluation = await probe(model, probes, rewardLimit, sets);
  if (!sets) return { alignments: denseAlignments(model), evaluation };
  const ofListed = sets.filter(({ group }) => isListed(group));
  const listed = await alignListed(model, ofListed);
  if (ofListed.length === sets.length) return { alignments: listed, evaluation };
  const weights = denseAlignments(model);
  const alignments = new Int32Array(sets.reduce((sum, { directions }) => sum + directions, 0));
  let at = 0;
  let first = 0;
  for (const set of sets) {
    const own = isListed(set.group)
      ? listed.subarray(first, (first += set.directions))
      : alignmentsOfDirections([set], weights);
    alignments.set(own, at);
    at += set.directions;
  }
  return { alignments, evaluation };
}

/** Disturbs the sites of the tensors that have sets: their errors are kept, or summed up with their inputs. */
async function probe(
  model: SharedModel,
  { key, step, probes, sigma, rewardShift, horizon = 0, shard }: Probes,
  rewardLimit: number,
  sets?: readonly DirectionSet[],
): Promise<Evaluation> {
  const { site, siteTensors, sums, sumsBytes } = trainedOf(model);
  for (const [index, tensor] of siteTensors.entries()) {
    const trained = !sets || sets.some(({ group }) => group === tensor);
    model.words()[site / 4 + index * SITE.length + SITE.indexOf('trained')] = trained ? 1 : 0;
  }
  model.set({ key0: key[0], key1: key[1], step, logits: 0 });
  setFields(model, { probes, sigma, rewardShift, rewardLimit, horizon, firstRow: shard?.first ?? 0 });
  model.i32(sums, (model.threads * sumsBytes) / 4).fill(0);
  await model.run(Job.nodes, model.tiles());
  return model.evaluation();
}

/** The alignments of directions of tensors whose inputs and errors were kept, [Σ K]. */
async function alignListed(model: SharedModel, sets: readonly DirectionSet[]): Promise<Int32Array> {
  const count = sets.reduce((sum, set) => sum + set.directions, 0);
  if (count === 0) return new Int32Array(0);
  model.begin();
  model.putSets(sets);
  const address = model.take(model.threads * count * 4);
  const sums = model.i32(address, model.threads * count).fill(0);
  setFields(model, { alignments: address, alignmentCount: count });
  await model.run(Job.align, model.tilesOf(sets, 'columns', model.kernels.ALIGNMENT_COLUMNS));
  return mergeThreads(sums, new Int32Array(count));
}

/** The alignments of all other weights, which the threads have summed up: [parameters], 0 of those that have none. */
function denseAlignments(model: SharedModel): Int32Array {
  const { tensors } = model.plan;
  const { sums, sumsBytes, siteTensors } = trainedOf(model);
  const alignments = new Int32Array(model.graph.parameters);
  for (const index of new Set(siteTensors)) {
    const { errors, stride, sums: first = 0 } = tensors[index];
    if (errors) continue;
    const { offset, rows, columns } = model.graph.tensors[index];
    for (let thread = 0; thread < model.threads; thread++) {
      const own = model.i32(sums + thread * sumsBytes + first, rows * stride);
      for (let row = 0; row < rows; row++) {
        const [from, to] = [row * stride, offset + row * columns];
        for (let column = 0; column < columns; column++) alignments[to + column] += own[from + column];
      }
    }
  }
  return alignments;
}

/** Writes the nonzeros of a range of directions, each direction's in the order of the layers. */
function putDirections(model: SharedModel, set: DirectionSet, first: number, count: number): void {
  const signs = new Signs(set);
  const start = [0];
  const entries: number[] = [];
  for (let k = 0; k < count; k++) {
    const indices = weightsOfDirection(set, (first + k) % set.directions).sort((a, b) => a - b);
    for (const index of indices) {
      const at = set.offset + index;
      const layer = model.graph.tensors.findLastIndex(({ offset }) => offset <= at);
      const { offset, columns } = model.graph.tensors[layer];
      const row = Math.floor((at - offset) / columns);
      entries.push(layer, row, at - offset - row * columns, signs.at(index));
    }
    start.push(entries.length / ENTRY_WORDS);
  }
  const startAt = model.take(start.length * 4);
  model.words().set(start, startAt / 4);
  const entriesAt = model.take(entries.length * 4);
  model.words().set(entries, entriesAt / 4);
  setFields(model, { directions: count, directionStart: startAt, entries: entriesAt });
}

/** Sums the threads' shares, [threads, count] to [count]; integers, so the order is free. */
function mergeThreads<Values extends Float64Array | Int32Array>(shares: Values, merged: Values): Values {
  for (let from = 0; from < shares.length; from += merged.length) {
    for (let i = 0; i < merged.length; i++) merged[i] += shares[from + i];
  }
  return merged;
}

function trainedOf({ plan }: SharedModel): TrainedPlan {
  return plan.trained as TrainedPlan;
}

/** Writes fields of what estimators read. */
function setFields(model: SharedModel, fields: Partial<Record<TrainingField, number>>): void {
  const words = model.words();
  const first = trainedOf(model).address / 4;
  for (const [field, value] of Object.entries(fields)) {
    words[first + TRAINING.indexOf(field as TrainingField)] = value;
  }
}
