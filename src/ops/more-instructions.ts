/** The instructions of the operations that no chain of layers has. */

import { attention } from './attention/instruction.js';
import { gate } from './gate/instruction.js';
import type { Encoders } from './instruction.js';
import { logits } from './logits/instruction.js';
import { rescale } from './rescale/instruction.js';
import { residual } from './residual/instruction.js';
import { rmsNorm } from './rms-norm/instruction.js';
import { rotary } from './rotary/instruction.js';

export const MORE: Encoders = {
  'rms-norm': [3, rmsNorm],
  embedding: [4, () => []],
  rescale: [5, rescale],
  residual: [6, residual],
  rotary: [7, rotary],
  attention: [8, attention],
  gate: [9, gate],
  logits: [10, logits],
};
