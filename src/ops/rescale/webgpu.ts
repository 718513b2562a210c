/**
 * Sums in another unit; op.ts defines it. Of an embedding that nothing else reads, the table's values are rescaled as
 * they are looked up: one dispatch, and its sums are never stored.
 */

import { BYTES } from '../../backend/webgpu/kernels/bytes.js';
import { itemKernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import { packedWords } from '../../backend/webgpu/plan.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import type { Attributes, Op } from '../../ternary/graph.js';
import { FINER_BITS } from '../../ternary/units.js';
import { recordEmbedding } from '../embedding/webgpu.js';
import { SCALING, scaleWord } from './webgpu-scaling.js';

const VALUES: Readonly<Record<Attributes['rescale']['to'], string>> = {
  i32: 'rescale(SUM, scale)',
  i8: 'clipI8(rescale(SUM, scale))',
  'finer i8': `clipI8(roundShift(finer(SUM, scale), ${FINER_BITS}u))`,
};

/** Items: of `out`, values or words of four. */
function rescaleKernel(to: Attributes['rescale']['to']) {
  const value = (at: string) => VALUES[to].replace('SUM', `z[${at}]`);
  const packed = `
  let first = 4u * (item % params.words);
  var values = vec4<i32>();
  for (var place = 0u; place < 4u; place++) {
    if (first + place < params.units) {
      values[place] = ${value('(item / params.words) * params.units + first + place')};
    }
  }
  out[item] = wordOf(values);`;
  return itemKernel({
    name: 'rescale',
    params: ['scale', 'units', 'words'],
    buffers: {
      scales: read('array<u32>'),
      z: read('array<i32>'),
      out: write(to === 'i32' ? 'array<i32>' : 'array<u32>'),
    },
    code: [SCALING, BYTES],
    body: `
  let scale = scaleAt(params.scale);
  ${to === 'i32' ? `out[item] = ${value('item')};` : packed}`,
  });
}

export const rescale: Recipe<'rescale'> = {
  absorbs: ({ attributes: { to } }, before) => before.op === 'embedding' && to === 'i32',

  record({ attributes: { scale, to }, outputs: [slot] }, at): void {
    const [embedding] = at.absorbed as readonly Op<'embedding'>[];
    if (embedding) return recordEmbedding(embedding, at, scaleWord(at, scale));
    const { width } = at.graph.slots[slot];
    const words = to === 'i32' ? width : packedWords(width);
    at.recorder.runItems(
      `rescale ${to}`,
      () => rescaleKernel(to),
      { scales: at.weights, z: at.input(0).buffer, out: at.output(0).buffer },
      { scale: scaleWord(at, scale), units: width, words },
      at.rows * words,
    );
  },
};
