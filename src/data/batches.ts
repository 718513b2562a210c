/**
 * The batches of a run: every epoch is a keyed permutation of the training set, and step t
 * takes the t-th slice, so any step's batch can be found without those before it. Images may
 * be shifted at random on the way.
 */

import { ConfigError, expected } from '../errors.js';
import { type Permutation, permutationOf, permute } from '../random/permutation.js';
import { type Key, Purpose, philox, streamOf } from '../random/philox.js';

/** The examples of a training set as a trainer reads them. */
export interface TrainingSet {
  /** [count, width] u7. */
  readonly inputs: Uint8Array;
  /** [count]. */
  readonly labels: Uint8Array;
  readonly count: number;
  readonly width: number;
  /** Pixels of a row of an image; needed where images are shifted. */
  readonly columns?: number;
}

/**
 * Checks that a training set fits a model.
 * @param widths - layer widths of the model
 * @param shift - how far an image may be shifted each way, in pixels
 * @throws {ConfigError} naming the setting that does not fit
 */
export function checkTrainingSet(data: TrainingSet, widths: readonly number[], shift: number): void {
  const { width, columns = width } = data;
  if (widths[0] !== width) {
    throw new ConfigError(`"model" expected ${width} inputs, as the data has, got ${widths[0]}`);
  }
  const side = columns < width ? Math.min(columns, Math.floor(width / columns)) : columns;
  if (shift >= side) throw expected('shift', `less than ${side} pixels, as the images have`, shift);
  const classes = widths.at(-1) as number;
  if (data.labels.some((label) => label >= classes)) {
    throw new ConfigError(`"model" expected at least as many classes as the data has, got ${classes}`);
  }
}

export class Batches {
  readonly inputs: Uint8Array;
  readonly labels: Uint8Array;
  #epoch = -1;
  #order: Permutation | null = null;
  readonly #words = new Uint32Array(4);

  /** @param shift - how far an image may be shifted each way, in pixels */
  constructor(
    readonly key: Key,
    readonly data: TrainingSet,
    readonly batch: number,
    readonly shift = 0,
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
      const image = inputs.subarray(example * width, (example + 1) * width);
      if (this.shift > 0) this.#putShifted(image, step, b);
      else this.inputs.set(image, b * width);
      this.labels[b] = labels[example];
    }
  }

  /** Copies an image moved by a random number of rows and columns; what moves in is zero. */
  #putShifted(image: Uint8Array, step: number, b: number): void {
    const { width, columns = width } = this.data;
    philox(this.key, 0, b, step, streamOf(Purpose.shift, 0), this.#words);
    const [right, down] = [this.#draw(0), columns < width ? this.#draw(1) : 0];
    const start = b * width;
    const by = down * columns + right;
    const [from, to] = [Math.max(0, right), columns + Math.min(0, right)];
    const target = this.inputs;
    target.fill(0, start, start + width);
    // Loops, not `set` of subarrays: those would take longer than all of a training step's bookkeeping.
    for (let row = Math.max(0, down) * columns; row < width + Math.min(0, down) * columns; row += columns) {
      for (let at = row + from; at < row + to; at++) target[start + at] = image[at - by];
    }
  }

  /** An integer in −shift…shift. */
  #draw(word: number): number {
    return (((this.#words[word] >>> 16) * (2 * this.shift + 1)) >>> 16) - this.shift;
  }
}
