/**
 * Trits of a large matrix by a coder that is fast to read: sixteen interleaved rANS states (Duda, "Asymmetric
 * numeral systems", 2013; interleaved as in Giesen, 2014) over static statistics, one set for each of up to
 * sixteen classes of columns. This is the definition; kernels/ reads the same with SIMD, many times faster.
 *
 *   classes:u8 (zero:int positive:int)[classes] class:u4[columns], where there are several
 *   state:u32[16] word:u16*
 *
 * Trit i is of state i mod 16 and column i mod columns. The last sixteen are filled up with zeros.
 */

import { expected } from '../errors.js';
import { type ByteReader, ByteWriter } from './bytes.js';
import { type Frequencies, type InterleavedDecode, openInterleavedKernel } from './kernels/interleaved.js';

/** States, and trits of a group. */
export const LANES = 16;
/** Classes of columns, at most. */
export const CLASSES_MAX = 16;
/** Frequencies are shares of 2^14. */
export const FREQUENCY_BITS = 14;
const WHOLE = 2 ** FREQUENCY_BITS;
/** States are in 2^16…2^32 − 1 between two trits; a word of 16 bits brings one back up. */
const STATE_FLOOR = 2 ** 16;

/**
 * Codes a matrix of trits.
 * @param trits - [rows × columns]
 * @throws {ConfigError} when one is no trit
 */
export function encodeInterleaved(trits: Int8Array, columns: number): Uint8Array {
  const one = encodeWith(trits, columns, classify(trits, columns, 1));
  const several = encodeWith(trits, columns, classify(trits, columns, CLASSES_MAX));
  return several.length < one.length ? several : one;
}

/**
 * Reads what {@link encodeInterleaved} wrote, to the end of the reader.
 * @param trits - [rows × columns], receives them
 * @throws {ArtifactError} when the bytes do not hold them, or hold more
 */
export function decodeInterleaved(reader: ByteReader, trits: Int8Array, columns: number): void {
  const frequencies = readFrequencies(reader, columns);
  const states = Uint32Array.from({ length: LANES }, () => readState(reader));
  const start = reader.offset;
  if (reader.left % 2 !== 0) throw reader.fault(`expected words of two bytes, got ${reader.left} bytes`);
  const words = reader.take(reader.left, 'words');
  const decode = openInterleavedKernel() ?? decodeByDefinition;
  const taken = decode(words, states, frequencies, trits);
  if (taken === null) throw reader.fault('expected more words, got the end');
  if (2 * taken !== words.length) {
    throw reader.fault(`expected ${2 * taken} bytes of words, got ${words.length}`, start + 2 * taken);
  }
  if (states.some((state) => state !== STATE_FLOOR)) {
    throw reader.fault('expected the states that writing starts from, got others');
  }
}

/**
 * Reads trits.
 * @param words - 16 bits each, little-endian
 * @param states - [16], left as they are after the last trit
 * @param trits - receives them; what fills up the last group must be zeros
 * @returns how many words were taken, or null when there were too few
 */
export const decodeByDefinition: InterleavedDecode = (words, states, { zero, positive, classes }, trits) => {
  const count = Math.ceil(trits.length / LANES) * LANES;
  let at = 0;
  let column = 0;
  for (let i = 0; i < count; i++) {
    const lane = i % LANES;
    const state = states[lane];
    const low = zero[classes[column]];
    const high = low + positive[classes[column]];
    const slot = state & (WHOLE - 1);
    const trit = slot < low ? 0 : slot < high ? 1 : -1;
    const start = trit === 0 ? 0 : trit === 1 ? low : high;
    const frequency = (trit === 0 ? low : trit === 1 ? high : WHOLE) - start;
    let next = (frequency * (state >>> FREQUENCY_BITS) + slot - start) >>> 0;
    if (next < STATE_FLOOR) {
      if (at + 2 > words.length) return null;
      next = ((next << 16) | words[at] | (words[at + 1] << 8)) >>> 0;
      at += 2;
    }
    states[lane] = next;
    if (i < trits.length) trits[i] = trit;
    else if (trit !== 0) states[lane] = 0; // no writer fills up with anything else: not a state to end in
    if (++column === classes.length) column = 0;
  }
  return at / 2;
};

function encodeWith(trits: Int8Array, columns: number, frequencies: Frequencies): Uint8Array {
  const { zero, positive, classes } = frequencies;
  const states = new Uint32Array(LANES).fill(STATE_FLOOR);
  const count = Math.ceil(trits.length / LANES) * LANES;
  const words = new Uint16Array(count); // at most one a trit
  let left = count;
  for (let i = count - 1, column = (count - 1) % columns; i >= 0; i--, column = (column || columns) - 1) {
    const trit = i < trits.length ? trits[i] : 0;
    const low = zero[classes[column]];
    const high = low + positive[classes[column]];
    const start = trit === 0 ? 0 : trit === 1 ? low : high;
    const frequency = (trit === 0 ? low : trit === 1 ? high : WHOLE) - start;
    const lane = i % LANES;
    let state = states[lane];
    if (state >= frequency * 2 ** (32 - FREQUENCY_BITS)) {
      words[--left] = state & 0xffff;
      state >>>= 16;
    }
    states[lane] = Math.floor(state / frequency) * WHOLE + (state % frequency) + start;
  }
  const writer = new ByteWriter().u8(zero.length);
  for (let one = 0; one < zero.length; one++) writer.integer(zero[one]).integer(positive[one]);
  if (zero.length > 1) {
    for (let column = 0; column < columns; column += 2) {
      writer.u8(classes[column] | ((classes[column + 1] ?? 0) << 4));
    }
  }
  for (const state of states) writer.u32(state);
  const bytes = new Uint8Array(2 * (count - left));
  for (let i = 0; i < count - left; i++) {
    bytes[2 * i] = words[left + i];
    bytes[2 * i + 1] = words[left + i] >>> 8;
  }
  return writer.raw(bytes).finish();
}

function readFrequencies(reader: ByteReader, columns: number): Frequencies {
  const count = reader.u8('classes');
  if (count < 1 || count > CLASSES_MAX) {
    throw reader.fault(`expected 1…${CLASSES_MAX} classes, got ${count}`, reader.offset - 1);
  }
  const zero = new Uint16Array(count);
  const positive = new Uint16Array(count);
  for (let one = 0; one < count; one++) {
    zero[one] = positiveInteger(reader, 'frequency of 0', WHOLE - 2);
    positive[one] = positiveInteger(reader, 'frequency of 1', WHOLE - 1 - zero[one]);
  }
  const classes = new Uint8Array(columns);
  if (count === 1) return { zero, positive, classes };
  const nibbles = reader.take(Math.ceil(columns / 2), 'classes of columns');
  for (let column = 0; column < 2 * nibbles.length; column++) {
    const one = (nibbles[column >> 1] >>> (4 * (column & 1))) & 15;
    if (column < columns && one >= count)
      throw reader.fault(`expected classes up to ${count - 1}, got ${one}`);
    if (column < columns) classes[column] = one;
    else if (one !== 0) throw reader.fault(`expected 0 after the last column, got ${one}`);
  }
  return { zero, positive, classes };
}

function positiveInteger(reader: ByteReader, what: string, maximum: number): number {
  const start = reader.offset;
  const value = reader.integer(what, maximum);
  if (value < 1) throw reader.fault(`expected a ${what} of at least 1, got 0`, start);
  return value;
}

function readState(reader: ByteReader): number {
  const state = reader.u32('state');
  if (state < STATE_FLOOR) throw reader.fault(`expected a state of at least ${STATE_FLOOR}, got ${state}`);
  return state;
}

/** Rounds of k-means. */
const ROUNDS = 8;

/**
 * Classes of columns with like statistics: k-means under Hellinger's distance, Σ (√p − √q)², which is
 * the number of bits lost up to a factor where p and q are close, and takes no logarithm, so that all
 * machines write the same bytes.
 */
function classify(trits: Int8Array, columns: number, count: number): Frequencies {
  const counts = new Float64Array(3 * columns); // of 0, 1, −1 in each column
  for (let i = 0, column = 0; i < trits.length; i++, column = column + 1 === columns ? 0 : column + 1) {
    const trit = trits[i];
    if (trit < -1 || trit > 1) throw expected('trit', '-1, 0 or 1', trit);
    counts[3 * column + ((trit + 3) % 3)] += 1;
  }
  const rows = trits.length / columns;
  const roots = Float64Array.from(counts, (value) => Math.sqrt(value / rows));
  const byZeros = Array.from({ length: columns }, (_, column) => column).sort(
    (a, b) => counts[3 * a] - counts[3 * b] || a - b,
  );
  const classes = new Uint8Array(columns);
  byZeros.forEach((column, place) => (classes[column] = Math.floor((place * count) / columns)));
  let sums = sumUp(counts, classes, count);
  for (let round = 0; round < ROUNDS && count > 1; round++) {
    const centres = sums.map(([zero, positive, negative]) => {
      const all = Math.max(1, zero + positive + negative);
      return [Math.sqrt(zero / all), Math.sqrt(positive / all), Math.sqrt(negative / all)] as const;
    });
    for (let column = 0; column < columns; column++) {
      let nearest = Number.POSITIVE_INFINITY;
      centres.forEach(([zero, positive, negative], one) => {
        const [a, b, c] = [
          roots[3 * column] - zero,
          roots[3 * column + 1] - positive,
          roots[3 * column + 2] - negative,
        ];
        const distance = a * a + b * b + c * c;
        if (distance < nearest) {
          nearest = distance;
          classes[column] = one;
        }
      });
    }
    sums = sumUp(counts, classes, count);
  }
  const shares = sums.map(frequenciesOf);
  return {
    zero: Uint16Array.from(shares, ([zero]) => zero),
    positive: Uint16Array.from(shares, ([, positive]) => positive),
    classes,
  };
}

type Counts = readonly [zero: number, positive: number, negative: number];

function sumUp(counts: Float64Array, classes: Uint8Array, count: number): Counts[] {
  const sums = Array.from({ length: count }, (): [number, number, number] => [0, 0, 0]);
  classes.forEach((one, column) => {
    for (let trit = 0; trit < 3; trit++) sums[one][trit] += counts[3 * column + trit];
  });
  return sums;
}

/** Frequencies out of 2^14, each at least 1; the largest takes what rounding leaves. */
function frequenciesOf(counts: Counts): Counts {
  const all = counts[0] + counts[1] + counts[2];
  const rounded = counts.map((value) => Math.max(1, all === 0 ? 1 : Math.round((value * WHOLE) / all)));
  rounded[rounded.indexOf(Math.max(...rounded))] += WHOLE - (rounded[0] + rounded[1] + rounded[2]);
  return rounded as unknown as Counts;
}
