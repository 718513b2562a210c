/** The registry: every operation that a program may have. */

import type { OpName } from '../ternary/graph.js';
import { attention } from './attention/op.js';
import { embedding } from './embedding/op.js';
import { gate } from './gate/op.js';
import { linear } from './linear/op.js';
import { logits } from './logits/op.js';
import { loss } from './loss/op.js';
import { normalize } from './normalize/op.js';
import type { OpSpec } from './op.js';
import { rescaleOp } from './rescale/op.js';
import { residual } from './residual/op.js';
import { rmsNormOp } from './rms-norm/op.js';
import { rotary } from './rotary/op.js';

export const OPS: { readonly [N in OpName]: OpSpec<N> } = {
  linear,
  normalize,
  'rms-norm': rmsNormOp,
  embedding,
  rescale: rescaleOp,
  residual,
  rotary,
  attention,
  gate,
  logits,
  loss,
};
