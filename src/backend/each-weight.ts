/** Alignments of all weights, where a device aligns directions: each weight is a direction of its own. */

import { type DirectionSet, directionOfWeight, poolSets, Signs } from '../random/directions.js';
import type { Graph } from '../ternary/graph.js';
import type { Alignment } from './backend.js';

/**
 * Aligns every weight of a model.
 * @param align - aligns directions, [Σ K]
 * @returns [parameters]
 */
export async function alignEachWeight(
  { tensors }: Graph,
  align: (sets: readonly DirectionSet[]) => Promise<Alignment<Int32Array>>,
): Promise<Alignment<Int32Array>> {
  const sizes = tensors.map(({ rows, columns }) => rows * columns);
  const sets = poolSets(tensors, [0, 0], sizes);
  const { alignments, evaluation } = await align(sets);
  const weights = new Int32Array(alignments.length);
  let first = 0;
  for (const set of sets) {
    const signs = new Signs(set);
    for (let index = 0; index < set.size; index++) {
      weights[set.offset + index] = signs.at(index) * alignments[first + directionOfWeight(set, index)];
    }
    first += set.directions;
  }
  return { alignments: weights, evaluation };
}
