/**
 * The batches of a run: every epoch is a keyed permutation of the training set, and step t
 * takes the t-th slice, so any step's batch can be found without those before it. Images may
 * be shifted at random on the way.
 */

import type { ImageShape } from '../artifact/inputs.js';
import { ConfigError, expected } from '../errors.js';
import { type Permutation, permutationOf, permute } from '../random/permutation.js';
import { type Key, Purpose, philox, streamOf } from '../random/philox.js';
import { requireArray } from '../typed-arrays.js';
import { namesInWords } from './examples.js';

/** The examples of a training set as a trainer reads them. */
export interface TrainingSet {
  /** [count, width] u7. */
  readonly inputs: Uint8Array;
  /** [count]. */
  readonly labels: Uint8Array;
  readonly count: number;
  readonly width: number;
  /** Rows, columns and channels, where the examples are images; only images can be shifted. */
  readonly image?: ImageShape | null;
  /** The labels of the classes, for errors; without them 0, 1, 2, … */
  readonly names?: readonly number[];
}

/**
 * Checks that a training set fits a model.
 * @param widths - layer widths of the model
 * @param shift - how far an image may be shifted each way, in pixels
 * @throws {ConfigError} naming the setting that does not fit
 */
export function checkTrainingSet(data: TrainingSet, widths: readonly number[], shift: number): void {
  const { inputs, labels, count, width, names } = data;
  requireArray('inputs', 'Uint8Array', inputs);
  requireArray('labels', 'Uint8Array', labels);
  if (!Number.isInteger(count) || count < 1) throw expected('count', 'an integer of 1 or more', count);
  if (widths[0] !== width) {
    throw new ConfigError(`"model" expected ${width} inputs, as the data has, got ${widths[0]}`);
  }
  if (inputs.length !== count * width) throw expected('inputs', `${count} × ${width} values`, inputs.length);
  if (labels.length !== count) throw expected('labels', `${count} values`, labels.length);
  let bits = 0;
  for (let i = 0; i < inputs.length; i++) bits |= inputs[i];
  if (bits > 127) throw expected('inputs', 'values in 0…127', 'a larger one');
  checkShift(data, shift);
  const classes = widths.at(-1) as number;
  const largest = labels.reduce((most, label) => Math.max(most, label), 0);
  if (largest >= classes) {
    const known = names ?? [...new Set(labels)].sort((a, b) => a - b);
    throw new ConfigError(
      `"model" expected at least ${names?.length ?? largest + 1} outputs, ` +
        `one for each label of the data (${namesInWords(known)}), got ${classes}`,
    );
  }
}

/** @throws {ConfigError} when examples cannot be moved so far, or not at all */
function checkShift({ image, width }: TrainingSet, shift: number): void {
  if (shift === 0) return;
  if (!image) {
    throw expected(
      'shift',
      '0, since the examples are no images: say their rows and columns as "image" if they are',
      shift,
    );
  }
  const { rows, columns, channels } = image;
  if (rows * columns * channels !== width) {
    throw expected('image', `${width} values, as the examples have`, `${rows}×${columns}×${channels}`);
  }
  const side = shiftLimit(image);
  if (shift >= side) throw expected('shift', `less than ${side} pixels, as the images have`, shift);
}

/** What a shift must be below. */
export function shiftLimit(image: ImageShape | null | undefined): number {
  return image ? Math.min(image.rows, image.columns) : 1;
}

export class Batches {
  readonly inputs: Uint8Array;
  readonly labels: Uint8Array;
  /** Rows that see each other. */
  readonly length = 1;
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

  /** Copies an image moved by a random number of rows and columns, all channels alike; what moves in is zero. */
  #putShifted(image: Uint8Array, step: number, b: number): void {
    const { rows, columns, channels, planar } = this.data.image as ImageShape;
    philox(this.key, 0, b, step, streamOf(Purpose.shift, 0), this.#words);
    const [right, down] = [this.#draw(0), this.#draw(1)];
    const pixel = planar ? 1 : channels;
    const stride = columns * pixel; // of a row
    const by = down * stride + right * pixel;
    const [from, to] = [Math.max(0, right) * pixel, stride + Math.min(0, right) * pixel];
    const [first, last] = [Math.max(0, down) * stride, (rows + Math.min(0, down)) * stride];
    const target = this.inputs;
    const start = b * image.length;
    target.fill(0, start, start + image.length);
    // Loops, not `set` of subarrays: those would take longer than all of a training step's bookkeeping.
    for (let plane = 0; plane < image.length; plane += rows * stride) {
      for (let row = plane + first; row < plane + last; row += stride) {
        for (let at = row + from; at < row + to; at++) target[start + at] = image[at - by];
      }
    }
  }

  /** An integer in −shift…shift. */
  #draw(word: number): number {
    return (((this.#words[word] >>> 16) * (2 * this.shift + 1)) >>> 16) - this.shift;
  }
}
