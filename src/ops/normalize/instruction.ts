/** The words of `Normalize` in wasm.ts. */

import type { Encoder } from '../instruction.js';

const SCALE_BYTES = 16;

export const normalize: Encoder<'normalize'> = ({ attributes: { centred, gain } }, at) => [
  centred ? 1 : 0,
  gain,
  at.kept(at.rows * SCALE_BYTES),
];
