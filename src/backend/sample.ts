/**
 * Text from a transformer, byte by byte. All arithmetic is integer and random numbers are Philox's, so that a seed
 * gives the same text on every backend.
 */

import { expected } from '../errors.js';
import { type Key, Purpose, philox, streamOf } from '../random/philox.js';
import { exp2Negative } from '../ops/loss/op.js';
import { VOCABULARY } from '../ternary/transformer.js';
import type { PlacedText } from './backend.js';

export interface SampleOptions {
  /** Bytes that the text goes on from; at least one. */
  readonly prompt: Uint8Array;
  /** Bytes to make. */
  readonly length: number;
  /** 0 for always the most likely byte, 1 for the model's own probabilities; rounded to 1/256. */
  readonly temperature: number;
  /** Only so many of the likeliest bytes, 1…256. */
  readonly topK: number;
  readonly key: Key;
}

/** The largest temperature: all bytes are as good as equally likely. */
export const TEMPERATURE_MAX = 100;
/** Fraction bits of the temperature. */
const TEMPERATURE_BITS = 8;
/** A logit that is so far below the largest has no weight; its product with 2^8 stays exact. */
const RANGE = 2 ** 30;

/**
 * Makes bytes one by one. When the context is full, its later half is taken again from the start.
 * @throws {ConfigError} when an option is out of range
 * @example for await (const byte of sample(placed, options)) write(byte);
 */
export async function* sample(placed: PlacedText, options: SampleOptions): AsyncGenerator<number> {
  const { prompt, length, temperature, topK, key } = options;
  if (prompt.length === 0) throw expected('prompt', 'at least one byte', 'none');
  if (!Number.isInteger(length) || length < 0) throw expected('length', 'a number of bytes', length);
  if (!(temperature >= 0 && temperature <= TEMPERATURE_MAX))
    throw expected('temperature', `a number in 0…${TEMPERATURE_MAX}`, temperature);
  if (!Number.isInteger(topK) || topK < 1 || topK > VOCABULARY) throw expected('topK', '1…256', topK);
  const { context } = placed.model;
  const warmth = Math.floor(temperature * 2 ** TEMPERATURE_BITS + 0.5);
  const seen = Array.from(prompt.subarray(Math.max(0, prompt.length - context)));
  let taken = 0; // of `seen`
  placed.restart();
  for (let index = 0; index < length; index++) {
    if (seen.length > context) {
      seen.splice(0, seen.length - Math.max(1, context >> 1));
      taken = 0;
      placed.restart();
    }
    let logits: Int32Array = new Int32Array(VOCABULARY);
    for (; taken < seen.length; taken++) logits = await placed.next(seen[taken]);
    const byte = choose(logits, warmth, topK, key, index);
    seen.push(byte);
    yield byte;
  }
}

/** The byte that the index-th random number of a key chooses. */
function choose(logits: Int32Array, warmth: number, topK: number, key: Key, index: number): number {
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
