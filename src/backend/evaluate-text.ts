/** Bits a byte of a placed transformer over a text, in windows that follow one another or overlap. */

import { expected } from '../errors.js';
import { LOSS_BITS } from '../ops/loss/op.js';
import { Breath, type Watch } from '../watch.js';
import type { PlacedText } from './backend.js';

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
export interface TextEvaluation {
  /** That are loaded at once, at most those the transformer was placed with. */
  readonly windows: number;
  /**
   * Bytes from one window to the next, 1…context. With the context itself, windows follow one another; with less, they
   * overlap, and of each but the first its last `stride` bytes count.
   */
  readonly stride: number;
  /** Of a text with more, so many bytes alone are predicted: windows spread evenly over it; at least the context. */
  readonly most?: number | undefined;
  /** Progress in bytes, and a signal to give up by. */
  readonly watch?: Watch | undefined;
}

/** A window, the positions that it has, and the first of them that counts. */
interface Window {
  readonly start: number;
  readonly length: number;
  readonly from: number;
}

/**
 * Evaluates a text. Each byte but the first is predicted once, by what its window has before it.
 * @throws {ConfigError} when a number is out of range, or the text has nothing to predict
 * @example const { bitsPerByte } = await evaluateText(placed, text.validation, { windows: 32, stride: 64 });
 */
export async function evaluateText(
  placed: Pick<PlacedText, 'model' | 'loadWindows' | 'evaluate'>,
  text: Uint8Array,
  { windows, stride, most = Number.POSITIVE_INFINITY, watch }: TextEvaluation,
): Promise<TextScore> {
  const { context } = placed.model;
  if (text.length < 2) throw expected('text', 'at least 2 bytes, one of which is predicted', text.length);
  if (!Number.isInteger(windows) || windows < 1) throw expected('windows', 'a positive integer', windows);
  if (!Number.isInteger(stride) || stride < 1 || stride > context) {
    throw expected('stride', `an integer in 1…${context}, the context`, stride);
  }
  if (!(most >= context)) throw expected('most', `at least ${context}, the context`, most);
  const total = text.length - 1;
  const breath = new Breath(watch);
  let examples = 0;
  let units = 0;
  let right = 0;
  const count = async (batch: readonly Window[]) => {
    const { length, from } = batch[0];
    const bytes = new Uint8Array(batch.length * (length + 1));
    batch.forEach(({ start }, i) => bytes.set(text.subarray(start, start + length + 1), i * (length + 1)));
    placed.loadWindows(bytes, length);
    const { losses, predictions } = await placed.evaluate();
    batch.forEach(({ start }, i) => {
      for (let position = from; position < length; position++) {
        const at = i * length + position;
        units += losses[at]; // exact: below 2^53
        if (predictions[at] === text[start + position + 1]) right += 1;
      }
    });
    examples += batch.length * (length - from);
    if (breath.due()) await breath.take(examples, Math.min(total, most));
  };

  let batch: Window[] = [];
  for (const window of windowsOf(total, context, stride, most)) {
    const [first] = batch;
    const fits = first === undefined || (first.length === window.length && first.from === window.from);
    if (!fits || batch.length === windows) {
      await count(batch);
      batch = [];
    }
    batch.push(window);
  }
  await count(batch);
  return { examples, total, accuracy: right / examples, bitsPerByte: units / examples / 2 ** LOSS_BITS };
}

/** Windows that predict each byte once; of too many, so many that they predict `most` bytes, evenly spread. */
function* windowsOf(total: number, context: number, stride: number, most: number): Generator<Window> {
  const first = Math.min(context, total);
  const all = 1 + Math.ceil((total - first) / stride);
  const chosen = total <= most ? all : 1 + Math.floor((most - first) / stride);
  for (let i = 0; i < chosen; i++) {
    const window = Math.floor((i * all) / chosen);
    if (window === 0) {
      yield { start: 0, length: first, from: 0 };
      continue;
    }
    const before = first + (window - 1) * stride;
    const fresh = Math.min(stride, total - before);
    yield { start: before + fresh - context, length: context, from: context - fresh };
  }
}
