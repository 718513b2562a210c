/**
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), the
 * only source of randomness that decides bits of a result. Counter words are
 * (block, index, step, stream); the stream word names the purpose and the tensor, so that no
 * two draws share a counter. 32-bit operations only, no BigInt.
 */

/** A run's 64-bit key as two words. */
export type Key = readonly [low: number, high: number];

/** What a draw is for; the low byte of the stream word. */
export const Purpose = {
  init: 1,
  permutation: 2,
  sign: 3,
  dataOrder: 4,
  probe: 5,
  shift: 6,
  shadow: 7,
  sample: 8,
} as const;
export type Purpose = (typeof Purpose)[keyof typeof Purpose];

/**
 * The stream word of a purpose within a group of weights.
 * @param group - tensor index, or the number of tensors for the whole model; 0…2^24 − 1
 */
export function streamOf(purpose: Purpose, group: number): number {
  return (purpose | (group << 8)) >>> 0;
}

/**
 * One Philox4x32-10 block: four words from a counter and a key.
 * @param out - [4], receives the words
 * @example philox([0, 0], 0, 0, 0, 0, out); [...out] // [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
 */
export function philox(
  key: Key,
  block: number,
  index: number,
  step: number,
  stream: number,
  out: Uint32Array,
): void {
  let [c0, c1, c2, c3] = [block, index, step, stream];
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(c0, 0xd2511f53);
    const low0 = Math.imul(c0, 0xd2511f53);
    const high1 = multiplyHigh(c2, 0xcd9e8d57);
    const low1 = Math.imul(c2, 0xcd9e8d57);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** High 32 bits of the 64-bit product of two words, from 16-bit halves. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const cross = aHigh * bLow + ((aLow * bLow) >>> 16); // < 2^32
  const middle = aLow * bHigh + (cross & 0xffff); // < 2^32
  return (aHigh * bHigh + (cross >>> 16) + (middle >>> 16)) | 0;
}
