/** The words of `Attention` in wasm.ts. */

import type { Encoder } from '../instruction.js';
import { SOFTMAX, softmaxScale } from './op.js';

export const attention: Encoder<'attention'> = ({ attributes, inputs: [, keys] }, at) => {
  const { heads, keyHeads, headSize, context } = attributes;
  const { factor, range, shift } = softmaxScale(headSize, context);
  const stride = at.stride(keys);
  const cache = () => at.state(context * stride + 16); // a load of eight may reach past the last head
  return [
    ...[heads, keyHeads, headSize, stride, factor, range, shift],
    at.table('softmax', () => SOFTMAX),
    ...[cache(), cache()],
    at.work('weights', 4 * context),
    at.work('mix', 4 * (headSize + 8)), // values are taken by eight
  ];
};
