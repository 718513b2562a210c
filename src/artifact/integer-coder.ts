/**
 * What artifacts store, as adaptive bits of the range coder: small signed integers and trits.
 * Nothing about their distribution is stored; both sides learn it while they go. All coders carry what they have learnt: use a new one for each direction of coding and each stream.
 */

import { expected } from '../errors.js';
import { BitModel, type RangeDecoder, type RangeEncoder } from './range-coder.js';

/** The largest magnitude that SignedCoder writes: far above any coefficient, far below i32. */
export const MAX_MAGNITUDE = 2 ** 20;

// Magnitudes 1…14 have a bit each; the Laplace-like coefficients of a pool seldom pass them. What is
// above goes as exponent and mantissa: m − 14 = 2^exponent + mantissa, 0 ≤ exponent < 20.
const UNARY = 14;
const EXPONENTS = 20;
// The slope inside an octave is learnt from its first three bits; the rest is as good as uniform.
const LEARNT_BITS = 3;

/**
 * Codes magnitudes, 1…2^20: in unary with a model for each position, then an Exp-Golomb escape whose
 * exponent and leading bits are learnt as well.
 */
class MagnitudeCoder {
  private readonly larger = models(UNARY + 1); // [m]: the magnitude is above m
  // Made when the first magnitude is above 14, which most coders never see.
  private escape: { longer: BitModel[]; mantissa: BitModel[] } | null = null;

  encode(encoder: RangeEncoder, magnitude: number): void {
    for (let m = 1; m <= UNARY; m++) {
      encoder.encodeBit(this.larger[m], magnitude > m ? 1 : 0);
      if (magnitude === m) return;
    }
    this.encodeEscape(encoder, magnitude - UNARY);
  }

  decode(decoder: RangeDecoder): number {
    let magnitude = 1;
    while (magnitude <= UNARY && decoder.decodeBit(this.larger[magnitude]) === 1) magnitude++;
    if (magnitude > UNARY) magnitude = UNARY + this.decodeEscape(decoder);
    if (magnitude > MAX_MAGNITUDE) {
      throw decoder.fault(`expected a magnitude up to ${MAX_MAGNITUDE}, got ${magnitude}`);
    }
    return magnitude;
  }

  private models(): { longer: BitModel[]; mantissa: BitModel[] } {
    this.escape ??= {
      longer: models(EXPONENTS), // [e]: the exponent is above e
      mantissa: models(EXPONENTS << LEARNT_BITS), // [e, leading bits after a 1]
    };
    return this.escape;
  }

  // 1 ≤ rest ≤ 2^20 − 14, so exponent ≤ 19
  private encodeEscape(encoder: RangeEncoder, rest: number): void {
    const { longer, mantissa } = this.models();
    const exponent = 31 - Math.clz32(rest);
    for (let e = 0; e < EXPONENTS - 1; e++) {
      encoder.encodeBit(longer[e], exponent > e ? 1 : 0);
      if (exponent === e) break;
    }
    const plain = Math.max(0, exponent - LEARNT_BITS);
    let leading = 1;
    for (let at = exponent - 1; at >= plain; at--) {
      const bit = (rest >>> at) & 1;
      encoder.encodeBit(mantissa[(exponent << LEARNT_BITS) | leading], bit);
      leading = (leading << 1) | bit;
    }
    encoder.encodeDirect(rest & (2 ** plain - 1), plain);
  }

  private decodeEscape(decoder: RangeDecoder): number {
    const { longer, mantissa } = this.models();
    let exponent = 0;
    while (exponent < EXPONENTS - 1 && decoder.decodeBit(longer[exponent]) === 1) exponent++;
    const plain = Math.max(0, exponent - LEARNT_BITS);
    let leading = 1;
    for (let at = exponent - 1; at >= plain; at--) {
      leading = (leading << 1) | decoder.decodeBit(mantissa[(exponent << LEARNT_BITS) | leading]);
    }
    return (leading << plain) | decoder.decodeDirect(plain);
  }
}

/**
 * Codes signed integers, |value| ≤ 2^20: zero or not, sign, magnitude.
 * @example
 * const coder = new SignedCoder();
 * for (const value of coefficients) coder.encode(encoder, value);
 */
export class SignedCoder {
  private readonly nonzero = new BitModel();
  private readonly negative = new BitModel();
  private readonly magnitude = new MagnitudeCoder();

  /**
   * Writes one integer.
   * @throws {ConfigError} when it is not an integer in −2^20…2^20
   */
  encode(encoder: RangeEncoder, value: number): void {
    checkInteger(value);
    encoder.encodeBit(this.nonzero, value === 0 ? 0 : 1);
    if (value === 0) return;
    encoder.encodeBit(this.negative, value < 0 ? 1 : 0);
    this.magnitude.encode(encoder, Math.abs(value));
  }

  /**
   * Reads one integer.
   * @returns an integer in −2^20…2^20; never −0
   * @throws {ArtifactError} when the bytes have ended or hold a larger magnitude
   */
  decode(decoder: RangeDecoder): number {
    if (decoder.decodeBit(this.nonzero) === 0) return 0;
    const negative = decoder.decodeBit(this.negative) === 1;
    const magnitude = this.magnitude.decode(decoder);
    return negative ? -magnitude : magnitude;
  }
}

/**
 * Codes signed integers of which something is known: each has a level, how much is known, which tells
 * its statistics apart, and a sign that is expected of it.
 * @example
 * const coder = new PredictedCoder(13);
 * coder.encode(encoder, value, levelOf(Math.abs(y), 6, 12), y < 0);
 */
export class PredictedCoder {
  private readonly nonzero: BitModel[];
  private readonly opposite: BitModel[];
  private readonly magnitude: readonly MagnitudeCoder[]; // [level, opposite]

  /** @param levels - how many there are */
  constructor(levels: number) {
    this.nonzero = models(levels);
    this.opposite = models(levels);
    this.magnitude = Array.from({ length: 2 * levels }, () => new MagnitudeCoder());
  }

  /**
   * Writes one integer.
   * @param level - 0…levels − 1
   * @param negative - whether it is expected to be below zero
   * @throws {ConfigError} when it is not an integer in −2^20…2^20
   */
  encode(encoder: RangeEncoder, value: number, level: number, negative: boolean): void {
    checkInteger(value);
    encoder.encodeBit(this.nonzero[level], value === 0 ? 0 : 1);
    if (value === 0) return;
    const opposite = value < 0 === negative ? 0 : 1;
    encoder.encodeBit(this.opposite[level], opposite);
    this.magnitude[2 * level + opposite].encode(encoder, Math.abs(value));
  }

  /**
   * Reads one integer.
   * @returns an integer in −2^20…2^20; never −0
   * @throws {ArtifactError} when the bytes have ended or hold a larger magnitude
   */
  decode(decoder: RangeDecoder, level: number, negative: boolean): number {
    if (decoder.decodeBit(this.nonzero[level]) === 0) return 0;
    const opposite = decoder.decodeBit(this.opposite[level]);
    const magnitude = this.magnitude[2 * level + opposite].decode(decoder);
    return negative === (opposite === 0) ? -magnitude : magnitude;
  }
}

/**
 * Codes trits: zero or not, in the context of whether the two before were, then the sign.
 * Half-zero trits cost 1.5 bits, and less where zeros come in clusters.
 * @example
 * const coder = new TritCoder();
 * for (const trit of trits) coder.encode(encoder, trit);
 */
export class TritCoder {
  private readonly nonzero = models(4); // [before last was nonzero, last was nonzero]
  private readonly negative = new BitModel();
  private context = 0;

  /**
   * Writes one trit.
   * @throws {ConfigError} when it is not −1, 0 or 1
   */
  encode(encoder: RangeEncoder, trit: number): void {
    if (trit !== 0 && trit !== 1 && trit !== -1) throw expected('trit', '-1, 0 or 1', trit);
    const nonzero = trit === 0 ? 0 : 1;
    encoder.encodeBit(this.nonzero[this.context], nonzero);
    if (nonzero === 1) encoder.encodeBit(this.negative, trit < 0 ? 1 : 0);
    this.context = ((this.context << 1) | nonzero) & 3;
  }

  /**
   * Reads one trit.
   * @throws {ArtifactError} when the bytes have ended
   */
  decode(decoder: RangeDecoder): -1 | 0 | 1 {
    const nonzero = decoder.decodeBit(this.nonzero[this.context]);
    this.context = ((this.context << 1) | nonzero) & 3;
    if (nonzero === 0) return 0;
    return decoder.decodeBit(this.negative) === 1 ? -1 : 1;
  }
}

function checkInteger(value: number): void {
  if (Number.isInteger(value) && Math.abs(value) <= MAX_MAGNITUDE) return;
  throw expected('value', `an integer in ${-MAX_MAGNITUDE}…${MAX_MAGNITUDE}`, value);
}

function models(count: number): BitModel[] {
  return Array.from({ length: count }, () => new BitModel());
}
