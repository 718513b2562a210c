/** `normalize` of disturbed copies, right from the sums of the rows: a probe is added as they are read. */

import { type Features, read, write } from '../../backend/webgpu/kernels/kernel.js';
import { rowGroups } from '../../backend/webgpu/kernels/reduce.js';
import type { Training } from '../../backend/webgpu/recipe.js';
import type { Attributes } from '../../ternary/graph.js';
import { normalizingKernel } from './webgpu.js';

/** Row (2·probe + side)·examples + example of `x` from the sums of an example, its scale and its signs. */
function disturbKernel(units: number, attributes: Attributes['normalize'], features: Features) {
  return normalizingKernel(units, attributes, features, {
    name: 'disturb',
    params: ['rows', 'examples', 'firstProbe', 'sigma'],
    buffers: {
      z: read('array<i32>'),
      scales: read('array<u32>'),
      signs: read('array<u32>'),
      x: write('array<u32>'),
    },
    preactivation: `
var<private> example: u32;
var<private> probe: u32;
var<private> amplitude: i32; // of the side: + for even copies, − for odd ones
fn preactivation(row: u32, unit: u32) -> i32 {
  let at = example * ${units}u + unit;
  let sign = signs[at];
  let isActive = i32((sign >> 16u) & 1u);
  let negative = i32((sign >> probe) & 1u);
  return z[at] + amplitude * isActive * (1 - 2 * negative);
}`,
    main: `
  let copy = row / params.examples;
  example = row % params.examples;
  probe = (params.firstProbe + copy / 2u) & 15u;
  // meanAbs ≤ 127·N, so the product stays below 2^31.
  amplitude = max(1, roundShift(i32(scales[example] * params.sigma), 8u)) * (1 - 2 * i32(copy & 1u));
  normalizeRow(row, member);`,
  });
}

export const normalize: Training<'normalize'> = {
  disturb: {
    claims: ({ attributes: { centred } }, { size }) => size === (centred ? 'centred magnitude' : 'magnitude'),

    record({ attributes, inputs: [slot] }, at, { undisturbed, signs, firstProbe, sigma }): void {
      const { width } = at.graph.slots[slot];
      at.recorder.run(
        `disturb ${width} ${JSON.stringify(attributes)}`,
        () => disturbKernel(width, attributes, at.device.features),
        {
          z: undisturbed.input(0).buffer,
          scales: undisturbed.kept('scales', 1),
          signs,
          x: at.output(0).buffer,
        },
        { rows: at.rows, examples: at.examples, firstProbe, sigma },
        rowGroups(width, at.rows),
      );
    },
  },
};
