/** Bits a byte of a placed transformer over a text, in windows that follow one another or overlap. */

import { LOSS_BITS } from '../ops/loss/op.js';
import { Breath, type Watch } from '../watch.js';
import type { PlacedText } from './backend.js';
import { type ScoredBatch, windowBatches, type Windows } from './batch.js';

export interface TextScore {
  /** Bytes that were predicted: all but the first, unless there was a limit. */
  readonly examples: number;
  /** Bytes that could have been. */
  readonly total: number;
  /** Share of the examples whose most likely value was right. */
  readonly accuracy: number;
  readonly bitsPerByte: number;
}

/** How a text is evaluated. */
export interface TextEvaluation extends Omit<Windows, 'context'> {
  /** Progress in bytes, and a signal to give up by. */
  readonly watch?: Watch | undefined;
}

/**
 * Evaluates a text. Each byte but the first is predicted once, by what its window has before it.
 * @throws {ConfigError} when a number is out of range, or the text has nothing to predict
 * @example const { bitsPerByte } = await evaluateText(placed, text.validation, { windows: 32, stride: 64 });
 */
export async function evaluateText(
  placed: Pick<PlacedText, 'model' | 'loadWindows' | 'evaluate'>,
  text: Uint8Array,
  { watch, ...cut }: TextEvaluation,
): Promise<TextScore> {
  const { rows, batches } = windowBatches(text, { ...cut, context: placed.model.context });
  const breath = new Breath(watch);
  let done = 0;
  let units = 0;
  let right = 0;
  for (const batch of batches) {
    const { labels, length, from } = batch;
    placed.loadWindows(windowsOf(batch), length);
    const { losses, predictions } = await placed.evaluate();
    for (let row = 0; row < labels.length; row++) {
      if (row % length < from) continue;
      units += losses[row]; // exact: below 2^53
      if (predictions[row] === labels[row]) right += 1;
      done += 1;
    }
    if (breath.due()) await breath.take(done, rows);
  }
  return {
    ...{ examples: rows, total: text.length - 1, accuracy: right / rows },
    bitsPerByte: units / rows / 2 ** LOSS_BITS,
  };
}

/** [B, length + 1] bytes: each window, and the byte after it. */
function windowsOf({ inputs, labels, length }: ScoredBatch): Uint8Array {
  const count = labels.length / length;
  const bytes = new Uint8Array(count * (length + 1));
  for (let window = 0; window < count; window++) {
    const end = (window + 1) * length;
    bytes.set(inputs.subarray(window * length, end), window * (length + 1));
    bytes[(window + 1) * (length + 1) - 1] = labels[end - 1];
  }
  return bytes;
}
