/** The words of `Logits` in wasm.ts. */

import { type Encoder, scaleAddress } from '../instruction.js';

export const logits: Encoder<'logits'> = (op, at) => [scaleAddress(op, at), op.attributes.shift];
