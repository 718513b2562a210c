/** Root-mean-square normalization, a workgroup a row; op.ts defines it. */

import { groupMain, itemGroups, ITEMS, kernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import { ROUNDING } from '../../backend/webgpu/kernels/rounding.js';
import { packedWords } from '../../backend/webgpu/plan.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import { I8_MAX } from '../../ternary/units.js';
import { RMS_RECIPROCAL_BITS, rmsGain, rmsValueBits } from './op.js';

/** The largest value and the sum of squares by atomics; the root from float32's, set right in integers. */
function rmsNormKernel() {
  return kernel({
    name: 'rmsNorm',
    params: ['rows', 'units', 'words', 'gain', 'valueBits'],
    buffers: { x: read('array<i32>'), n: write('array<u32>') },
    code: [
      ROUNDING,
      `
var<workgroup> largest: atomic<u32>;
var<workgroup> squares: atomic<u32>;
// The integer that is nearest to the root of s < 2^30.
fn rootOf(s: u32) -> u32 {
  var root = u32(sqrt(f32(s)));
  while (root * root > s) { root -= 1u; }
  while ((root + 1u) * (root + 1u) <= s) { root += 1u; }
  return root + select(0u, 1u, s - root * root > root);
}
fn shifted(value: i32, shift: i32) -> i32 {
  if (shift > 0) { return roundShift(value, u32(shift)); }
  return value << u32(-shift);
}
`,
      groupMain(
        ITEMS,
        `
  let row = item;
  if (row >= params.rows) { return; }
  let first = row * params.units;
  var most = 0u;
  for (var unit = thread; unit < params.units; unit += ${ITEMS}u) { most = max(most, u32(abs(x[first + unit]))); }
  atomicMax(&largest, most);
  workgroupBarrier();
  let shift = 32 - i32(countLeadingZeros(atomicLoad(&largest))) - i32(params.valueBits);
  var sum = 0u;
  for (var unit = thread; unit < params.units; unit += ${ITEMS}u) {
    let y = shifted(x[first + unit], shift);
    sum += u32(y * y);
  }
  atomicAdd(&squares, sum);
  workgroupBarrier();
  let root = max(1u, rootOf(atomicLoad(&squares)));
  let reciprocal = roundDiv(i32(params.gain << ${RMS_RECIPROCAL_BITS}u), root);
  for (var word = thread; word < params.words; word += ${ITEMS}u) {
    var packed = 0u;
    for (var place = 0u; place < 4u; place++) {
      let unit = 4u * word + place;
      if (unit < params.units) {
        let q = clamp(roundShift(shifted(x[first + unit], shift) * reciprocal, ${RMS_RECIPROCAL_BITS}u), -${I8_MAX}, ${I8_MAX});
        packed |= (u32(q) & 255u) << (8u * place);
      }
    }
    n[row * params.words + word] = packed;
  }`,
      ),
    ],
  });
}

export const rmsNorm: Recipe<'rms-norm'> = {
  record({ outputs: [slot] }, at): void {
    const { width: units } = at.graph.slots[slot];
    at.recorder.run(
      'rmsNorm',
      rmsNormKernel,
      { x: at.input(0).buffer, n: at.output(0).buffer },
      {
        ...{ rows: at.rows, units, words: packedWords(units) },
        ...{ gain: rmsGain(units), valueBits: rmsValueBits(units) },
      },
      itemGroups(at.rows, 1),
    );
  },
};
