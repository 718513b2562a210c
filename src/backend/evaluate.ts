/** Accuracy and loss of a placed network over any number of examples, in batches. */

import { NATS_PER_UNIT } from '../ops/loss/op.js';
import { Breath, type Watch } from '../watch.js';
import type { PlacedNetwork } from './backend.js';

/** The examples to evaluate. */
export interface LabelledExamples {
  /** [count, width] u7. */
  readonly inputs: Uint8Array;
  /** [count]. */
  readonly labels: Uint8Array;
  readonly count: number;
  readonly width: number;
}

export interface Score {
  readonly examples: number;
  /** 0…1. */
  readonly accuracy: number;
  /** Mean cross-entropy in nats. */
  readonly loss: number;
}

/**
 * Evaluates all examples.
 * @param watch - progress in examples, and a signal to give up by
 * @example const { accuracy } = await evaluateExamples(placed, data.test);
 */
export async function evaluateExamples(
  placed: PlacedNetwork,
  examples: LabelledExamples,
  watch?: Watch,
): Promise<Score> {
  const { inputs, labels, count, width } = examples;
  const breath = new Breath(watch);
  let right = 0;
  let units = 0;
  for (let first = 0; first < count; first += placed.batchMax) {
    if (breath.due()) await breath.take(first, count);
    const end = Math.min(count, first + placed.batchMax);
    placed.loadBatch(inputs.subarray(first * width, end * width), labels.subarray(first, end));
    const { losses, predictions } = await placed.evaluate();
    for (let i = 0; i < losses.length; i++) {
      units += losses[i]; // exact: below 2^53
      if (predictions[i] === labels[first + i]) right += 1;
    }
  }
  return { examples: count, accuracy: right / count, loss: (units / count) * NATS_PER_UNIT };
}
