/**
 * The `weights` estimator: copies of the examples go through the network with the weights of a
 * direction added (even copies) or subtracted (odd ones). A direction has few weights, so a
 * layer's sums are those of the weights as they are, and then each weight of the direction adds
 * its input to the sum of its row.
 */

import type { LayerPlan } from '../plan.js';
import { type Kernel, kernel, linearMain, read, write } from './kernel.js';
import { PERMUTE, PHILOX, SET_PARAMS, SIGN_BLOCK, SIGNS_PER_BLOCK } from './random.js';
import { reduction, reductionEnables } from './reduce.js';
import type { Features } from './kernel.js';

export const ENTRIES_SIZE = 64;
const PERTURB_SIZE = 64;
const DIFFERENCE_SIZE = 256;

/**
 * The weights of some directions, nonzeros[k · nonzeros + j]: twice the index in the model's order,
 * plus one where the sign is −1; `NO_WEIGHT` past a direction's last.
 * Workgroups: linear, ENTRIES_SIZE of count · nonzeros each.
 */
export function entriesKernel(): Kernel<
  'entries',
  (typeof SET_PARAMS)[number] | 'firstDirection' | 'count' | 'nonzeros'
> {
  return kernel({
    name: 'entries',
    params: [...SET_PARAMS, 'firstDirection', 'count', 'nonzeros'],
    buffers: { entries: write('array<u32>') },
    code: [
      PHILOX,
      SIGN_BLOCK,
      PERMUTE,
      linearMain(
        ENTRIES_SIZE,
        `
  if (item >= params.count * params.nonzeros) { return; }
  let direction = (params.firstDirection + item / params.nonzeros) % params.directions;
  let position = direction + (item % params.nonzeros) * params.directions;
  if (position >= params.touched) { entries[item] = 0xffffffffu; return; }
  let weight = permute(position);
  let word = signBlock(weight / ${SIGNS_PER_BLOCK}u)[(weight >> 5u) & 3u];
  entries[item] = 2u * (params.offset + weight) + ((word >> (weight & 31u)) & 1u);`,
      ),
    ],
  });
}

/**
 * Adds the inputs of a direction's weights to a layer's sums. Copy (direction · 2 + side) ·
 * examples + example is row copy of `copies`. Workgroups: (copies).
 * @param first - whether the sums are still those of the examples, in `z`, and the inputs too
 */
export function perturbKernel(
  { offset, units, inputs, depth }: LayerPlan,
  first: boolean,
): Kernel<'entries' | 'x' | 'z' | 'copies', 'nonzeros' | 'examples' | 'firstRow'> {
  const copySums = `
  for (var unit = thread; unit < ${units}u; unit += ${PERTURB_SIZE}u) {
    atomicStore(&copies[copy * ${units}u + unit], z[example * ${units}u + unit]);
  }
  storageBarrier(); // the additions of other threads come after it`;
  return kernel({
    name: first ? 'perturbFirst' : 'perturb',
    params: ['nonzeros', 'examples', 'firstRow'],
    buffers: {
      entries: read('array<u32>'),
      x: read('array<u32>'),
      z: read('array<i32>'),
      copies: write('array<atomic<i32>>'),
    },
    code: [
      `
@compute @workgroup_size(${PERTURB_SIZE})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let copy = group.x;
  let example = copy % params.examples;
  let direction = copy / params.examples / 2u;
  let side = (copy / params.examples) & 1u;
  let row = ${first ? 'params.firstRow + example' : 'copy'};
${first ? copySums : ''}
  for (var at = thread; at < params.nonzeros; at += ${PERTURB_SIZE}u) {
    let entry = entries[direction * params.nonzeros + at];
    let index = (entry >> 1u) - ${offset}u; // wraps below the layer, and ends above it
    if (entry == 0xffffffffu || index >= ${units * inputs}u) { continue; }
    let unit = index / ${inputs}u;
    let input = index - unit * ${inputs}u;
    let activation = i32((x[row * ${4 * depth}u + input / 4u] >> (8u * (input & 3u))) & 255u);
    atomicAdd(&copies[copy * ${units}u + unit], activation * (1 - 2 * i32((entry ^ side) & 1u)));
  }
}`,
    ],
  });
}

/**
 * Σ over the examples of loss(θ + ν) − loss(θ − ν) for each direction, in two words: WGSL has no
 * 64-bit integers. With |difference| < 2^30 and at most 2^16 examples, the low 16 bits add up
 * below 2^32 and the rest below 2^30. Workgroups: (directions).
 */
export function differencesKernel(
  features: Features,
): Kernel<'losses' | 'sums', 'examples' | 'first' | 'add'> {
  return kernel({
    name: 'differences',
    params: ['examples', 'first', 'add'],
    buffers: { losses: read('array<i32>'), sums: write('array<vec2<i32>>') },
    enables: reductionEnables(features),
    code: [
      reduction(DIFFERENCE_SIZE, features),
      `
@compute @workgroup_size(${DIFFERENCE_SIZE})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  var sum = vec2<i32>(); // low 16 bits, and the rest
  for (var example = thread; example < params.examples; example += ${DIFFERENCE_SIZE}u) {
    let plus = losses[2u * group.x * params.examples + example];
    let minus = losses[(2u * group.x + 1u) * params.examples + example];
    let difference = plus - minus;
    sum += vec2<i32>(difference & 0xffff, difference >> 16u);
  }
  let total = vec2<i32>(sumOfGroup(sum.x, thread), sumOfGroup(sum.y, thread));
  if (thread == 0u) {
    let at = params.first + group.x;
    sums[at] = total + select(vec2<i32>(), sums[at], params.add != 0u); // wraps; the host reads the low word unsigned
  }
}`,
    ],
  });
}
