/**
 * Text from a model, byte by byte. All arithmetic is integer and random numbers are Philox's, so that a seed
 * gives the same text on every backend.
 */

import { expected } from '../errors.js';
import type { Key } from '../random/philox.js';
import { VOCABULARY } from '../ternary/units.js';
import { chooseByte, warmthOf } from './choose-byte.js';
import type { Placed } from './backend.js';

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

/**
 * Makes bytes one by one. When the context is full, its later half is taken again from the start.
 * @throws {ConfigError} when an option is out of range
 * @example for await (const byte of sample(placed, options)) write(byte);
 */
export async function* sample(placed: Placed, options: SampleOptions): AsyncGenerator<number> {
  const { prompt, length, temperature, topK, key } = options;
  if (prompt.length === 0) throw expected('prompt', 'at least one byte', 'none');
  if (!Number.isInteger(length) || length < 0) throw expected('length', 'a number of bytes', length);
  if (!(temperature >= 0 && temperature <= TEMPERATURE_MAX))
    throw expected('temperature', `a number in 0…${TEMPERATURE_MAX}`, temperature);
  if (!Number.isInteger(topK) || topK < 1 || topK > VOCABULARY) throw expected('topK', '1…256', topK);
  const { context } = placed.graph;
  const warmth = warmthOf(temperature);
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
    const byte = chooseByte(logits, warmth, topK, key, index);
    seen.push(byte);
    yield byte;
  }
}
