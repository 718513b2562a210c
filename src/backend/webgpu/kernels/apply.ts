/**
 * Draws and updates of latents and weights. Four latents share a word and sixteen trits do, while
 * every weight is changed by at most one thread; so a change is an atomic xor of its own bits
 * with old ^ new, which disturbs no neighbour.
 */

import { Purpose, streamOf } from '../../../random/philox.js';
import type { LayerPlan } from '../plan.js';
import { type Kernel, kernel, linearMain, read, write } from './kernel.js';
import { DIRECTION_OF, PERMUTE, PHILOX, SET_PARAMS, SIGN_BLOCK, SIGNS_PER_BLOCK } from './random.js';

/** Threads of a workgroup: two blocks of signs. */
export const APPLY_SIZE = 2 * SIGNS_PER_BLOCK;
/** Latents that share a Philox block. */
export const LATENTS_PER_BLOCK = 8;

type SetParam = (typeof SET_PARAMS)[number];

/** `latentAt`, `setLatent` and `setWeight` of weight `index` in the model's order. */
function access(layers: readonly LayerPlan[], latents: 'read' | 'write'): string {
  const load = latents === 'read' ? 'latents[index >> 2u]' : 'atomicLoad(&latents[index >> 2u])';
  const branches = layers.map(({ offset, units, inputs, depth, weightsAt }) => {
    return `
  if (index < ${offset + units * inputs}u) {
    let row = (index - ${offset}u) / ${inputs}u;
    let column = index - ${offset}u - row * ${inputs}u;
    return vec2<u32>(${weightsAt}u + row * ${depth}u + (column >> 4u), 8u * (column & 3u) + 2u * ((column >> 2u) & 3u));
  }`;
  });
  const setLatent = `
fn setLatent(index: u32, old: i32, latent: i32) {
  atomicXor(&latents[index >> 2u], (u32(old ^ latent) & 255u) << (8u * (index & 3u)));
}`;
  return `
// The word of a trit and its bit there, see trits.ts.
fn placeOf(index: u32) -> vec2<u32> {${branches.join('')}
  return vec2<u32>();
}
fn latentAt(index: u32) -> i32 {
  return extractBits(bitcast<i32>(${load}), 8u * (index & 3u), 8u);
}
fn setWeight(index: u32, latent: i32) {
  let cut = i32(params.cut);
  let code = select(0u, 1u, latent > cut) | select(0u, 3u, latent < -cut);
  let place = placeOf(index);
  let old = (atomicLoad(&weights[place.x]) >> place.y) & 3u;
  if (old != code) { atomicXor(&weights[place.x], (old ^ code) << place.y); }
}
${latents === 'write' ? setLatent : ''}`;
}

/** The signs of the workgroup's weights, one block of Philox for 128 of them. */
const GROUP_SIGNS = `
var<workgroup> signs: array<vec4<u32>, ${APPLY_SIZE / SIGNS_PER_BLOCK}>;
fn bringSigns(item: u32, thread: u32) {
  if (thread % ${SIGNS_PER_BLOCK}u == 0u) { signs[thread / ${SIGNS_PER_BLOCK}u] = signBlock(item / ${SIGNS_PER_BLOCK}u); }
  workgroupBarrier();
}
fn signOf(thread: u32) -> i32 {
  let word = signs[thread / ${SIGNS_PER_BLOCK}u][(thread >> 5u) & 3u];
  return 1 - 2 * i32((word >> (thread & 31u)) & 1u);
}`;

/** Latents of a tensor at their initial draw. Workgroups: linear, APPLY_SIZE blocks of latents each. */
export function initKernel(
  layers: readonly LayerPlan[],
  tensor: number,
): Kernel<'weights' | 'latents', 'key0' | 'key1' | 'cut' | 'range'> {
  const { offset, units, inputs } = layers[tensor];
  const size = units * inputs;
  return kernel({
    name: 'init',
    params: ['key0', 'key1', 'cut', 'range'],
    buffers: { weights: write('array<atomic<u32>>'), latents: write('array<atomic<u32>>') },
    code: [
      PHILOX,
      access(layers, 'write'),
      linearMain(
        APPLY_SIZE,
        `
  if (item * ${LATENTS_PER_BLOCK}u >= ${size}u) { return; }
  let block = philox(vec4<u32>(item, 0u, 0u, ${streamOf(Purpose.init, tensor)}u), vec2<u32>(params.key0, params.key1));
  for (var place = 0u; place < ${LATENTS_PER_BLOCK}u; place++) {
    let weight = item * ${LATENTS_PER_BLOCK}u + place;
    if (weight >= ${size}u) { break; }
    let draw = (block[place >> 1u] >> (16u * (place & 1u))) & 0xffffu;
    let latent = i32((draw * (2u * params.range + 1u)) >> 16u) - i32(params.range);
    let index = ${offset}u + weight;
    setLatent(index, latentAt(index), latent);
    setWeight(index, latent);
  }`,
      ),
    ],
  });
}

/** `moveWeight(index, direction, sign)`: one weight of a log's step. */
const MOVE = `
fn moveWeight(index: u32, direction: u32, sign: i32) {
  let coefficient = extractBits(bitcast<i32>(coefficients[direction >> 2u]), 8u * (direction & 3u), 8u);
  let old = latentAt(index);
  let latent = clamp(old - coefficient * sign, -i32(params.range), i32(params.range));
  setLatent(index, old, latent);
  setWeight(index, latent);
}`;

type StepKernel = Kernel<'weights' | 'latents' | 'coefficients', SetParam | 'cut' | 'range'>;

function stepKernel(name: string, layers: readonly LayerPlan[], code: readonly string[]): StepKernel {
  return kernel({
    name,
    params: [...SET_PARAMS, 'cut', 'range'],
    buffers: {
      weights: write('array<atomic<u32>>'),
      latents: write('array<atomic<u32>>'),
      coefficients: read('array<u32>'), // four i8 a word
    },
    code: [PHILOX, SIGN_BLOCK, access(layers, 'write'), MOVE, ...code],
  });
}

/**
 * A step of a log by scatter, one thread a position: cheap where few weights are touched.
 * Workgroups: linear, APPLY_SIZE of `touched` each.
 */
export function scatterKernel(layers: readonly LayerPlan[]): StepKernel {
  return stepKernel('scatter', layers, [
    PERMUTE,
    linearMain(
      APPLY_SIZE,
      `
  if (item >= params.touched) { return; }
  let weight = permute(item);
  let word = signBlock(weight / ${SIGNS_PER_BLOCK}u)[(weight >> 5u) & 3u];
  moveWeight(params.offset + weight, item % params.directions, 1 - 2 * i32((word >> (weight & 31u)) & 1u));`,
    ),
  ]);
}

/**
 * The same by gather, one thread a weight through the inverse permutation: neighbours share
 * their words and their signs. Workgroups: linear, APPLY_SIZE of `size` each.
 */
export function gatherKernel(layers: readonly LayerPlan[]): StepKernel {
  return stepKernel('gather', layers, [
    DIRECTION_OF,
    GROUP_SIGNS,
    linearMain(
      APPLY_SIZE,
      `
  bringSigns(item, thread);
  if (item >= params.size) { return; }
  let direction = directionOf(item);
  if (direction == NO_DIRECTION) { return; }
  moveWeight(params.offset + item, direction, signOf(thread));`,
    ),
  ]);
}

/**
 * The weights of a seed pool, one thread a weight; latents stay as they are.
 * Workgroups: linear, APPLY_SIZE of `size` each.
 */
export function poolKernel(
  layers: readonly LayerPlan[],
): Kernel<'weights' | 'latents' | 'coefficients', SetParam | 'cut' | 'first'> {
  return kernel({
    name: 'pool',
    params: [...SET_PARAMS, 'cut', 'first'],
    buffers: {
      weights: write('array<atomic<u32>>'),
      latents: read('array<u32>'),
      coefficients: read('array<u32>'), // two i16 a word
    },
    code: [
      PHILOX,
      SIGN_BLOCK,
      access(layers, 'read'),
      DIRECTION_OF,
      GROUP_SIGNS,
      linearMain(
        APPLY_SIZE,
        `
  bringSigns(item, thread);
  if (item >= params.size) { return; }
  let at = params.first + directionOf(item);
  let coefficient = extractBits(bitcast<i32>(coefficients[at >> 1u]), 16u * (at & 1u), 16u);
  let index = params.offset + item;
  setWeight(index, latentAt(index) + coefficient * signOf(thread));`,
      ),
    ],
  });
}
