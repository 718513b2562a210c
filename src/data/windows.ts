/**
 * The windows of a text that a run trains on, T + 1 bytes each: every epoch is a keyed permutation of all
 * places of the text, and step t takes the t-th slice, so any step's can be found without those before it.
 */

import { ConfigError } from '../errors.js';
import { type Permutation, permutationOf, permute } from '../random/permutation.js';
import { type Key, Purpose, streamOf } from '../random/philox.js';
import { requireArray } from '../typed-arrays.js';

/**
 * Checks that a text has a window.
 * @param what - the text, for the message: `training text`
 * @throws {ConfigError} when it is too short
 */
export function checkTextLength(text: Uint8Array, context: number, what: string): void {
  requireArray('text', 'Uint8Array', text);
  if (text.length > context) return;
  throw new ConfigError(
    `"context" expected less than the ${text.length} bytes of the ${what}, got ${context}: use a longer text`,
  );
}

/** The windows of training, step by step. */
export class WindowBatches {
  /** [B·T], windows one after another. */
  readonly inputs: Uint8Array;
  /** [B·T]: the byte after each. */
  readonly labels: Uint8Array;
  #epoch = -1;
  #order: Permutation | null = null;

  /**
   * @param batch - windows a step, B
   * @param context - T, less than the text has bytes
   */
  constructor(
    readonly key: Key,
    readonly text: Uint8Array,
    readonly batch: number,
    readonly context: number,
  ) {
    this.inputs = new Uint8Array(batch * context);
    this.labels = new Uint8Array(batch * context);
  }

  /** Rows that see each other: T. */
  get length(): number {
    return this.context;
  }

  /** Fills `inputs` and `labels` with those of a step, counted from 0. */
  load(step: number): void {
    const { text, batch, context } = this;
    const places = text.length - context;
    for (let b = 0; b < batch; b++) {
      const place = step * batch + b;
      const epoch = Math.floor(place / places);
      if (epoch !== this.#epoch || !this.#order) {
        this.#epoch = epoch;
        this.#order = permutationOf(this.key, epoch, streamOf(Purpose.dataOrder, 0), places);
      }
      const start = permute(this.#order, place - epoch * places);
      this.inputs.set(text.subarray(start, start + context), b * context);
      this.labels.set(text.subarray(start + 1, start + context + 1), b * context);
    }
  }
}
