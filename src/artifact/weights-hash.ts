/** The identity of a network's weights, whatever kind of artifact holds them. */

import { BackendError } from '../errors.js';
import type { Tensor } from '../ternary/model.js';
import { packTrits } from '../ternary/trits.js';

/**
 * SHA-256 over the weights in their plain form, as `packWeights` makes it.
 * @param weights - the values of all tensors in model order
 * @param tensors - of the network; left out: all weights are trits
 * @returns 64 hex digits
 * @throws {RangeError} when a trit is none
 * @throws {BackendError} in a page that is no secure context: there browsers have no SHA-256
 * @example (await weightsHash(Int8Array.of(1, 0, -1))).length // 64
 */
export async function weightsHash(weights: Int8Array, tensors?: readonly Tensor[]): Promise<string> {
  return sha256(tensors ? packWeights(weights, tensors) : packTrits(weights));
}

/**
 * SHA-256 of bytes.
 * @returns 64 hex digits
 * @throws {BackendError} in a page that is no secure context: there browsers have no SHA-256
 */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const { subtle } = globalThis.crypto as Partial<Crypto>; // none in a page that came unencrypted
  if (!subtle) {
    throw new BackendError(
      'SHA-256 expected a secure context, got none: serve the page over HTTPS or from localhost',
    );
  }
  const digest = await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return toHex(new Uint8Array(digest));
}

/**
 * The plain form of weights: the trits of all ternary tensors in model order, five a byte, then
 * the values of all other tensors in model order, one a byte in two's complement.
 * @throws {RangeError} when a trit is none
 */
export function packWeights(weights: Int8Array, tensors: readonly Tensor[]): Uint8Array {
  const ternary = tensors.filter(({ values }) => values === 'trit');
  const others = tensors.filter(({ values }) => values !== 'trit');
  const packed = packTrits(valuesOf(weights, ternary));
  const bytes = valuesOf(weights, others);
  const whole = new Uint8Array(packed.length + bytes.length);
  whole.set(packed);
  whole.set(new Uint8Array(bytes.buffer), packed.length);
  return whole;
}

/** The values of some tensors of a model, one tensor after another. */
function valuesOf(weights: Int8Array, tensors: readonly Tensor[]): Int8Array {
  const length = tensors.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const values = new Int8Array(length);
  let at = 0;
  for (const { offset, rows, columns } of tensors) {
    values.set(weights.subarray(offset, offset + rows * columns), at);
    at += rows * columns;
  }
  return values;
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
