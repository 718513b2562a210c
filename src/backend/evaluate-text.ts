/** Bits a byte of a placed transformer over a text, in windows that follow one another or overlap. */

import { expected } from '../errors.js';
import { LOSS_BITS } from '../ternary/loss.js';
import type { PlacedText } from './backend.js';

export interface TextScore {
  /** Bytes that were foretold: all but the first. */
  readonly examples: number;
  /** Share of them whose most likely value was right. */
  readonly accuracy: number;
  readonly bitsPerByte: number;
}

/**
 * Evaluates a text. Each byte but the first is foretold once, by what its window has before it.
 * @param windows - that are loaded at once, at most those the transformer was placed with
 * @param stride - bytes from one window to the next, 1…context. With the context itself, windows follow one
 *   another; with less, they overlap, and of each but the first its last `stride` bytes count
 * @throws {ConfigError} when one of them is out of range, or the text has nothing to predict
 * @example const { bitsPerByte } = await evaluateText(placed, text.validation, { windows: 32, stride: 64 });
 */
export async function evaluateText(
  placed: Pick<PlacedText, 'model' | 'loadWindows' | 'evaluate'>,
  text: Uint8Array,
  { windows, stride }: { windows: number; stride: number },
): Promise<TextScore> {
  const { context } = placed.model;
  if (text.length < 2) throw expected('text', 'at least 2 bytes, one of which is predicted', text.length);
  if (!Number.isInteger(windows) || windows < 1) throw expected('windows', 'a positive integer', windows);
  if (!Number.isInteger(stride) || stride < 1 || stride > context) {
    throw expected('stride', `an integer in 1…${context}, the context`, stride);
  }
  const foretold = text.length - 1;
  let units = 0;
  let right = 0;
  const count = async (starts: readonly number[], length: number, from: number) => {
    const bytes = new Uint8Array(starts.length * (length + 1));
    starts.forEach((start, i) => bytes.set(text.subarray(start, start + length + 1), i * (length + 1)));
    placed.loadWindows(bytes, length);
    const { losses, predictions } = await placed.evaluate();
    starts.forEach((start, i) => {
      for (let position = from; position < length; position++) {
        const at = i * length + position;
        units += losses[at]; // exact: below 2^53
        if (predictions[at] === text[start + position + 1]) right += 1;
      }
    });
  };

  const first = Math.min(context, foretold);
  await count([0], first, 0);
  let done = first;
  while (done < foretold) {
    // As many windows as there are with a whole stride of new bytes; then one with what is left.
    const whole = Math.min(windows, Math.floor((foretold - done) / stride));
    const fresh = whole > 0 ? stride : foretold - done;
    const starts = Array.from({ length: Math.max(1, whole) }, (_, i) => done + (i + 1) * fresh - context);
    await count(starts, context, context - fresh);
    done += starts.length * fresh;
  }
  return { examples: foretold, accuracy: right / foretold, bitsPerByte: units / foretold / 2 ** LOSS_BITS };
}
