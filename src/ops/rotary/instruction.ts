/** The words of `Rotary` in wasm.ts. */

import { type Encoder, scaleAddress } from '../instruction.js';
import { rotaryTables } from './op.js';

export const rotary: Encoder<'rotary'> = (op, at) => {
  const { headSize, context } = op.attributes;
  const table = (name: 'cosines' | 'sines') =>
    at.table(`${name} ${headSize} ${context}`, () => rotaryTables(headSize, context)[name]);
  const finer = at.work('finer', 4 * at.stride(op.inputs[0]));
  return [scaleAddress(op, at), headSize, table('cosines'), table('sines'), finer];
};
