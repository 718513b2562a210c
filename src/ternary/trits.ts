/**
 * Trits and their packing, five a byte (3^5 = 243 ≤ 256): byte = Σ (tritₖ + 1)·3ᵏ, first
 * trit least significant, the last byte filled up with zeros. This is the form that
 * `weightsHash` is taken over; it is 1.6 bits a trit, 0.015 above the limit log₂ 3.
 */

/** Trits in one byte. */
export const TRITS_PER_BYTE = 5;

/**
 * Packs trits five a byte.
 * @param trits - values −1, 0, +1
 * @returns ⌈length / 5⌉ bytes
 * @throws {RangeError} when a value is not a trit
 * @example packTrits(Int8Array.of(1, 0, -1)) // Uint8Array.of(2 + 3 * 1 + 9 * 0 + 27 * 1 + 81 * 1)
 */
export function packTrits(trits: Int8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(trits.length / TRITS_PER_BYTE));
  for (let byte = 0; byte < packed.length; byte++) {
    let value = 0;
    for (let place = TRITS_PER_BYTE - 1; place >= 0; place--) {
      const trit = trits[byte * TRITS_PER_BYTE + place] ?? 0;
      if (trit < -1 || trit > 1) {
        throw new RangeError(`trit ${byte * TRITS_PER_BYTE + place} expected -1, 0 or 1, got ${trit}`);
      }
      value = value * 3 + trit + 1;
    }
    packed[byte] = value;
  }
  return packed;
}

/**
 * Unpacks trits packed by {@link packTrits}.
 * @param packed - ⌈length / 5⌉ bytes, each 0…242, the fill of the last byte zero
 * @param length - the number of trits
 * @throws {RangeError} when the bytes are too few or many, above 242, or the fill is not zero
 */
export function unpackTrits(packed: Uint8Array, length: number): Int8Array {
  if (packed.length !== Math.ceil(length / TRITS_PER_BYTE)) {
    throw new RangeError(
      `${length} trits expected ${Math.ceil(length / TRITS_PER_BYTE)} bytes, got ${packed.length}`,
    );
  }
  const trits = new Int8Array(length);
  for (let byte = 0; byte < packed.length; byte++) {
    let value = packed[byte];
    if (value > 242) throw new RangeError(`packed byte ${byte} expected 0…242, got ${value}`);
    for (let place = 0; place < TRITS_PER_BYTE; place++) {
      const trit = (value % 3) - 1;
      value = Math.floor(value / 3);
      const index = byte * TRITS_PER_BYTE + place;
      if (index < length) trits[index] = trit;
      else if (trit !== 0)
        throw new RangeError(`packed byte ${byte} expected zero fill after trit ${length}`);
    }
  }
  return trits;
}
