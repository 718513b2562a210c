/**
 * Draws and updates of latents and values, of any tensors. Four latents share a word and sixteen trits do, while
 * every value is changed by at most one thread; so a change is an atomic xor of its own bits with old ^ new, which
 * disturbs no neighbour.
 */

import { kernel, itemMain, read, write } from './kernel.js';
import {
  DIRECTION_OF,
  directionMain,
  GROUP_SIGNS,
  PERMUTE,
  PHILOX,
  SET_PARAMS,
  SIGN_BLOCK,
  SIGNED_SIZE,
  SIGNS_PER_BLOCK,
} from './random.js';

/** Latents that share a Philox block. */
export const LATENTS_PER_BLOCK = 8;

/** The fields of a tensor in the buffer `tensors`, in their order: see `PlacedTensor`. */
export const TENSOR_FIELDS = [
  'offset',
  'columns',
  'at',
  'depth',
  'latentsAt',
  'wide',
  'least',
  'most',
] as const;

/** The limits of latents, and the tensors firstTensor…endTensor − 1 that a set lies in. */
const PLACE_PARAMS = ['cut', 'range', 'firstTensor', 'endTensor'] as const;

/** `placeOf(index)` of a value in the model's order, `latentAt`, `setLatent` and `setValue`. */
function access(latents: 'read' | 'write'): string {
  const load = latents === 'read' ? 'latents[place.word]' : 'atomicLoad(&latents[place.word])';
  const setLatent = `
fn setLatent(place: Place, old: i32, latent: i32) {
  atomicXor(&latents[place.word], (u32(old ^ latent) & 255u) << place.shift);
}`;
  return `
struct Tensor { ${TENSOR_FIELDS.map((field) => `${field}: u32`).join(', ')} }
struct Place { tensor: u32, index: u32, word: u32, shift: u32 }
// The last tensor that begins at or before a value.
fn placeOf(index: u32) -> Place {
  var low = params.firstTensor;
  var high = params.endTensor;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tensors[middle].offset <= index) { low = middle; } else { high = middle; }
  }
  let within = index - tensors[low].offset;
  return Place(low, within, tensors[low].latentsAt + (within >> 2u), 8u * (within & 3u));
}
fn latentAt(place: Place) -> i32 {
  return extractBits(bitcast<i32>(${load}), place.shift, 8u);
}
// The quotient of an index below 2^24, which float32 holds, may be one off; an integer division takes longer.
fn rowOf(index: u32, columns: u32) -> u32 {
  let row = u32(f32(index) / f32(columns));
  let left = i32(index) - i32(row * columns);
  return row + select(0u, 1u, left >= i32(columns)) - select(0u, 1u, left < 0);
}
fn setValue(place: Place, latent: i32) {
  let tensor = tensors[place.tensor];
  let row = rowOf(place.index, tensor.columns);
  let column = place.index - row * tensor.columns;
  var word = tensor.at + row * tensor.depth + (column >> 4u);
  var shift = 8u * (column & 3u) + 2u * ((column >> 2u) & 3u); // see trits.ts
  var mask = 3u;
  let cut = i32(params.cut);
  var bits = select(0u, 1u, latent > cut) | select(0u, 3u, latent < -cut);
  if (tensor.wide != 0u) {
    word = tensor.at + 4u * row * tensor.depth + (column >> 2u);
    shift = 8u * (column & 3u);
    mask = 255u;
    bits = u32(clamp(latent, i32(tensor.least), i32(tensor.most))) & 255u;
  }
  let old = (atomicLoad(&weights[word]) >> shift) & mask;
  if (old != bits) { atomicXor(&weights[word], (old ^ bits) << shift); }
}
${latents === 'write' ? setLatent : ''}`;
}

const buffers = {
  tensors: read('array<Tensor>'),
  weights: write('array<atomic<u32>>'),
  latents: write('array<atomic<u32>>'),
};

/** Latents of a tensor of so many values at their initial draw. Items: blocks of latents. */
export function initKernel() {
  return kernel({
    name: 'init',
    params: ['key0', 'key1', 'stream', 'first', 'size', ...PLACE_PARAMS],
    buffers,
    code: [
      PHILOX,
      access('write'),
      itemMain(`
  if (item * ${LATENTS_PER_BLOCK}u >= params.size) { return; }
  let block = philox(vec4<u32>(item, 0u, 0u, params.stream), vec2<u32>(params.key0, params.key1));
  for (var at = 0u; at < ${LATENTS_PER_BLOCK}u; at++) {
    let index = item * ${LATENTS_PER_BLOCK}u + at;
    if (index >= params.size) { break; }
    let draw = (block[at >> 1u] >> (16u * (at & 1u))) & 0xffffu;
    let latent = i32((draw * (2u * params.range + 1u)) >> 16u) - i32(params.range);
    let place = placeOf(params.first + index);
    setLatent(place, latentAt(place), latent);
    setValue(place, latent);
  }`),
    ],
  });
}

/** `moveValue(index, direction, sign)`: one value of a log's step. */
const MOVE = `
fn moveValue(index: u32, direction: u32, sign: i32) {
  let coefficient = extractBits(bitcast<i32>(coefficients[direction >> 2u]), 8u * (direction & 3u), 8u);
  let place = placeOf(index);
  let tensor = tensors[place.tensor];
  let most = i32(select(params.range, tensor.most, tensor.wide != 0u));
  let old = latentAt(place);
  let latent = clamp(old - coefficient * sign, -most, most);
  setLatent(place, old, latent);
  setValue(place, latent);
}`;

function stepKernel(name: string, code: readonly string[]) {
  return kernel({
    name,
    params: [...SET_PARAMS, ...PLACE_PARAMS],
    buffers: { ...buffers, coefficients: read('array<u32>') }, // four i8 a word
    code: [PHILOX, access('write'), MOVE, ...code],
  });
}

/** A step of a log by scatter, a thread a position: cheap where few values are touched. Items: `touched`. */
export function scatterKernel() {
  return stepKernel('scatter', [
    SIGN_BLOCK,
    PERMUTE,
    itemMain(`
  if (item >= params.touched) { return; }
  let weight = permute(item);
  let word = signBlock(weight / ${SIGNS_PER_BLOCK}u)[(weight >> 5u) & 3u];
  moveValue(params.offset + weight, item % params.directions, 1 - 2 * i32((word >> (weight & 31u)) & 1u));`),
  ]);
}

/**
 * The same by gather, a thread a value through the inverse permutation: neighbours share their words and their
 * signs. Items: `size`, SIGNED_SIZE a workgroup.
 */
export function gatherKernel() {
  return stepKernel('gather', [
    directionMain(`
  moveValue(params.offset + item, direction, signOf(thread));`),
  ]);
}

/** The values of a seed pool; latents stay as they are. Items: `size`, SIGNED_SIZE a workgroup. */
export function poolKernel() {
  return kernel({
    name: 'pool',
    params: [...SET_PARAMS, 'first', ...PLACE_PARAMS],
    buffers: { ...buffers, latents: read('array<u32>'), coefficients: read('array<u32>') }, // two i16 a word
    code: [
      PHILOX,
      access('read'),
      DIRECTION_OF,
      GROUP_SIGNS,
      itemMain(
        `
  bringSigns(item, thread);
  if (item >= params.size) { return; }
  let at = params.first + directionOf(item);
  let coefficient = extractBits(bitcast<i32>(coefficients[at >> 1u]), 16u * (at & 1u), 16u);
  let place = placeOf(params.offset + item);
  setValue(place, latentAt(place) + coefficient * signOf(thread));`,
        SIGNED_SIZE,
      ),
    ],
  });
}
