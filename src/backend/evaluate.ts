/** Scores of a placed model over any number of examples, or over a text, in batches. */

import { LOSS_BITS, NATS_PER_UNIT } from '../ops/loss/op.js';
import { Breath, type Watch } from '../watch.js';
import type { Placed } from './backend.js';
import {
  exampleBatches,
  type LabelledExamples,
  type Score,
  type ScoredBatches,
  windowBatches,
  type Windows,
} from './batch.js';

/** The score of batches, whose rows all count but those before `from` of their window, and the mean loss in 2⁻¹⁶ bits. */
async function scoreOf(
  placed: Pick<Placed, 'load' | 'evaluate'>,
  { rows, batches }: ScoredBatches,
  watch: Watch | undefined,
): Promise<{ readonly score: Score; readonly units: number }> {
  const breath = new Breath(watch);
  let done = 0;
  let units = 0;
  let right = 0;
  for (const batch of batches) {
    const { labels, length, from } = batch;
    if (breath.due()) await breath.take(done, rows);
    placed.load(batch);
    const { losses, predictions } = await placed.evaluate();
    for (let row = 0; row < labels.length; row++) {
      if (row % length < from) continue;
      units += losses[row]; // exact: below 2^53
      if (predictions[row] === labels[row]) right += 1;
      done += 1;
    }
  }
  units /= rows;
  return { score: { examples: rows, accuracy: right / rows, loss: units * NATS_PER_UNIT }, units };
}

/**
 * Evaluates all examples.
 * @param watch - progress in examples, and a signal to give up by
 * @example const { accuracy } = await evaluateExamples(placed, data.test);
 */
export async function evaluateExamples(
  placed: Placed,
  examples: LabelledExamples,
  watch?: Watch,
): Promise<Score> {
  return (await scoreOf(placed, exampleBatches(examples, placed.batchMax), watch)).score;
}

export interface TextScore extends Score {
  /** Bytes that could have been predicted: all but the first. */
  readonly total: number;
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
  placed: Pick<Placed, 'graph' | 'load' | 'evaluate'>,
  text: Uint8Array,
  { watch, ...cut }: TextEvaluation,
): Promise<TextScore> {
  const { context } = placed.graph;
  const { score, units } = await scoreOf(placed, windowBatches(text, { ...cut, context }), watch);
  return { ...score, total: text.length - 1, bitsPerByte: units / 2 ** LOSS_BITS };
}
