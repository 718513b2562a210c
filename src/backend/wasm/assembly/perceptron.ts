// The kernels that rebuild and run a perceptron: what a page with an artifact loads.

import { layerAt, setAt } from './control';
import { applyStep, spread } from './update';

export { unionOfBytes } from './arithmetic';
export { attach } from './control';
export { run, serve } from './jobs';
export { CODE_ROWS } from './tables';
export { POOL_ROWS } from './update';

export function step(index: i32): void {
  applyStep(setAt(index));
}

export function unpack(layer: i32, weights: usize): void {
  spread(layerAt(layer), weights);
}
