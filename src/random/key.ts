/** From a human seed to the 64-bit key of Philox. */

import seedrandom from 'seedrandom';
import type { Key } from './philox.js';

/**
 * The key of a seed text: the first two words of seedrandom's ARC4 stream.
 * @example keyOf('hello')
 */
export function keyOf(seed: string): Key {
  const random = seedrandom(seed);
  return [random.int32() >>> 0, random.int32() >>> 0];
}
