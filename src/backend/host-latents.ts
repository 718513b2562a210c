/**
 * The values of a model and the latents that they are read from, on this side of a device: the definition of how
 * directions move them, and alignments of directions from those of weights.
 */

import {
  type DirectionSet,
  directionOfWeight,
  nonzerosMax,
  Signs,
  weightsOfDirection,
} from '../random/directions.js';
import type { Key } from '../random/philox.js';
import type { Graph } from '../ternary/graph.js';
import type { Tensor } from '../ternary/model.js';
import { roundShift } from '../ternary/rounding.js';
import { alignmentShift } from './backend.js';
import { firstLatents, latentMax, latentsOfValues, partOf, valueOfLatent } from './latents.js';

export class Latents {
  readonly values: Int8Array;
  readonly latents: Int8Array;
  #cut = 0;

  constructor(readonly graph: Graph) {
    this.values = new Int8Array(graph.parameters);
    this.latents = new Int8Array(graph.parameters);
  }

  /** The initial draw of a key. */
  init(key: Key, cut: number): void {
    this.#cut = cut;
    for (const [index, tensor] of this.graph.tensors.entries()) {
      const own = partOf(this.latents, tensor);
      firstLatents(this.graph, index, key, cut, own);
      own.forEach((latent, i) => (this.values[tensor.offset + i] = valueOfLatent(tensor, latent, cut)));
    }
  }

  /** What the values of a base stand for. */
  start(values: Int8Array, cut: number): void {
    this.#cut = cut;
    this.values.set(values);
    for (const tensor of this.graph.tensors) {
      this.latents.set(latentsOfValues(tensor, partOf(values, tensor), cut), tensor.offset);
    }
  }

  applyStep(set: DirectionSet, coefficients: Int8Array): void {
    const signs = new Signs(set);
    const tensors = this.#tensorsOf(set);
    for (let k = 0; k < set.directions; k++) {
      if (coefficients[k] === 0) continue;
      for (const index of weightsOfDirection(set, k)) {
        const at = set.offset + index;
        const tensor = tensors.find(({ offset, rows, columns }) => at < offset + rows * columns) as Tensor;
        const most = latentMax(tensor, this.#cut);
        const moved = this.latents[at] - coefficients[k] * signs.at(index);
        this.latents[at] = Math.max(-most, Math.min(most, moved));
        this.values[at] = valueOfLatent(tensor, this.latents[at], this.#cut);
      }
    }
  }

  applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): void {
    let first = 0;
    for (const set of sets) {
      const [tensor] = this.#tensorsOf(set);
      const signs = new Signs(set);
      for (let index = 0; index < set.size; index++) {
        const at = set.offset + index;
        const coefficient = coefficients[first + directionOfWeight(set, index)];
        const latent = this.latents[at] + coefficient * signs.at(index);
        this.values[at] = valueOfLatent(tensor, latent, this.#cut);
      }
      first += set.directions;
    }
  }

  /** The tensors that a set lies in. */
  #tensorsOf({ offset: from, size }: DirectionSet): Tensor[] {
    return this.graph.tensors.filter(({ offset }) => offset >= from && offset < from + size);
  }
}

/** The alignments of directions, [Σ K], from those of all weights. */
export function alignmentsOfDirections(sets: readonly DirectionSet[], alignments: Int32Array): Int32Array {
  const sums = new Int32Array(sets.reduce((sum, { directions }) => sum + directions, 0));
  let first = 0;
  for (const set of sets) {
    const shift = alignmentShift(nonzerosMax(set));
    const signs = new Signs(set);
    for (let index = 0; index < set.size; index++) {
      const k = directionOfWeight(set, index);
      if (k >= 0) sums[first + k] += signs.at(index) * roundShift(alignments[set.offset + index], shift);
    }
    first += set.directions;
  }
  return sums;
}
