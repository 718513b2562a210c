/** The residual stream and the sums that are added to it; op.ts defines it. */

import { itemKernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import { RESIDUAL_MAX } from '../../ternary/units.js';
import { SCALING, scaleWord } from '../rescale/webgpu-scaling.js';

/** A scaled sum that passes this saturates the residual stream, whatever is there. */
const SATURATING = 2 ** 24;

/**
 * Items: of `out`. Inputs begin again after so many values, or rows of `coarser`.
 * @param coarse - whether the sums of a row are as many bits coarser as `coarser` says
 */
function residualKernel(coarse: boolean) {
  const coarser = `
  let bits = coarser[(item / params.units) % params.coarserRows];
  let left = max(bits, scale.exponent) - scale.exponent;
  let finest = rescale(sum, Scale(scale.mantissa, max(scale.exponent, bits) - bits));
  let added = clamp(finest, -${SATURATING}, ${SATURATING}) << left;`;
  return itemKernel({
    name: 'residual',
    params: ['units', 'scale', 'streamItems', 'sumItems', 'coarserRows'],
    buffers: {
      scales: read('array<u32>'),
      x: read('array<i32>'),
      z: read('array<i32>'),
      coarser: read('array<u32>'),
      out: write('array<i32>'),
    },
    code: [SCALING],
    body: `
  let scale = scaleAt(params.scale);
  let sum = z[item % params.sumItems];
  ${coarse ? coarser : 'let added = rescale(sum, scale);'}
  out[item] = clamp(x[item % params.streamItems] + added, -${RESIDUAL_MAX}, ${RESIDUAL_MAX});`,
  });
}

export const residual: Recipe<'residual'> = {
  record({ attributes: { scale }, inputs, outputs: [slot] }, at): void {
    const { width: units } = at.graph.slots[slot];
    const coarse = inputs.length > 2;
    const [x, z] = [at.input(0), at.input(1)];
    const coarser = coarse ? at.input(2) : z;
    at.recorder.runItems(
      `residual ${coarse}`,
      () => residualKernel(coarse),
      {
        ...{ scales: at.weights, x: x.buffer, z: z.buffer },
        ...{ coarser: coarser.buffer, out: at.output(0).buffer },
      },
      {
        ...{ units, scale: scaleWord(at, scale) },
        ...{ streamItems: x.rows * units, sumItems: z.rows * units, coarserRows: coarser.rows },
      },
      at.rows * units,
    );
  },
};
