/** The words of `Linear` in wasm.ts. */

import type { Encoder } from '../instruction.js';

export const linear: Encoder<'linear'> = ({ attributes, tensors: [weights] }, at) => {
  const bytes = at.graph.tensors[weights].values !== 'trit';
  return [(at.signed(weights) ? 2 : 0) + (bytes ? 1 : 0), attributes.shift];
};
