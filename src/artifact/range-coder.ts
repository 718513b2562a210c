/**
 * An adaptive binary range coder: bits in, bytes out, within a fraction of a percent of their entropy.
 * Carries propagate into bytes already written, as in LZMA; the interval is split with all 32 bits of
 * the range, as in lpaq. The end costs one byte at most: the decoder reads zeros past it.
 * What a bit means is not decided here but in integer-coder.ts.
 *
 * The writing is canonical: after `expectEnd` a decoder has read exactly the bytes that an encoder
 * writes for the decoded bits. Whether they are the bits that were meant is for the section's checksum.
 */

import { ArtifactError, expected, printable } from '../errors.js';

// Probabilities keep 28 bits, so that the slowest rate still moves them, and stay small integers in
// every engine; the coder uses the upper 16.
const PROBABILITY_ONE = 2 ** 28;

// The rate falls as 1/(n + 2), which is the estimator of Krichevsky and Trofimov, (ones + ½)/(n + 1),
// down to 1/1024: it then costs 0.0004 bits a bit where nothing drifts, and follows what does.
const SLOWEST = 1022;
/** [1023] By the bits that a model has seen. */
export const RATES = Float64Array.from({ length: SLOWEST + 1 }, (_, n) => 1 / (n + 2));

// Below this the range takes in another byte, so that 2^24 ≤ range < 2^32 before every bit.
const RANGE_FLOOR = 2 ** 24;
const FULL_RANGE = 2 ** 32 - 1;

// An encoder leaves out four bytes at most, so that bytes cut short are found while decoding.
const LEFT_OUT = 4;

/** How probable a 1 is, learnt from the bits coded so far; one for each context that behaves alike. */
export class BitModel {
  // 0 < one < 2^28: a step is truncated and a rate is below 1, so that neither end is reached.
  private one = PROBABILITY_ONE / 2;
  private seen = 0;

  /** Width of the lower part of a range, which stands for 1: 2^8 ≤ result ≤ range − 2^8. */
  split(range: number): number {
    const probability = (this.one >>> 12) | 1; // 1…65535 of 65536
    const high = Math.imul(range >>> 16, probability) >>> 0;
    return (high + (Math.imul(range & 0xffff, probability) >>> 16)) >>> 0;
  }

  /** Moves the probability towards the bit. One rounded f64 product: the same on every machine. */
  learn(bit: number): void {
    const target = bit === 0 ? 0 : PROBABILITY_ONE;
    this.one += ((target - this.one) * RATES[this.seen]) | 0;
    if (this.seen < SLOWEST) this.seen++;
  }
}

/** The value in [low, low + range) with the fewest bytes, modulo 2^32; 2^24 ≤ range. */
function shortestWithin(low: number, range: number): number {
  if (low === 0 || low + range > 2 ** 32) return 0;
  return ((low + RANGE_FLOOR - 1) & ~(RANGE_FLOOR - 1)) >>> 0;
}

/**
 * Writes bits.
 * @example
 * const encoder = new RangeEncoder();
 * encoder.encodeBit(model, 1);
 * const bytes = encoder.finish();
 */
export class RangeEncoder {
  private bytes = new Uint8Array(256);
  private length = 0;
  private low = 0;
  private range = FULL_RANGE;

  /** Bytes so far; `finish` may add one. */
  get bytesWritten(): number {
    return this.length;
  }

  /**
   * Writes one bit and teaches it to the model.
   * @param model - the same model, in the same state, must decode it
   * @param bit - 0 or 1
   */
  encodeBit(model: BitModel, bit: number): void {
    const lower = model.split(this.range);
    if (bit === 0) {
      this.raise(lower);
      this.range -= lower;
    } else {
      this.range = lower;
    }
    model.learn(bit);
    this.normalize();
  }

  /**
   * Writes an integer whose values are equally probable.
   * @param value - integer in 0…2^bits − 1
   * @param bits - 0…32
   * @throws {ConfigError} when value or bits are outside that
   */
  encodeDirect(value: number, bits: number): void {
    checkBits(bits);
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
      throw expected('value', `an integer in 0…${2 ** bits - 1}`, value);
    }
    for (let left = bits; left > 0;) {
      const taken = Math.min(left, 8); // what truncation loses stays below 2^-16 of the range
      left -= taken;
      const part = Math.floor(value / 2 ** left) & (2 ** taken - 1);
      this.range >>>= taken;
      this.raise(part * this.range);
      this.normalize();
    }
  }

  /**
   * Ends the writing; the encoder must not be used again.
   * @returns the bytes, at most one more than the bits needed
   */
  finish(): Uint8Array {
    const value = shortestWithin(this.low, this.range);
    if (value < this.low) this.carry();
    if (value !== 0) this.push(value >>> 24);
    return this.bytes.slice(0, this.length);
  }

  private raise(amount: number): void {
    const sum = this.low + amount; // < 2^33
    if (sum > FULL_RANGE) this.carry();
    this.low = sum >>> 0;
  }

  private normalize(): void {
    while (this.range < RANGE_FLOOR) {
      this.push(this.low >>> 24);
      this.low = (this.low << 8) >>> 0;
      this.range = (this.range << 8) >>> 0;
    }
  }

  // All bytes together are a fraction below 1, so a carry never passes the first one.
  private carry(): void {
    let at = this.length - 1;
    while (this.bytes[at] === 0xff) this.bytes[at--] = 0;
    this.bytes[at]++;
  }

  private push(byte: number): void {
    if (this.length === this.bytes.length) {
      const grown = new Uint8Array(this.length * 2);
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes[this.length++] = byte;
  }
}

/**
 * Reads what a RangeEncoder wrote, by the same calls in the same order. Any bytes whatsoever decode to
 * some bits or raise an ArtifactError; the work is bounded by the number of bits asked for.
 * @example
 * const decoder = new RangeDecoder(bytes, 'coefficients');
 * const bit = decoder.decodeBit(model);
 * decoder.expectEnd();
 */
export class RangeDecoder {
  private position = 0;
  private range = FULL_RANGE;
  private code = 0; // the encoded fraction less the encoder's low: 0 ≤ code < range

  /**
   * @param bytes - what `finish` returned, no more and no less
   * @param section - named in errors
   * @param base - where the bytes begin in their file; offsets in errors count from the file's start
   * @throws {ArtifactError} when no encoder can have written the first bytes
   */
  constructor(
    private readonly bytes: Uint8Array,
    private readonly section = 'range-coded section',
    private readonly base = 0,
  ) {
    for (let i = 0; i < 4; i++) this.code = ((this.code << 8) | this.next()) >>> 0;
    if (this.code >= this.range) throw this.fault('expected four bytes below ffffffff, got ffffffff', 0);
  }

  /**
   * Reads one bit and teaches it to the model.
   * @throws {ArtifactError} when the bytes have ended
   */
  decodeBit(model: BitModel): 0 | 1 {
    const lower = model.split(this.range);
    const bit = this.code < lower ? 1 : 0;
    if (bit === 0) {
      this.code -= lower;
      this.range -= lower;
    } else {
      this.range = lower;
    }
    model.learn(bit);
    if (this.range < RANGE_FLOOR) this.normalize();
    return bit;
  }

  /**
   * Reads an integer of equally probable values.
   * @param bits - 0…32
   * @returns an integer in 0…2^bits − 1
   * @throws {ArtifactError} when the bytes have ended, or no encoder can have written them
   */
  decodeDirect(bits: number): number {
    checkBits(bits);
    let value = 0;
    for (let left = bits; left > 0;) {
      const taken = Math.min(left, 8);
      left -= taken;
      this.range >>>= taken;
      const part = Math.floor(this.code / this.range);
      if (part >= 2 ** taken) {
        throw this.fault(`expected a value of ${taken} bits, got ${part}`);
      }
      this.code -= part * this.range;
      value += part * 2 ** left;
      this.normalize();
    }
    return value;
  }

  /**
   * Lets something else do the reading that follows, and goes on from where that left off.
   * @param read - given the bytes and a state, [bytes taken, range, code], it leaves the state that reading
   *   bit by bit would have left, or one of more bytes taken than there may be
   * @throws {ArtifactError} when the bytes have ended
   */
  delegate(read: (bytes: Uint8Array, state: Uint32Array) => void): void {
    const state = Uint32Array.of(this.position, this.range, this.code);
    read(this.bytes, state);
    [this.position, this.range, this.code] = state;
    if (this.position > this.bytes.length + LEFT_OUT) throw this.ended();
  }

  /** Bytes that the bits so far have taken, but for those that wait in the decoder. */
  get bytesRead(): number {
    return Math.min(this.bytes.length, this.position - 4);
  }

  /**
   * Checks, after the last bit, that the bytes are exactly what an encoder writes for the bits decoded.
   * @throws {ArtifactError} when there are bytes too many or too few, or they end differently
   */
  expectEnd(): void {
    const written = this.position - 4;
    let window = 0; // the four bytes that an encoder had not yet written before `finish`
    for (let i = 0; i < 4; i++) window = ((window << 8) | (this.bytes[written + i] ?? 0)) >>> 0;
    const last = shortestWithin((window - this.code) >>> 0, this.range);
    const length = last === 0 ? written : written + 1;
    if (this.bytes.length !== length) {
      throw this.fault(`expected ${length} bytes, got ${this.bytes.length}`, length);
    }
    if (window !== last) {
      throw this.fault(`expected a last byte of ${last >>> 24}, got ${window >>> 24}`, written);
    }
  }

  /**
   * An error at a byte of the section, for what is decoded from these bits as well.
   * @param what - what was expected and what was got
   * @param offset - in bytes; without it, how far the bytes have been read
   */
  fault(what: string, offset = this.position): ArtifactError {
    const at = Math.min(offset, this.bytes.length);
    return new ArtifactError(`${printable(this.section)} at byte ${this.base + at}: ${what}`);
  }

  private normalize(): void {
    while (this.range < RANGE_FLOOR) {
      this.code = ((this.code << 8) | this.next()) >>> 0;
      this.range = (this.range << 8) >>> 0;
    }
  }

  private next(): number {
    const at = this.position++;
    if (at < this.bytes.length) return this.bytes[at];
    if (at < this.bytes.length + LEFT_OUT) return 0;
    throw this.ended();
  }

  private ended(): ArtifactError {
    return this.fault('expected more bytes, got the end');
  }
}

function checkBits(bits: number): void {
  if (!Number.isInteger(bits) || bits < 0 || bits > 32) throw expected('bits', 'an integer in 0…32', bits);
}
