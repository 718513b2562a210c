/**
 * The order of the examples: every epoch is a keyed permutation of the training set, and step
 * t takes the t-th slice, so any step's batch can be found without those before it.
 */

import { type Permutation, permutationOf, permute } from '../random/permutation.js';
import { type Key, Purpose, streamOf } from '../random/philox.js';

/** The examples of a training set as a trainer reads them. */
export interface TrainingSet {
  /** [count, width] u7. */
  readonly inputs: Uint8Array;
  /** [count]. */
  readonly labels: Uint8Array;
  readonly count: number;
  readonly width: number;
}

export class Batches {
  readonly inputs: Uint8Array;
  readonly labels: Uint8Array;
  #epoch = -1;
  #order: Permutation | null = null;

  constructor(
    readonly key: Key,
    readonly data: TrainingSet,
    readonly batch: number,
  ) {
    this.inputs = new Uint8Array(batch * data.width);
    this.labels = new Uint8Array(batch);
  }

  /** Fills `inputs` and `labels` with the batch of a step, counted from 0. */
  load(step: number): void {
    const { inputs, labels, count, width } = this.data;
    for (let b = 0; b < this.batch; b++) {
      const place = step * this.batch + b;
      const epoch = Math.floor(place / count);
      if (epoch !== this.#epoch || !this.#order) {
        this.#epoch = epoch;
        this.#order = permutationOf(this.key, epoch, streamOf(Purpose.dataOrder, 0), count);
      }
      const example = permute(this.#order, place - epoch * count);
      this.inputs.set(inputs.subarray(example * width, (example + 1) * width), b * width);
      this.labels[b] = labels[example];
    }
  }
}
