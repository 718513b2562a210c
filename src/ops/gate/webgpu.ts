/**
 * The gate of the feed-forward, a workgroup a row, whose largest product says the row's unit; op.ts defines it. Of
 * sums that are rescaled for it alone, it reads the sums: two dispatches fewer, and nothing is stored between.
 */

import { BYTES } from '../../backend/webgpu/kernels/bytes.js';
import { groupMain, itemGroups, ITEMS, kernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import { packedWords } from '../../backend/webgpu/plan.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import type { Op } from '../../ternary/graph.js';
import { I8_MAX } from '../../ternary/units.js';
import { SCALING } from '../rescale/webgpu-scaling.js';
import { GATED_SHIFT, SILU } from './op.js';

/** Workgroups: `itemGroups(rows, 1)`. */
function gateKernel(absorbed: boolean) {
  const value = (name: string) =>
    absorbed
      ? `clipI8(rescale(${name}s[(row % params.${name}Rows) * params.units + unit], ${name}Scale))`
      : `bytesOf(bitcast<u32>(${name}s[(row % params.${name}Rows) * params.words + unit / 4u]))[unit & 3u]`;
  return kernel({
    name: 'gate',
    params: ['rows', 'units', 'words', 'gateRows', 'upRows', 'gateScale', 'upScale'],
    buffers: {
      scales: read('array<u32>'),
      gates: read('array<i32>'),
      ups: read('array<i32>'),
      silu: read('array<i32>'),
      h: write('array<u32>'),
      coarser: write('array<u32>'),
    },
    code: [
      SCALING,
      BYTES,
      `
var<workgroup> largest: atomic<u32>;
fn gatedAt(row: u32, unit: u32, gateScale: Scale, upScale: Scale) -> i32 {
  let gate = ${value('gate')};
  let up = ${value('up')};
  return silu[gate + ${I8_MAX}] * up;
}`,
      groupMain(
        ITEMS,
        `
  let row = item;
  if (row >= params.rows) { return; }
  let gateScale = scaleAt(params.gateScale);
  let upScale = scaleAt(params.upScale);
  var most = 0u;
  for (var unit = thread; unit < params.units; unit += ${ITEMS}u) { most = max(most, u32(abs(gatedAt(row, unit, gateScale, upScale)))); }
  atomicMax(&largest, most);
  workgroupBarrier();
  let all = i32(atomicLoad(&largest));
  var shift = ${GATED_SHIFT}u;
  while (roundShift(all, shift) > ${I8_MAX}) { shift += 1u; }
  if (thread == 0u) { coarser[row] = shift - ${GATED_SHIFT}u; }
  for (var word = thread; word < params.words; word += ${ITEMS}u) {
    var values = vec4<i32>();
    for (var place = 0u; place < 4u; place++) {
      let unit = 4u * word + place;
      if (unit < params.units) { values[place] = roundShift(gatedAt(row, unit, gateScale, upScale), shift); }
    }
    h[row * params.words + word] = wordOf(values);
  }`,
      ),
    ],
  });
}

export const gate: Recipe<'gate'> = {
  absorbs: (_, before) => before.op === 'rescale' && before.attributes.to === 'i8',

  record({ outputs: [slot] }, at): void {
    const { width: units } = at.graph.slots[slot];
    const absorbed = at.absorbed as readonly Op<'rescale'>[];
    const [gateScale, upScale] = absorbed.map(
      ({ attributes: { scale }, tensors: [scales] }) => at.placed(scales).at + 4 * scale,
    );
    const [gates, ups] = [at.input(0), at.input(1)];
    at.recorder.run(
      `gate ${absorbed.length > 0}`,
      () => gateKernel(absorbed.length > 0),
      {
        ...{ scales: at.weights, gates: gates.buffer, ups: ups.buffer },
        silu: at.table('silu', () => Int32Array.from(SILU)),
        ...{ h: at.output(0).buffer, coarser: at.output(1).buffer },
      },
      {
        ...{ rows: at.rows, units, words: packedWords(units), gateRows: gates.rows, upRows: ups.rows },
        ...{ gateScale: gateScale ?? 0, upScale: upScale ?? 0 },
      },
      itemGroups(at.rows, 1),
    );
  },
};
