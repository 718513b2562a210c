/**
 * A keyed pseudo-random permutation of [0, size), computable and invertible at single points:
 * a Feistel network over Z_a × Z_b with a·b just above `size` and addition in place of xor
 * (Black & Rogaway, "Ciphers with arbitrary finite domains", 2002), so that cycle-walking
 * is needed for less than one point in a hundred at the sizes of a layer.
 */

import { type Key, philox } from './philox.js';

/** Rounds, alternately on the two halves. */
export const FEISTEL_ROUNDS = 6;

/** What a permutation consists of, as kernels take it. */
export interface Permutation {
  readonly size: number;
  /** a: range of the high half. */
  readonly highs: number;
  /** b: range of the low half; point = high·b + low. */
  readonly lows: number;
  /** [6] round keys. */
  readonly keys: Uint32Array;
}

/**
 * The permutation of a (key, step, stream).
 * @param size - 1…2^31
 * @param stream - see `streamOf`
 */
export function permutationOf(key: Key, step: number, stream: number, size: number): Permutation {
  let highs = Math.floor(Math.sqrt(size));
  while (highs * highs < size) highs++;
  const lows = Math.ceil(size / highs);
  const words = new Uint32Array(8);
  philox(key, 0, 0, step, stream, words.subarray(0, 4));
  philox(key, 1, 0, step, stream, words.subarray(4, 8));
  return { size, highs, lows, keys: words.slice(0, FEISTEL_ROUNDS) };
}

/**
 * π(position).
 * @param position - 0…size − 1
 */
export function permute(permutation: Permutation, position: number): number {
  const { size, highs, lows, keys } = permutation;
  let point = position;
  do {
    let high = Math.floor(point / lows);
    let low = point - high * lows;
    for (let round = 0; round < FEISTEL_ROUNDS; round += 2) {
      high += feistel(low, keys[round], highs);
      if (high >= highs) high -= highs;
      low += feistel(high, keys[round + 1], lows);
      if (low >= lows) low -= lows;
    }
    point = high * lows + low;
  } while (point >= size);
  return point;
}

/** π⁻¹(point): the position that `permute` sends to `point`. */
export function unpermute(permutation: Permutation, position: number): number {
  const { size, highs, lows, keys } = permutation;
  let point = position;
  do {
    let high = Math.floor(point / lows);
    let low = point - high * lows;
    for (let round = FEISTEL_ROUNDS - 2; round >= 0; round -= 2) {
      low -= feistel(high, keys[round + 1], lows);
      if (low < 0) low += lows;
      high -= feistel(low, keys[round], highs);
      if (high < 0) high += highs;
    }
    point = high * lows + low;
  } while (point >= size);
  return point;
}

/** Round function: a multiply-xorshift hash of a half, reduced to 0…range − 1 (range ≤ 2^16). */
function feistel(half: number, key: number, range: number): number {
  let hash = Math.imul(half ^ key, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca77);
  return ((hash >>> 16) * range) >>> 16;
}
