/** Which byte follows, by a model's logits and a seed: integer arithmetic and Philox, the same on every machine. */

import { exp2Negative } from '../ops/loss/op.js';
import { type Key, Purpose, philox, streamOf } from '../random/philox.js';

/** Fraction bits of the temperature. */
const TEMPERATURE_BITS = 8;
/** A logit that is so far below the largest has no weight; its product with 2^8 stays exact. */
const RANGE = 2 ** 30;

/** A temperature in units of 2^-8. */
export function warmthOf(temperature: number): number {
  return Math.floor(temperature * 2 ** TEMPERATURE_BITS + 0.5);
}

/** The byte that the index-th random number of a key chooses. */
export function chooseByte(
  logits: Int32Array,
  warmth: number,
  topK: number,
  key: Key,
  index: number,
): number {
  const ranked = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  if (warmth === 0) return ranked[0];
  const top = logits[ranked[0]];
  const weights = ranked.slice(0, topK).map((byte) => {
    const below = Math.min(RANGE, Math.floor(((top - logits[byte]) * 2 ** TEMPERATURE_BITS) / warmth));
    return exp2Negative(below);
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0); // ≤ 256·2^20
  const words = new Uint32Array(4);
  philox(key, index >>> 2, 0, 0, streamOf(Purpose.sample, 0), words);
  // A product of 60 bits in f64: it is rounded, on every machine alike.
  let left = Math.floor((words[index & 3] * total) / 2 ** 32);
  for (const [rank, weight] of weights.entries()) {
    if (left < weight) return ranked[rank];
    left -= weight;
  }
  return ranked[0]; // rounded up to the total
}
