/** The words of `Residual` in wasm.ts. */

import { type Encoder, scaleAddress } from '../instruction.js';

export const residual: Encoder<'residual'> = (op, at) => [scaleAddress(op, at), op.inputs.length > 2 ? 1 : 0];
