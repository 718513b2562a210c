/** The sums of a language model's head as logits in 2^−LOGIT_BITS bits. */

import { roundShift } from '../../ternary/rounding.js';
import { LOGIT_MAX, rescale } from '../../ternary/units.js';
import type { OpSpec } from '../op.js';
import { requireScalable, scaleAt } from '../rescale/op.js';

export const logits: OpSpec<'logits'> = {
  bound({ attributes: { shift } }, [limit]) {
    requireScalable(Math.ceil(limit / 2 ** shift));
    return [LOGIT_MAX];
  },

  run({ attributes: { scale, shift } }, at): void {
    const sums = at.input(0);
    const out = at.output(0);
    const [mantissa, exponent] = scaleAt(at.tensor(0), scale);
    for (let i = 0; i < sums.length; i++) {
      const logit = rescale(roundShift(sums[i], shift), mantissa, exponent);
      out[i] = Math.max(-LOGIT_MAX, Math.min(LOGIT_MAX, logit));
    }
  },
};
