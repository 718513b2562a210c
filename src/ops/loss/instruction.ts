/** The words of `Loss` in wasm.ts. */

import type { Encoder } from '../instruction.js';
import { EXP2, LOG2 } from './tables.js';

export const loss: Encoder<'loss'> = ({ attributes: { logitScale } }, at) => [
  logitScale,
  at.table('exp2', () => EXP2),
  at.table('log2', () => LOG2),
];
