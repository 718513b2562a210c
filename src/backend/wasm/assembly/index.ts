// What every set of kernels exports.

import { setAt, tensorAt } from './control';
import { applyStep, spread } from './update';

export { ALIGNMENT_COLUMNS } from '../../../ops/linear/assembly/alignment';
export { CODE_ROWS } from '../../../ops/linear/assembly/tables';
export { unionOfBytes } from './arithmetic';
export { attach } from './control';
export { run, serve } from './jobs';
export { next } from './program';
export { POOL_ROWS } from './update';

export function step(index: i32): void {
  applyStep(setAt(index));
}

export function unpack(tensor: i32, values: usize): void {
  spread(tensorAt(tensor), values);
}
