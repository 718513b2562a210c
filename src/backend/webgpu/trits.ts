/**
 * Trits in device memory: two bits each, 0, 1 and 3 for 0, +1 and −1, 16 to a word. Trit i of a
 * word lies at bit 8·(i mod 4) + 2·⌊i/4⌋, so that a shift by 0, 2, 4 or 6 and a mask give four
 * trits in the four bytes of a word.
 */

import type { LayerPlan } from './plan.js';

/** Bit of trit `index` in its word. */
export function tritBit(index: number): number {
  return 8 * (index & 3) + 2 * ((index >> 2) & 3);
}

/** Where weights lie. */
type PackedLayer = Pick<LayerPlan, 'units' | 'inputs' | 'depth' | 'weightsAt' | 'wide'>;

/**
 * Writes a layer's weights as they lie on the device.
 * @param values - [M, N]
 * @param words - of all weights
 */
export function packLayer(layer: PackedLayer, values: Int8Array, words: Uint32Array): void {
  const { units, inputs, depth, weightsAt, wide } = layer;
  if (wide) {
    const bytes = new Int8Array(words.buffer, words.byteOffset);
    for (let row = 0; row < units; row++) {
      bytes.set(values.subarray(row * inputs, (row + 1) * inputs), 4 * weightsAt + 16 * depth * row);
    }
    return;
  }
  for (let row = 0; row < units; row++) {
    for (let column = 0; column < inputs; column++) {
      const code = values[row * inputs + column] & 3;
      words[weightsAt + row * depth + (column >> 4)] |= code << tritBit(column);
    }
  }
}

/** The reverse of {@link packLayer}. */
export function unpackLayer(layer: LayerPlan, words: Uint32Array, values: Int8Array): void {
  const { units, inputs, depth, weightsAt, wide } = layer;
  if (wide) {
    const bytes = new Int8Array(words.buffer, words.byteOffset);
    for (let row = 0; row < units; row++) {
      const from = 4 * weightsAt + 16 * depth * row;
      values.set(bytes.subarray(from, from + inputs), row * inputs);
    }
    return;
  }
  for (let row = 0; row < units; row++) {
    for (let column = 0; column < inputs; column++) {
      const code = (words[weightsAt + row * depth + (column >> 4)] >>> tritBit(column)) & 3;
      values[row * inputs + column] = code === 3 ? -1 : code;
    }
  }
}
