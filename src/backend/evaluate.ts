/** Accuracy and loss of a placed network over any number of examples, in batches. */

import { NATS_PER_UNIT } from '../ops/loss/op.js';
import { Breath, type Watch } from '../watch.js';
import type { PlacedNetwork } from './backend.js';
import { exampleBatches, type LabelledExamples, type Score } from './batch.js';

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
  const breath = new Breath(watch);
  const { rows, batches } = exampleBatches(examples, placed.batchMax);
  let done = 0;
  let right = 0;
  let units = 0;
  for (const { inputs, labels } of batches) {
    if (breath.due()) await breath.take(done, rows);
    placed.loadBatch(inputs, labels);
    const { losses, predictions } = await placed.evaluate();
    for (let i = 0; i < losses.length; i++) {
      units += losses[i]; // exact: below 2^53
      if (predictions[i] === labels[i]) right += 1;
    }
    done += labels.length;
  }
  return { examples: rows, accuracy: right / rows, loss: (units / rows) * NATS_PER_UNIT };
}
