/** The words of `RmsNorm` in wasm.ts. */

import type { Encoder } from '../instruction.js';
import { rmsGain, rmsValueBits } from './op.js';

export const rmsNorm: Encoder<'rms-norm'> = ({ inputs: [x] }, { graph }) => {
  const { width } = graph.slots[x];
  return [rmsGain(width), rmsValueBits(width)];
};
