// What a language model is held against: n-grams with Witten–Bell's smoothing (1991), counted on the training part,
// and the compressors that everybody has.

import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';

/**
 * Bits a byte of a text by Witten–Bell n-grams of another:
 * P(c|h) = (count(h, c) + kinds(h) · P(c|shorter h)) / (count(h) + kinds(h)), at last one 256th.
 * @param order - bytes of an n-gram: 1 is the unigram
 */
export function wittenBell(train, text, order) {
  // By length of the history: its value in base 256 → [occurrences, kinds of what follows], and with what follows → count.
  const tables = Array.from({ length: order }, () => ({ histories: new Map(), pairs: new Map() }));
  for (let at = 0; at < train.length; at++) {
    let history = 0;
    for (let length = 0; length < order && length <= at; length++) {
      if (length > 0) history += train[at - length] * 256 ** (length - 1);
      const { histories, pairs } = tables[length];
      const pair = history * 256 + train[at];
      const known = histories.get(history);
      const count = pairs.get(pair) ?? 0;
      pairs.set(pair, count + 1);
      if (!known) histories.set(history, [1, 1]);
      else {
        known[0] += 1;
        if (count === 0) known[1] += 1;
      }
    }
  }
  let bits = 0;
  for (let at = 1; at < text.length; at++) {
    let probability = 1 / 256;
    let history = 0;
    for (let length = 0; length < order && length <= at; length++) {
      if (length > 0) history += text[at - length] * 256 ** (length - 1);
      const { histories, pairs } = tables[length];
      const known = histories.get(history);
      if (!known) break;
      const [occurrences, kinds] = known;
      const count = pairs.get(history * 256 + text[at]) ?? 0;
      probability = (count + kinds * probability) / (occurrences + kinds);
    }
    bits -= Math.log2(probability);
  }
  return bits / (text.length - 1);
}

/** Bits a byte of a text by a compressor: how much longer the training part gets by it, and alone. */
export function compressed(compress, train, text) {
  const both = new Uint8Array(train.length + text.length);
  both.set(train);
  both.set(text, train.length);
  const bits = (bytes) => (8 * bytes) / text.length;
  return { after: bits(compress(both).length - compress(train).length), alone: bits(compress(text).length) };
}

export const gzip = (bytes) => gzipSync(bytes, { level: 9 });
export const xz = (bytes) => execFileSync('xz', ['-9e', '--stdout'], { input: bytes, maxBuffer: 2 ** 30 });
