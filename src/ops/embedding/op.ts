/** The row of a matrix that a byte names, 2^EMBEDDING_SHIFT times finer. */

import { VALUE_RANGES } from '../../ternary/precision.js';
import { EMBEDDING_SHIFT } from '../../ternary/units.js';
import { type OpSpec, tensorOf } from '../op.js';

export const embedding: OpSpec<'embedding'> = {
  bound(op, _, graph) {
    const [, largest] = VALUE_RANGES[tensorOf(graph, op).values];
    const sum = largest * 2 ** EMBEDDING_SHIFT;
    return [op.probe ? 2 * sum : sum];
  },

  run(_, at): void {
    const bytes = at.input<Uint8Array>(0);
    const sums = at.output(0); // [rows, W]
    const width = sums.length / at.rows;
    for (let row = 0; row < at.rows; row++) {
      for (let unit = 0; unit < width; unit++) {
        sums[row * width + unit] = at.tensor(0)[bytes[row] * width + unit] * 2 ** EMBEDDING_SHIFT;
      }
    }
  },

  align(_, at, errors, alignments): void {
    const bytes = at.input<Uint8Array>(0);
    const width = errors.length / at.rows;
    for (let row = 0; row < at.rows; row++) {
      for (let unit = 0; unit < width; unit++)
        alignments[bytes[row] * width + unit] += errors[row * width + unit];
    }
  },
};
