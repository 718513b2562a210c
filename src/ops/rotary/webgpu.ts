/** Queries and keys, turned by their positions; op.ts defines it. */

import { BYTES } from '../../backend/webgpu/kernels/bytes.js';
import { itemKernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import { packedWords } from '../../backend/webgpu/plan.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import { FINER_BITS } from '../../ternary/units.js';
import { SCALING, scaleWord } from '../rescale/webgpu-scaling.js';
import { ROTARY_BITS, rotaryTables } from './op.js';

/** Row r has position start + r mod length. Items: words of `out`, two pairs each. */
function rotaryKernel() {
  const turned = (value: string) => `clipI8(roundShift(${value}, ${ROTARY_BITS + FINER_BITS}u))`;
  return itemKernel({
    name: 'rotary',
    params: ['units', 'words', 'scale', 'pairs', 'start', 'length', 'sines'],
    buffers: {
      scales: read('array<u32>'),
      z: read('array<i32>'),
      rotary: read('array<i32>'),
      out: write('array<u32>'),
    },
    code: [SCALING, BYTES],
    body: `
  let scale = scaleAt(params.scale);
  let row = item / params.words;
  let angles = (params.start + row % params.length) * params.pairs;
  var values = vec4<i32>();
  for (var place = 0u; place < 4u; place += 2u) {
    let unit = 4u * (item % params.words) + place;
    if (unit < params.units) {
      let at = angles + (unit / 2u) % params.pairs; // a row has whole heads
      let c = rotary[at];
      let s = rotary[params.sines + at];
      let a = finer(z[row * params.units + unit], scale);
      let b = finer(z[row * params.units + unit + 1u], scale);
      values[place] = ${turned('a * c - b * s')};
      values[place + 1u] = ${turned('a * s + b * c')};
    }
  }
  out[item] = wordOf(values);`,
  });
}

export const rotary: Recipe<'rotary'> = {
  record({ attributes: { scale, headSize, context }, outputs: [slot] }, at): void {
    const { width: units } = at.graph.slots[slot];
    const words = packedWords(units);
    const pairs = headSize / 2;
    const table = at.table(`rotary ${headSize} ${context}`, () => {
      const { cosines, sines } = rotaryTables(headSize, context);
      return Int32Array.of(...cosines, ...sines);
    });
    at.recorder.runItems(
      'rotary',
      rotaryKernel,
      { scales: at.weights, z: at.input(0).buffer, rotary: table, out: at.output(0).buffer },
      {
        ...{ units, words, scale: scaleWord(at, scale), pairs },
        ...{ start: at.start, length: at.length, sines: context * pairs },
      },
      at.rows * words,
    );
  },
};
