/** The words of `Rescale` in wasm.ts. */

import { type Encoder, scaleAddress } from '../instruction.js';

const TO = ['i32', 'i8', 'finer i8'] as const;

export const rescale: Encoder<'rescale'> = (op, at) => [scaleAddress(op, at), TO.indexOf(op.attributes.to)];
