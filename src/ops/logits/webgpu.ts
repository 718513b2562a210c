/** The sums of a head as logits; op.ts defines it. */

import { itemKernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import { LOGIT_MAX } from '../../ternary/units.js';
import { SCALING, scaleWord } from '../rescale/webgpu-scaling.js';

/** Items: of z. */
function logitsKernel() {
  return itemKernel({
    name: 'logits',
    params: ['shift', 'scale'],
    buffers: { scales: read('array<u32>'), z: read('array<i32>'), out: write('array<i32>') },
    code: [SCALING],
    body: `
  let logit = rescale(roundShift(z[item], params.shift), scaleAt(params.scale));
  out[item] = clamp(logit, -${LOGIT_MAX}, ${LOGIT_MAX});`,
  });
}

export const logits: Recipe<'logits'> = {
  record({ attributes: { scale, shift }, outputs: [slot] }, at): void {
    at.recorder.runItems(
      'logits',
      logitsKernel,
      { scales: at.weights, z: at.input(0).buffer, out: at.output(0).buffer },
      { shift, scale: scaleWord(at, scale) },
      at.rows * at.graph.slots[slot].width,
    );
  },
};
