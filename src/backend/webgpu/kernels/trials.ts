/**
 * The `weights` estimator: copies of the examples go through the layers with the weights of a
 * direction added (even copies) or subtracted (odd ones). A direction has few weights, so a
 * layer's sums are those of the weights as they are, and then each weight of the direction adds
 * its input to the sum of its row. Copy (2·direction + side)·examples + example is of an example.
 */

import { type Features, itemKernel, kernel, read, write } from './kernel.js';
import { PERMUTE, PHILOX, SET_PARAMS, SIGN_BLOCK, SIGNS_PER_BLOCK } from './random.js';
import { reduction, reductionEnables, threadsFor } from './reduce.js';

/**
 * The weights of some directions, entries[k · nonzeros + j]: twice the index in the model's order,
 * plus one where the sign is −1; `0xffffffff` past a direction's last. Items: count · nonzeros.
 */
export function entriesKernel() {
  return itemKernel({
    name: 'entries',
    params: [...SET_PARAMS, 'firstDirection', 'nonzeros'],
    buffers: { entries: write('array<u32>') },
    code: [PHILOX, SIGN_BLOCK, PERMUTE],
    body: `
  let direction = (params.firstDirection + item / params.nonzeros) % params.directions;
  let position = direction + (item % params.nonzeros) * params.directions;
  if (position >= params.touched) { entries[item] = 0xffffffffu; return; }
  let weight = permute(position);
  let word = signBlock(weight / ${SIGNS_PER_BLOCK}u)[(weight >> 5u) & 3u];
  entries[item] = 2u * (params.offset + weight) + ((word >> (weight & 31u)) & 1u);`,
  });
}

/** What examples have, `period` words, for all of their copies. Items: `count`. */
export function spreadKernel() {
  return itemKernel({
    name: 'spread',
    params: ['period'],
    buffers: { z: read('array<i32>'), copies: write('array<i32>') },
    code: [],
    body: `
  copies[item] = z[item % params.period];`,
  });
}

/** Threads that share the weights of one copy's direction, at most. */
export const SHARE_MAX = 64;

/**
 * Adds the inputs of a direction's weights to a layer's sums, of rows firstRow… of `x`, `xRows` of them over and over.
 * `share` threads a copy take every share-th weight. Items: copies · share.
 */
export function perturbKernel() {
  return itemKernel({
    name: 'perturb',
    params: [
      ...(['share', 'nonzeros', 'examples', 'firstRow', 'xRows'] as const),
      ...(['offset', 'units', 'columns', 'words'] as const),
    ],
    buffers: { entries: read('array<u32>'), x: read('array<u32>'), copies: write('array<atomic<i32>>') },
    code: [],
    body: `
  let copy = item / params.share;
  let direction = copy / params.examples / 2u;
  let side = (copy / params.examples) & 1u;
  let row = params.firstRow + copy % params.xRows;
  for (var at = item % params.share; at < params.nonzeros; at += params.share) {
    let entry = entries[direction * params.nonzeros + at];
    let index = (entry >> 1u) - params.offset; // of weights of layers below it wraps, and is too large as well
    if (entry == 0xffffffffu || index >= params.units * params.columns) { continue; }
    let unit = index / params.columns;
    let column = index - unit * params.columns;
    let activation = i32((x[row * params.words + column / 4u] >> (8u * (column & 3u))) & 255u);
    atomicAdd(&copies[copy * params.units + unit], activation * (1 - 2 * i32((entry ^ side) & 1u)));
  }`,
  });
}

/**
 * Σ over the examples of loss(θ + ν) − loss(θ − ν) for each direction, in two words: WGSL has no
 * 64-bit integers. With |difference| < 2^30 and at most 2^16 examples, the low 16 bits add up
 * below 2^32 and the rest below 2^30. Workgroups: (directions).
 * @param most - examples at a time
 */
export function differencesKernel(most: number, features: Features) {
  const size = threadsFor(most);
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
