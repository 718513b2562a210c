/** Whether a score is worth having: what a model that knows nothing would reach. */

import { count, note, percent } from './output.js';

/** Bits of a byte of which nothing is known. */
const BYTE_BITS = 8;

/**
 * Says where a classifier does no better than one that thinks all classes of the data equally likely.
 * @param labels - of the examples that were scored
 */
export function isWorseThanUniform(
  { accuracy, loss }: { readonly accuracy: number; readonly loss: number },
  labels: Uint8Array,
): boolean {
  const classes = new Set(labels).size;
  const uniform = Math.log(classes);
  const worse = [
    ...(accuracy <= 1 / classes
      ? [`${percent(accuracy)} right, where guessing has ${percent(1 / classes)}`]
      : []),
    ...(loss > uniform
      ? [`a loss of ${loss.toFixed(3)} nats, where guessing has ${uniform.toFixed(3)}`]
      : []),
  ];
  if (worse.length === 0 || classes < 2) return false;
  note(`worse than guessing among ${count(classes)} classes: ${worse.join('; ')}`);
  return true;
}

/** Says where a model of texts does no better than one that thinks all bytes equally likely. */
export function isTextWorseThanUniform(bitsPerByte: number): boolean {
  if (bitsPerByte <= BYTE_BITS) return false;
  note(`worse than guessing: ${bitsPerByte.toFixed(3)} bits a byte, where guessing has ${BYTE_BITS}`);
  return true;
}
