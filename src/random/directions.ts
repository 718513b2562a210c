/**
 * Directions: sparse ±1 vectors over a group of weights, made from a seed. Direction k of a
 * set has its nonzeros at π(k), π(k + K), π(k + 2K), … below π(touched), so the directions of
 * a set are disjoint; the sign belongs to the weight. π can be inverted, so any part of the
 * weights can be rebuilt alone.
 */

import { type Key, philox, Purpose, streamOf } from './philox.js';
import { type Permutation, permutationOf, permute, unpermute } from './permutation.js';

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
 * @example weightsOfDirection(set, 0) // [π(0), π(K), π(2K), …]
 */
export function weightsOfDirection(set: DirectionSet, direction: number): number[] {
  const weights: number[] = [];
  for (let position = direction; position < set.touched; position += set.directions) {
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
    return ((this.#words[(index >>> 5) & 3] as number) >>> (index & 31)) & 1 ? -1 : 1;
  }
}
