/** The words of `Gate` in wasm.ts. */

import type { Encoder } from '../instruction.js';
import { SILU } from './op.js';

export const gate: Encoder<'gate'> = ({ inputs: [gates] }, at) => [
  at.table('silu', () => SILU),
  at.work('products', 4 * at.stride(gates)),
];
