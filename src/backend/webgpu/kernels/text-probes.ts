/**
 * Node perturbation of a transformer: sizes and signs of probes, disturbed sums, rewards, and what the embedding's
 * errors add up to. Row (2·probe + side)·examples + example of disturbed sums belongs to an example, which is a
 * position of a window; docs/transformer.md defines the rest.
 */

import { groupMain, type Kernel, kernel, linearMain, read, write } from './kernel.js';
import { SIGNS_OF, UNITS_PER_BLOCK } from './probes.js';
import { PHILOX } from './random.js';
import { ROUNDING } from './rounding.js';
import { ITEMS } from './transformer.js';

/** Bits that absolute sums are rounded by before they are summed up. */
const SIZE_SHIFT = 4;
/** Threads that share a row of `sizesKernel`. */
const SIZES_SIZE = 64;

/** How far each row's probes move its sums. A workgroup a row: `linearGroups(rows, 1)`. */
export function sizesKernel(): Kernel<'z' | 'sizes', 'rows' | 'units' | 'sigma'> {
  return kernel({
    name: 'sizes',
    params: ['rows', 'units', 'sigma'],
    buffers: { z: read('array<i32>'), sizes: write('array<i32>') },
    code: [
      ROUNDING,
      `
var<workgroup> absolute: atomic<i32>;
`,
      groupMain(
        SIZES_SIZE,
        `
  let row = item;
  if (row >= params.rows) { return; }
  var sum = 0;
  for (var unit = thread; unit < params.units; unit += ${SIZES_SIZE}u) {
    sum += roundShift(abs(z[row * params.units + unit]), ${SIZE_SHIFT}u);
  }
  atomicAdd(&absolute, sum);
  workgroupBarrier();
  if (thread == 0u) {
    let mean = roundDiv(atomicLoad(&absolute), params.units);
    sizes[row] = max(1, roundShift(mean * i32(params.sigma), ${8 - SIZE_SHIFT}u));
  }`,
      ),
    ],
  });
}

/**
 * Signs of a group of 16 probes, a word for each unit of an example, all of them active. A workgroup a block of
 * units: `linearGroups(examples · blocks, 1)`.
 */
export function textSignsKernel(): Kernel<
  'signs',
  'examples' | 'units' | 'key0' | 'key1' | 'step' | 'group' | 'stream' | 'firstExample'
> {
  return kernel({
    name: 'textSigns',
    params: ['examples', 'units', 'key0', 'key1', 'step', 'group', 'stream', 'firstExample'],
    buffers: { signs: write('array<u32>') },
    code: [
      PHILOX,
      SIGNS_OF,
      `
var<workgroup> base: vec4<u32>;
`,
      groupMain(
        UNITS_PER_BLOCK,
        `
  let blocks = (params.units + ${UNITS_PER_BLOCK - 1}u) / ${UNITS_PER_BLOCK}u;
  let example = item / blocks;
  let block = item % blocks;
  if (example >= params.examples) { return; }
  if (thread == 0u) {
    base = philox(
      vec4<u32>(block | (params.group << 16u), params.firstExample + example, params.step, params.stream),
      vec2<u32>(params.key0, params.key1),
    );
  }
  workgroupBarrier();
  let unit = block * ${UNITS_PER_BLOCK}u + thread;
  if (unit < params.units) { signs[example * params.units + unit] = signsOf(base, unit, unit); }`,
      ),
    ],
  });
}

/** Sums of all copies, from those of the examples. Items: copies · examples · units. */
export function disturbSumsKernel(): Kernel<
  'base' | 'sizes' | 'signs' | 'z',
  'items' | 'examples' | 'units' | 'firstProbe'
> {
  return kernel({
    name: 'disturbSums',
    params: ['items', 'examples', 'units', 'firstProbe'],
    buffers: {
      base: read('array<i32>'),
      sizes: read('array<i32>'),
      signs: read('array<u32>'),
      z: write('array<i32>'),
    },
    code: [
      linearMain(
        ITEMS,
        `
  if (item >= params.items) { return; }
  let sums = params.examples * params.units;
  let copy = item / sums;
  let at = item % sums;
  let negative = (signs[at] >> ((params.firstProbe + copy / 2u) & 15u)) & 1u;
  z[item] = base[at] + sizes[at / params.units] * (1 - 2 * i32(negative ^ (copy & 1u)));`,
      ),
    ],
  });
}

/**
 * Rewards [examples, probes] from the losses of all copies, those of the next `horizon` positions of a window
 * with them. Items: examples · probes.
 */
export function textRewardsKernel(): Kernel<
  'losses' | 'rewards',
  'examples' | 'probes' | 'length' | 'horizon' | 'rewardShift' | 'limit'
> {
  return kernel({
    name: 'textRewards',
    params: ['examples', 'probes', 'length', 'horizon', 'rewardShift', 'limit'],
    buffers: { losses: read('array<i32>'), rewards: write('array<i32>') },
    code: [
      ROUNDING,
      linearMain(
        ITEMS,
        `
  if (item >= params.examples * params.probes) { return; }
  let example = item / params.probes;
  let plus = 2u * (item % params.probes) * params.examples;
  let end = min(example % params.length + params.horizon + 1u, params.length);
  var difference = 0;
  for (var position = example % params.length; position < end; position++) {
    let at = plus + example - example % params.length + position;
    difference += losses[at] - losses[at + params.examples];
  }
  let limit = i32(params.limit);
  rewards[item] = clamp(roundShift(difference, params.rewardShift), -limit, limit);`,
      ),
    ],
  });
}

/** Adds the errors of the examples to the rows of the embedding that are their bytes. Items: examples · width. */
export function embeddingErrorsKernel(): Kernel<
  'bytes' | 'signs' | 'rewards' | 'alignments',
  'examples' | 'width' | 'firstExample' | 'firstProbe' | 'probes' | 'first'
> {
  return kernel({
    name: 'embeddingErrors',
    params: ['examples', 'width', 'firstExample', 'firstProbe', 'probes', 'first'],
    buffers: {
      bytes: read('array<u32>'),
      signs: read('array<u32>'),
      rewards: read('array<i32>'),
      alignments: write('array<atomic<i32>>'),
    },
    code: [
      linearMain(
        ITEMS,
        `
  if (item >= params.examples * params.width) { return; }
  let example = item / params.width;
  let sign = signs[item];
  var error = 0;
  for (var probe = 0u; probe < params.probes; probe++) {
    let negative = i32((sign >> ((params.firstProbe + probe) & 15u)) & 1u);
    error += rewards[example * params.probes + probe] * (1 - 2 * negative);
  }
  let at = params.firstExample + example;
  let byte = (bytes[at / 4u] >> (8u * (at & 3u))) & 255u;
  atomicAdd(&alignments[params.first + byte * params.width + item % params.width], error);`,
      ),
    ],
  });
}
