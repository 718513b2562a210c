/** Errors of logits in closed form: softmax less target. */

import { kernel, read } from '../../backend/webgpu/kernels/kernel.js';
import { PLANES, quadGroups, quadMain, STORE_QUAD } from '../../backend/webgpu/kernels/probes.js';
import type { Training } from '../../backend/webgpu/recipe.js';
import { classesOf } from '../../ternary/graph.js';
import { PROBABILITY_BITS } from './op.js';
import { EXP2_NEGATIVE, LABEL_OF, lossTables } from './webgpu.js';

/** Workgroups: `quadGroups` of classes. */
function exactErrorsKernel(logitScale: number) {
  return kernel({
    name: 'exactErrors',
    params: ['rows', 'units', 'stride', 'firstExample'],
    buffers: {
      tables: read('array<i32>'),
      labels: read('array<u32>'),
      z: read('array<i32>'),
      softmax: read('array<vec2<i32>>'),
      ...PLANES,
    },
    code: [
      LABEL_OF,
      EXP2_NEGATIVE,
      STORE_QUAD,
      quadMain(`
  var errors = vec4<i32>();
  for (var place = 0u; place < 4u; place++) {
    let row = 4u * quad + place;
    if (row >= params.rows) { break; }
    let top = softmax[row].x;
    let sum = u32(softmax[row].y);
    let weight = exp2Negative(u32(top - z[row * params.units + unit] * ${logitScale}));
    let share = (weight * ${2 ** PROBABILITY_BITS}u + (sum >> 1u)) / sum; // below 2^32
    let goal = select(0, ${2 ** PROBABILITY_BITS}, unit == labelOf(params.firstExample + row));
    errors[place] = i32(share) - goal;
  }
  storeQuad(unit * params.stride + quad, errors);`),
    ],
  });
}

export const loss: Training<'loss'> = {
  exactErrors({ attributes: { logitScale } }, at, { errorsLow, errorsHigh, stride }): void {
    const { rows, labels, first: firstExample } = at;
    const units = classesOf(at.graph);
    const tables = at.table('loss', lossTables);
    at.recorder.run(
      `exactErrors ${logitScale}`,
      () => exactErrorsKernel(logitScale),
      { tables, labels, z: at.input(0).buffer, softmax: at.kept('softmax', 2), errorsLow, errorsHigh },
      { rows, units, stride, firstExample },
      quadGroups(units, rows),
    );
  },
};
