/**
 * The `weights` estimator: copies of the examples go through the network with the weights of a
 * direction added (even copies) or subtracted (odd ones). A direction has few weights, so a
 * layer's sums are those of the weights as they are, and then each weight of the direction adds
 * its input to the sum of its row.
 */

import type { LayerPlan } from '../plan.js';
import { type Features, type Kernel, kernel, linearMain, read, write } from './kernel.js';
import { PERMUTE, PHILOX, SET_PARAMS, SIGN_BLOCK, SIGNS_PER_BLOCK } from './random.js';
import { reduction, reductionEnables, threadsFor } from './reduce.js';

export const ENTRIES_SIZE = 64;
export const COPY_SIZE = 64;

/**
 * The weights of some directions, nonzeros[k · nonzeros + j]: twice the index in the model's order,
 * plus one where the sign is −1; `0xffffffff` past a direction's last.
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

/** What examples have, `period` words, for all of their copies. Workgroups: linear, COPY_SIZE of `count` each. */
export function spreadKernel(): Kernel<'z' | 'copies', 'count' | 'period'> {
  return kernel({
    name: 'spread',
    params: ['count', 'period'],
    buffers: { z: read('array<i32>'), copies: write('array<i32>') },
    code: [
      linearMain(
        COPY_SIZE,
        `
  if (item >= params.count) { return; }
  copies[item] = z[item % params.period];`,
      ),
    ],
  });
}

/** Threads that share the weights of one copy's direction, at most. */
export const SHARE_MAX = 64;

/**
 * Adds the inputs of a direction's weights to a layer's sums; copy (direction · 2 + side) ·
 * examples + example is row copy of `copies`. `share` threads a copy take every share-th weight.
 * Workgroups: linear, COPY_SIZE of copies · share each.
 * @param first - whether the inputs are those of the examples, the copies' own otherwise
 */
export function perturbKernel(
  { offset, units, inputs, depth }: LayerPlan,
  first: boolean,
): Kernel<'entries' | 'x' | 'copies', 'count' | 'share' | 'nonzeros' | 'examples' | 'firstRow'> {
  return kernel({
    name: 'perturb',
    params: ['count', 'share', 'nonzeros', 'examples', 'firstRow'],
    buffers: { entries: read('array<u32>'), x: read('array<u32>'), copies: write('array<atomic<i32>>') },
    code: [
      linearMain(
        COPY_SIZE,
        `
  if (item >= params.count) { return; }
  let copy = item / params.share;
  let direction = copy / params.examples / 2u;
  let side = (copy / params.examples) & 1u;
  let row = ${first ? 'params.firstRow + copy % params.examples' : 'copy'};
  for (var at = item % params.share; at < params.nonzeros; at += params.share) {
    let entry = entries[direction * params.nonzeros + at];
    let index = (entry >> 1u) - ${offset}u; // of weights of layers below it wraps, and is too large as well
    if (entry == 0xffffffffu || index >= ${units * inputs}u) { continue; }
    let unit = index / ${inputs}u;
    let input = index - unit * ${inputs}u;
    let activation = i32((x[row * ${4 * depth}u + input / 4u] >> (8u * (input & 3u))) & 255u);
    atomicAdd(&copies[copy * ${units}u + unit], activation * (1 - 2 * i32((entry ^ side) & 1u)));
  }`,
      ),
    ],
  });
}

/**
 * Σ over the examples of loss(θ + ν) − loss(θ − ν) for each direction, in two words: WGSL has no
 * 64-bit integers. With |difference| < 2^30 and at most 2^16 examples, the low 16 bits add up
 * below 2^32 and the rest below 2^30. Workgroups: (directions).
 * @param tile - examples at a time
 */
export function differencesKernel(
  tile: number,
  features: Features,
): Kernel<'losses' | 'sums', 'examples' | 'first' | 'add'> {
  const size = threadsFor(tile);
  return kernel({
    name: 'differences',
    params: ['examples', 'first', 'add'],
    buffers: { losses: read('array<i32>'), sums: write('array<vec2<i32>>') },
    enables: reductionEnables(features),
    code: [
      reduction({ alone: false, size }, features),
      `
@compute @workgroup_size(${size})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  var sum = vec2<i32>(); // low 16 bits, and the rest
  for (var example = thread; example < params.examples; example += ${size}u) {
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
