/**
 * Trits in device memory: two bits each, 0, 1 and 3 for 0, +1 and −1, 16 to a word. Trit i of a
 * word lies at bit 8·(i mod 4) + 2·⌊i/4⌋, so that a shift by 0, 2, 4 or 6 and a mask give four
 * trits in the four bytes of a word. All other values are bytes.
 */

import type { PlacedTensor } from './plan.js';

/** Bit of trit `index` in its word. */
function tritBit(index: number): number {
  return 8 * (index & 3) + 2 * ((index >> 2) & 3);
}

/** The values of a tensor, [rows, columns], as they lie on the device. */
export function packTensor(
  { rows, columns, depth, wide }: PlacedTensor,
  values: Int8Array,
): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(rows * depth * (wide ? 4 : 1));
  const bytes = new Int8Array(words.buffer);
  for (let row = 0; row < rows; row++) {
    if (wide) bytes.set(values.subarray(row * columns, (row + 1) * columns), 16 * depth * row);
    else {
      for (let column = 0; column < columns; column++) {
        words[row * depth + (column >> 4)] |= (values[row * columns + column] & 3) << tritBit(column);
      }
    }
  }
  return words;
}

/**
 * The reverse of {@link packTensor}.
 * @param words - of all tensors
 * @param values - receives those of the tensor
 */
export function unpackTensor(tensor: PlacedTensor, words: Uint32Array, values: Int8Array): void {
  const { rows, columns, depth, at, wide } = tensor;
  const bytes = new Int8Array(words.buffer, words.byteOffset);
  for (let row = 0; row < rows; row++) {
    const from = 4 * at + 16 * depth * row;
    if (wide) values.set(bytes.subarray(from, from + columns), row * columns);
    else {
      for (let column = 0; column < columns; column++) {
        const code = (words[at + row * depth + (column >> 4)] >>> tritBit(column)) & 3;
        values[row * columns + column] = code === 3 ? -1 : code;
      }
    }
  }
}
