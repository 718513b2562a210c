/**
 * Directions: sparse ±1 vectors over a group of weights, made from a seed. Direction k of a
 * set has its nonzeros at π(k), π(k + K), π(k + 2K), … below π(touched), so the directions of
 * a set are disjoint; the sign belongs to the weight. π can be inverted, so any part of the
 * weights can be rebuilt alone.
 */

import { type Permutation, permutationOf, permute, unpermute } from './permutation.js';
import { type Key, Purpose, philox, streamOf } from './philox.js';

/** Nonzeros of a direction of a log, at most. */
export const NONZEROS_MAX = 2 ** 20;
/** Directions of all sets of a step or a pool together, at most. */
export const DIRECTIONS_MAX = 2 ** 24;
/** Of each direction of a log, decoding looks at so many weights, at most: more would not tell more. */
export const LOOKED_AT_MAX = 16;
/** Steps of a run, at most. */
export const STEPS_MAX = 10_000_000;

/** A set of disjoint directions over the weights offset…offset + size − 1 of a model. */
export interface DirectionSet {
  readonly key: Key;
  /** 0 for a pool; the step, counted from 1, for a log. */
  readonly step: number;
  /** Names the streams: the tensor's index, or the number of tensors for the whole model. */
  readonly group: number;
  readonly offset: number;
  readonly size: number;
  /** K. */
  readonly directions: number;
  /** Weights that belong to any direction, K…size: K·n for n nonzeros each, `size` for a partition. */
  readonly touched: number;
  readonly permutation: Permutation;
}

/** Builds a set; the caller has checked 1 ≤ directions ≤ touched ≤ size. */
export function directionSet(spec: Omit<DirectionSet, 'permutation'>): DirectionSet {
  const stream = streamOf(Purpose.permutation, spec.group);
  return { ...spec, permutation: permutationOf(spec.key, spec.step, stream, spec.size) };
}

/** The largest number of nonzeros that a direction of the set has. */
export function nonzerosMax(set: DirectionSet): number {
  return Math.ceil(set.touched / set.directions);
}

/**
 * Where direction k is not zero: indices within the group, in the order of their positions.
 * @param most - how many are wanted, the first ones; all if left out
 * @example weightsOfDirection(set, 0).length // Math.ceil(set.touched / set.directions)
 */
export function weightsOfDirection(set: DirectionSet, direction: number, most = set.size): number[] {
  const weights: number[] = [];
  const end = Math.min(set.touched, direction + most * set.directions);
  for (let position = direction; position < end; position += set.directions) {
    weights.push(permute(set.permutation, position));
  }
  return weights;
}

/** The direction that weight `index` of the group belongs to, or −1. */
export function directionOfWeight(set: DirectionSet, index: number): number {
  const position = unpermute(set.permutation, index);
  return position < set.touched ? position % set.directions : -1;
}

/** The signs of a set, read one by one; each Philox block serves 128 neighbouring weights. */
export class Signs {
  readonly #stream: number;
  readonly #words = new Uint32Array(4);
  #block = -1;

  constructor(readonly set: DirectionSet) {
    this.#stream = streamOf(Purpose.sign, set.group);
  }

  /** The sign, −1 or +1, of weight `index` of the group. */
  at(index: number): number {
    if (index >>> 7 !== this.#block) {
      this.#block = index >>> 7;
      philox(this.set.key, this.#block, 0, this.set.step, this.#stream, this.#words);
    }
    return (this.#words[(index >>> 5) & 3] >>> (index & 31)) & 1 ? -1 : 1;
  }
}

/** A tensor as far as directions are concerned. */
interface Extent {
  readonly rows: number;
  readonly columns: number;
  readonly offset: number;
}

/**
 * The sets of a seed pool: one a tensor, each a partition of all its weights.
 * @param counts - directions of each tensor; 0: the tensor stays as it was drawn
 */
export function poolSets(tensors: readonly Extent[], key: Key, counts: readonly number[]): DirectionSet[] {
  return setExtents(tensors, counts).map((extent) =>
    directionSet({ ...extent, key, step: 0, touched: extent.size }),
  );
}

/**
 * The sets of one step of a seed log: one over the whole model, or one a tensor.
 * @param step - counted from 1
 * @param counts - directions of the whole model [1], or of each tensor; 0: it stays as it was drawn
 * @param nonzeros - of each direction; a set never touches more weights than it has
 */
export function logSets(
  tensors: readonly Extent[],
  key: Key,
  step: number,
  counts: readonly number[],
  nonzeros: number,
): DirectionSet[] {
  return setExtents(tensors, counts).map((extent) => {
    const touched = Math.min(extent.size, extent.directions * nonzeros);
    return directionSet({ ...extent, key, step, touched });
  });
}

/** Where the sets lie: the whole model for a single count of several tensors, else the tensors that have directions. */
export function setExtents(tensors: readonly Extent[], counts: readonly number[]) {
  const extents = tensors.map(({ rows, columns, offset }, group) => ({
    group,
    offset,
    size: rows * columns,
  }));
  const whole = { group: tensors.length, offset: 0, size: extents.reduce((sum, { size }) => sum + size, 0) };
  return (counts.length < tensors.length ? [whole] : extents)
    .map((extent, i) => ({ ...extent, directions: counts[i] }))
    .filter(({ directions }) => directions > 0);
}
