/**
 * What a seed pool and a seed log store, as adaptive bits of the range coder: small signed integers
 * and trits. Nothing about their distribution is stored; both sides learn it while they go.
 * Both coders carry what they have learnt: use a new one for each direction of coding and each stream.
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
 * Codes signed integers, |value| ≤ 2^20: zero or not, sign, magnitude in unary with a model for each
 * position, then an Exp-Golomb escape whose exponent and leading bits are learnt as well.
 * @example
 * const coder = new SignedCoder();
 * for (const value of coefficients) coder.encode(encoder, value);
 */
export class SignedCoder {
  private readonly nonzero = new BitModel();
  private readonly negative = new BitModel();
  private readonly larger = models(UNARY + 1); // [m]: the magnitude is above m
  private readonly longer = models(EXPONENTS); // [e]: the exponent is above e
  private readonly mantissa = models(EXPONENTS << LEARNT_BITS); // [e, leading bits after a 1]

  /**
   * Writes one integer.
   * @throws {ConfigError} when it is not an integer in −2^20…2^20
   */
  encode(encoder: RangeEncoder, value: number): void {
    const magnitude = Math.abs(value);
    if (!Number.isInteger(value) || magnitude > MAX_MAGNITUDE) {
      throw expected('value', `an integer in ${-MAX_MAGNITUDE}…${MAX_MAGNITUDE}`, value);
    }
    encoder.encodeBit(this.nonzero, magnitude === 0 ? 0 : 1);
    if (magnitude === 0) return;
    encoder.encodeBit(this.negative, value < 0 ? 1 : 0);
    for (let m = 1; m <= UNARY; m++) {
      encoder.encodeBit(this.larger[m], magnitude > m ? 1 : 0);
      if (magnitude === m) return;
    }
    this.encodeEscape(encoder, magnitude - UNARY);
  }

  /**
   * Reads one integer.
   * @returns an integer in −2^20…2^20; never −0
   * @throws {ArtifactError} when the bytes have ended or hold a larger magnitude
   */
  decode(decoder: RangeDecoder): number {
    if (decoder.decodeBit(this.nonzero) === 0) return 0;
    const negative = decoder.decodeBit(this.negative) === 1;
    let magnitude = 1;
    while (magnitude <= UNARY && decoder.decodeBit(this.larger[magnitude]) === 1) magnitude++;
    if (magnitude > UNARY) magnitude = UNARY + this.decodeEscape(decoder);
    if (magnitude > MAX_MAGNITUDE) {
      throw decoder.fault(`expected a magnitude up to ${MAX_MAGNITUDE}, got ${magnitude}`);
    }
    return negative ? -magnitude : magnitude;
  }

  // 1 ≤ rest ≤ 2^20 − 14, so exponent ≤ 19
  private encodeEscape(encoder: RangeEncoder, rest: number): void {
    const exponent = 31 - Math.clz32(rest);
    for (let e = 0; e < EXPONENTS - 1; e++) {
      encoder.encodeBit(this.longer[e], exponent > e ? 1 : 0);
      if (exponent === e) break;
    }
    const plain = Math.max(0, exponent - LEARNT_BITS);
    let leading = 1;
    for (let at = exponent - 1; at >= plain; at--) {
      const bit = (rest >>> at) & 1;
      encoder.encodeBit(this.mantissa[(exponent << LEARNT_BITS) | leading], bit);
      leading = (leading << 1) | bit;
    }
    encoder.encodeDirect(rest & (2 ** plain - 1), plain);
  }

  private decodeEscape(decoder: RangeDecoder): number {
    let exponent = 0;
    while (exponent < EXPONENTS - 1 && decoder.decodeBit(this.longer[exponent]) === 1) exponent++;
    const plain = Math.max(0, exponent - LEARNT_BITS);
    let leading = 1;
    for (let at = exponent - 1; at >= plain; at--) {
      leading = (leading << 1) | decoder.decodeBit(this.mantissa[(exponent << LEARNT_BITS) | leading]);
    }
    return (leading << plain) | decoder.decodeDirect(plain);
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

function models(count: number): BitModel[] {
  return Array.from({ length: count }, () => new BitModel());
}
