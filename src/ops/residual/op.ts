/** The residual stream and the sums that are added to it, saturated. */

import { RESIDUAL_MAX, rescale, saturate } from '../../ternary/units.js';
import type { OpSpec } from '../op.js';
import { requireScalable, scaleAt } from '../rescale/op.js';

export const residual: OpSpec<'residual'> = {
  bound(_, [, limit]) {
    requireScalable(limit);
    return [RESIDUAL_MAX];
  },

  run({ attributes: { scale }, inputs }, at): void {
    const stream = at.input(0); // [rows, W]
    const sums = at.input(1); // [rows, W]
    const coarser = inputs.length > 2 ? at.input<Uint8Array>(2) : null; // [rows, 1]
    const out = at.output(0);
    const [mantissa, exponent] = scaleAt(at.tensor(0), scale);
    const width = sums.length / at.rows;
    for (let i = 0; i < sums.length; i++) {
      const bits = coarser ? coarser[Math.floor(i / width)] : 0;
      out[i] = saturate(stream[i] + rescale(sums[i], mantissa, exponent - bits));
    }
  },
};
