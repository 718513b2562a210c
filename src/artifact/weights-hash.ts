/** The identity of a network's weights, whatever kind of artifact holds them. */

import { packTrits } from '../ternary/trits.js';

/**
 * SHA-256 over the trits in model order, packed five a byte.
 * @returns 64 hex digits
 * @example await weightsHash(Int8Array.of(1, 0, -1))
 */
export async function weightsHash(trits: Int8Array): Promise<string> {
  const packed = packTrits(trits) as Uint8Array<ArrayBuffer>;
  const digest = await globalThis.crypto.subtle.digest('SHA-256', packed);
  return toHex(new Uint8Array(digest));
}

/** Bytes as hex digits. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Hex digits as bytes; the caller has checked them. */
export function fromHex(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  );
}
