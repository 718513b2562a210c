/** A matrix times the activations of each row: z = W·x, rounded as the precision of the weights says. */

import type { Op } from '../../ternary/graph.js';
import { finishSum, SCALE_BITS, VALUE_RANGES } from '../../ternary/precision.js';
import { type Interpreter, type OpSpec, requireBelow, rowOf, tensorOf } from '../op.js';

export const linear: OpSpec<'linear'> = {
  bound(op, [limit], graph) {
    const { attributes, tensors } = op;
    const { name, columns, values } = tensorOf(graph, op);
    const [, largest] = VALUE_RANGES[values];
    const sum = limit * largest * columns;
    requireBelow(`sums of ${name}`, sum);
    const z = Math.ceil(sum / 2 ** attributes.shift);
    if (tensors.length > 1) requireBelow(`scaled sums of ${name}`, z * (2 ** SCALE_BITS - 1));
    return [op.probe && op.probe !== 'exact' ? 2 * z : z]; // a probe adds at most one mean magnitude
  },

  run({ attributes: { shift }, tensors }: Op<'linear'>, at: Interpreter): void {
    const x = at.input<Int8Array>(0); // [rows, N]
    const z = at.output(0); // [rows, M]
    const weights = at.tensor(0); // [M, N]
    const scales = tensors.length > 1 ? at.tensor(1) : null; // [M]
    const [columns, outputs] = [x.length / at.rows, z.length / at.rows];
    for (let row = 0; row < at.rows; row++) {
      for (let unit = 0; unit < outputs; unit++) {
        let sum = 0; // see bound
        for (let column = 0; column < columns; column++) {
          sum += weights[unit * columns + column] * x[row * columns + column];
        }
        z[row * outputs + unit] = finishSum(sum, shift, scales && scales[unit]);
      }
    }
  },

  align(_, at, errors, alignments): void {
    const inputs = at.input<Int8Array>(0);
    const columns = inputs.length / at.rows;
    const units = errors.length / at.rows;
    for (let row = 0; row < at.rows; row++) {
      const x = rowOf(inputs, row, columns);
      for (let unit = 0; unit < units; unit++) {
        const error = errors[row * units + unit];
        if (error === 0) continue;
        for (let column = 0; column < columns; column++)
          alignments[unit * columns + column] += error * x[column];
      }
    }
  },
};
