/** The sums of a language model's head as logits, in TensorFlow.js. */

import { LOGIT_MAX } from '../../ternary/units.js';
import { rounded } from '../rescale/ste.js';
import type { SteOp } from '../ste.js';

export const logitsSte: SteOp<'logits'> = ({ attributes: { scale, shift } }, at) => [
  rounded(at.input(0), at.rescaling(scale), { before: shift, after: 0, limit: LOGIT_MAX }),
];
