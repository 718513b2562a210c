/** Philox, the permutation of a set of directions, and its signs in WGSL; see src/random. */

import { itemMain } from './kernel.js';
import type { DirectionSet } from '../../../random/directions.js';
import { type Key, Purpose, streamOf } from '../../../random/philox.js';

/** `philox(counter, key)`, on 32-bit words. */
export const PHILOX = `
fn multiplyHigh(a: u32, b: u32) -> u32 {
  let aLow = a & 0xffffu; let aHigh = a >> 16u;
  let bLow = b & 0xffffu; let bHigh = b >> 16u;
  let cross = aHigh * bLow + ((aLow * bLow) >> 16u);
  let middle = aLow * bHigh + (cross & 0xffffu);
  return aHigh * bHigh + (cross >> 16u) + (middle >> 16u);
}
// counter: block, index, step, stream
fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
  var c = counter;
  var key = seed;
  for (var round = 0u; round < 10u; round++) {
    c = vec4<u32>(
      multiplyHigh(c.z, 0xcd9e8d57u) ^ c.y ^ key.x, c.z * 0xcd9e8d57u,
      multiplyHigh(c.x, 0xd2511f53u) ^ c.w ^ key.y, c.x * 0xd2511f53u,
    );
    key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}`;

/** Weights that share a Philox block of signs. */
export const SIGNS_PER_BLOCK = 128;

/** The parameters that a set of directions takes. */
export const SET_PARAMS = [
  'key0',
  'key1',
  'step',
  'signStream',
  'offset',
  'size',
  'directions',
  'touched',
  'highs',
  'lows',
  'round0',
  'round1',
  'round2',
  'round3',
  'round4',
  'round5',
] as const;

export function setParams(set: DirectionSet): Record<(typeof SET_PARAMS)[number], number> {
  const { step, group, offset, size, directions, touched, permutation } = set;
  const [round0, round1, round2, round3, round4, round5] = permutation.keys;
  return {
    ...keyParams(set.key),
    ...{ step, signStream: streamOf(Purpose.sign, group), offset, size, directions, touched },
    ...{ highs: permutation.highs, lows: permutation.lows },
    ...{ round0, round1, round2, round3, round4, round5 },
  };
}

export function keyParams(key: Key): { key0: number; key1: number } {
  return { key0: key[0], key1: key[1] };
}

/** `signBlock(block)`: the signs of 128 weights of a set, bit by bit; 1 is −1. Needs PHILOX. */
export const SIGN_BLOCK = `
fn signBlock(block: u32) -> vec4<u32> {
  return philox(vec4<u32>(block, 0u, params.step, params.signStream), vec2<u32>(params.key0, params.key1));
}`;

/** Threads of a workgroup that shares the signs of neighbouring weights: two blocks of them. */
export const SIGNED_SIZE = 2 * SIGNS_PER_BLOCK;

/** `bringSigns(item, thread)`, which all threads call together, and `signOf(thread)`: of the weight `item`. */
export const GROUP_SIGNS = `${SIGN_BLOCK}
var<workgroup> signs: array<vec4<u32>, ${SIGNED_SIZE / SIGNS_PER_BLOCK}>;
fn bringSigns(item: u32, thread: u32) {
  if (thread % ${SIGNS_PER_BLOCK}u == 0u) { signs[thread / ${SIGNS_PER_BLOCK}u] = signBlock(item / ${SIGNS_PER_BLOCK}u); }
  workgroupBarrier();
}
fn signOf(thread: u32) -> i32 {
  let word = signs[thread / ${SIGNS_PER_BLOCK}u][(thread >> 5u) & 3u];
  return 1 - 2 * i32((word >> (thread & 31u)) & 1u);
}`;

const FEISTEL = `
fn feistel(half: u32, key: u32, span: u32) -> u32 {
  var hash = (half ^ key) * 0x9e3779b1u;
  hash = (hash ^ (hash >> 15u)) * 0x85ebca77u;
  return ((hash >> 16u) * span) >> 16u;
}`;

/** `permute(position)`: π of the set. */
export const PERMUTE = `${FEISTEL}
fn forwardRounds(point: vec2<u32>, highKey: u32, lowKey: u32) -> vec2<u32> {
  var high = point.x + feistel(point.y, highKey, params.highs);
  if (high >= params.highs) { high -= params.highs; }
  var low = point.y + feistel(high, lowKey, params.lows);
  if (low >= params.lows) { low -= params.lows; }
  return vec2<u32>(high, low);
}
fn permute(position: u32) -> u32 {
  var point = position;
  loop {
    let high = point / params.lows;
    var halves = vec2<u32>(high, point - high * params.lows);
    halves = forwardRounds(halves, params.round0, params.round1);
    halves = forwardRounds(halves, params.round2, params.round3);
    halves = forwardRounds(halves, params.round4, params.round5);
    point = halves.x * params.lows + halves.y;
    if (point < params.size) { break; }
  }
  return point;
}`;

/** `directionOf(index)`: the direction that a weight belongs to, or `NO_DIRECTION`. */
export const DIRECTION_OF = `${FEISTEL}
const NO_DIRECTION = 0xffffffffu;
fn backwardRounds(point: vec2<u32>, highKey: u32, lowKey: u32) -> vec2<u32> {
  let lowStep = feistel(point.x, lowKey, params.lows);
  var low = point.y;
  if (low < lowStep) { low += params.lows; }
  low -= lowStep;
  let highStep = feistel(low, highKey, params.highs);
  var high = point.x;
  if (high < highStep) { high += params.highs; }
  return vec2<u32>(high - highStep, low);
}
fn directionOf(index: u32) -> u32 {
  var point = index;
  loop {
    let high = point / params.lows;
    var halves = vec2<u32>(high, point - high * params.lows);
    halves = backwardRounds(halves, params.round4, params.round5);
    halves = backwardRounds(halves, params.round2, params.round3);
    halves = backwardRounds(halves, params.round0, params.round1);
    point = halves.x * params.lows + halves.y;
    if (point < params.size) { break; }
  }
  return select(NO_DIRECTION, point % params.directions, point < params.touched);
}`;

/**
 * Those two, and a `main` over the weights of a set, SIGNED_SIZE a workgroup.
 * @param body - what is done with a weight `item` of a `direction`; `signOf(thread)` is its sign
 */
export function directionMain(body: string): string {
  const main = itemMain(
    `
  bringSigns(item, thread);
  if (item >= params.size) { return; }
  let direction = directionOf(item);
  if (direction == NO_DIRECTION) { return; }${body}`,
    SIGNED_SIZE,
  );
  return [DIRECTION_OF, GROUP_SIGNS, main].join('\n');
}
