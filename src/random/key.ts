/** From a human seed to the 64-bit key of Philox. */

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { expected } from '../errors.js';
import type { Key } from './philox.js';

/** Lone surrogates have no UTF-8, and U+FFFD is what is left of bytes that were no UTF-8: both could be any text. */
const NO_TEXT = /[\ud800-\udfff\ufffd]/u;

/** Whether a text can be a seed: whether it is well-formed Unicode. */
export function isSeed(text: string): boolean {
  return !NO_TEXT.test(text);
}

/**
 * The SHA-256 of a seed text's UTF-8, in 64 hex digits: what every random decision of a seed begins with, so that
 * two texts, however alike, share none.
 * @throws {ConfigError} when the text is not well-formed Unicode
 */
export function digestOf(seed: string): string {
  if (!isSeed(seed)) throw expected('seed', 'text of Unicode characters', seed);
  return bytesToHex(sha256(utf8ToBytes(seed)));
}

/**
 * The key of a seed text: the first 64 bits of its digest, the high word first, as a header writes it.
 * @throws {ConfigError} when the text is not well-formed Unicode
 * @example keyOf('hello') // [0x5fb0a30e, 0x2cf24dba], as `echo -n hello | sha256sum` begins, the high word first
 */
export function keyOf(seed: string): Key {
  const digest = digestOf(seed);
  return [Number.parseInt(digest.slice(8, 16), 16), Number.parseInt(digest.slice(0, 8), 16)];
}
