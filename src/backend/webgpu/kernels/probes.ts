/** The probes of the `nodes` estimator: signs of a group of 16, rewards, and the errors they add up to. */

import { PROBABILITY_BITS } from '../../../ops/loss/op.js';
import type { Network } from '../../../ternary/builders/perceptron.js';
import { Purpose, streamOf } from '../../../random/philox.js';
import type { LayerPlan } from '../plan.js';
import { type Kernel, kernel, linearMain, read, write } from './kernel.js';
import { EXP2_NEGATIVE, LABEL_OF } from './loss.js';
import { PHILOX } from './random.js';
import { rowMain, sharingOf } from './reduce.js';
import { ROUNDING } from './rounding.js';

/** Units that share a Philox block, and threads of a workgroup. */
export const UNITS_PER_BLOCK = 128;
/** Probes of a group. */
export const PROBES_PER_GROUP = 16;
/** Threads of the other kernels here. */
export const PROBE_SIZE = 64;

/** `signsOf(base, unit, rank)`: bit r is set where probe r of the group is −1, bit 16 always. */
export const SIGNS_OF = `
// Bit r is the Walsh function r at a rank: parity(r & rank).
fn walsh(rank: u32) -> u32 {
  return (0xaaaau * (rank & 1u)) ^ (0xccccu * ((rank >> 1u) & 1u))
    ^ (0xf0f0u * ((rank >> 2u) & 1u)) ^ (0xff00u * ((rank >> 3u) & 1u));
}
fn signsOf(base: vec4<u32>, unit: u32, rank: u32) -> u32 {
  let bit = (base[(unit >> 5u) & 3u] >> (unit & 31u)) & 1u;
  return 0x10000u | ((0xffffu * bit) ^ walsh(rank));
}`;

/**
 * For each unit of an example a word: bit r is set where probe r of the group is −1, bit 16
 * where the unit is active. Workgroups: `rowGroups`.
 */
export function signsKernel(
  layer: LayerPlan,
  index: number,
): Kernel<'x' | 'signs', 'rows' | 'key0' | 'key1' | 'step' | 'group' | 'firstExample'> {
  const { units, outputWords } = layer;
  const { alone } = sharingOf(units);
  return kernel({
    name: 'signs',
    params: ['rows', 'key0', 'key1', 'step', 'group', 'firstExample'],
    buffers: { x: read('array<u32>'), signs: write('array<u32>') },
    code: [
      PHILOX,
      SIGNS_OF,
      `
fn baseBlock(block: u32, example: u32) -> vec4<u32> {
  return philox(
    vec4<u32>(block | (params.group << 16u), params.firstExample + example, params.step, ${streamOf(Purpose.probe, index)}u),
    vec2<u32>(params.key0, params.key1),
  );
}
fn activeAt(example: u32, unit: u32) -> bool {
  return ((x[example * ${outputWords}u + unit / 4u] >> (8u * (unit & 3u))) & 255u) != 0u;
}`,
      alone ? signsAlone(units) : signsShared(units),
    ],
  });
}

/** A thread an example: it counts as it goes. */
function signsAlone(units: number): string {
  return rowMain(
    sharingOf(units),
    `
  let base = baseBlock(0u, row);
  var rank = 0u;
  for (var unit = 0u; unit < ${units}u; unit++) {
    let isActive = activeAt(row, unit);
    signs[row * ${units}u + unit] = select(0u, signsOf(base, unit, rank), isActive);
    rank += u32(isActive);
  }`,
  );
}

/** A workgroup an example and a thread a unit: the active ones are counted as bits of words. */
function signsShared(units: number): string {
  const blocks = Math.ceil(units / UNITS_PER_BLOCK);
  return `
var<workgroup> bases: array<vec4<u32>, ${blocks}>;
var<workgroup> activeBits: array<atomic<u32>, 4>; // a bit for each unit of a block
@compute @workgroup_size(${UNITS_PER_BLOCK})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let example = group.x;
  for (var block = thread; block < ${blocks}u; block += ${UNITS_PER_BLOCK}u) {
    bases[block] = baseBlock(block, example);
  }
  var before = 0u; // active units of earlier blocks
  for (var block = 0u; block < ${blocks}u; block++) {
    if (thread < 4u) { atomicStore(&activeBits[thread], 0u); }
    workgroupBarrier();
    let unit = block * ${UNITS_PER_BLOCK}u + thread;
    var isActive = false;
    if (unit < ${units}u) { isActive = activeAt(example, unit); }
    if (isActive) { atomicOr(&activeBits[thread >> 5u], 1u << (thread & 31u)); }
    workgroupBarrier();
    var rank = before;
    for (var word = 0u; word < 4u; word++) {
      let bits = atomicLoad(&activeBits[word]);
      before += countOneBits(bits);
      if (word < (thread >> 5u)) { rank += countOneBits(bits); }
      if (word == (thread >> 5u)) { rank += countOneBits(bits & ((1u << (thread & 31u)) - 1u)); }
    }
    if (unit < ${units}u) {
      signs[example * ${units}u + unit] = select(0u, signsOf(bases[block], unit, rank), isActive);
    }
    workgroupBarrier(); // all have read the bits before the next block clears them
  }
}`;
}

/** Rewards from the losses of both sides of each probe. Workgroups: linear, PROBE_SIZE of `pairs` each. */
export function rewardsKernel(): Kernel<'losses' | 'rewards', 'pairs' | 'rewardShift' | 'limit'> {
  return kernel({
    name: 'rewards',
    params: ['pairs', 'rewardShift', 'limit'],
    buffers: { losses: read('array<i32>'), rewards: write('array<i32>') },
    code: [
      ROUNDING,
      linearMain(
        PROBE_SIZE,
        `
  if (item >= params.pairs) { return; }
  let limit = i32(params.limit);
  rewards[item] = clamp(roundShift(losses[2u * item] - losses[2u * item + 1u], params.rewardShift), -limit, limit);`,
      ),
    ],
  });
}

/**
 * Errors go into two planes of signed bytes, transposed: a word has four examples of one unit, so that
 * their product with the inputs is one of bytes, too. A quad is four examples.
 */
const STORE_QUAD = `
fn bytesOf(values: vec4<u32>) -> u32 {
  let bytes = (values & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
  return bytes.x | bytes.y | bytes.z | bytes.w;
}
fn storeQuad(at: u32, errors: vec4<i32>) {
  errorsLow[at] = bytesOf(bitcast<vec4<u32>>(errors));
  errorsHigh[at] = bytesOf(bitcast<vec4<u32>>((errors + vec4<i32>(128)) >> vec4<u32>(8u)));
}`;

type ErrorParam = 'rows' | 'firstQuad' | 'stride';

/**
 * δ̂ of a hidden layer: adds reward · sign of the probes at hand to what `errors` has, or to zero.
 * Workgroups: (PROBE_SIZE units each, quads).
 */
export function errorsKernel({
  units,
}: Pick<LayerPlan, 'units'>): Kernel<
  'signs' | 'rewards' | 'errorsLow' | 'errorsHigh',
  ErrorParam | 'firstProbe' | 'probes' | 'add'
> {
  return kernel({
    name: 'errors',
    params: ['rows', 'firstQuad', 'stride', 'firstProbe', 'probes', 'add'],
    buffers: {
      signs: read('array<u32>'),
      rewards: read('array<i32>'),
      errorsLow: write('array<u32>'),
      errorsHigh: write('array<u32>'),
    },
    code: [
      STORE_QUAD,
      quadMain(`
  if (unit >= ${units}u) { return; }
  let at = unit * params.stride + params.firstQuad + group.y;
  var errors = vec4<i32>();
  if (params.add != 0u) {
    let places = vec4<u32>(24u, 16u, 8u, 0u);
    let low = (vec4<i32>(bitcast<i32>(errorsLow[at])) << places) >> vec4<u32>(24u);
    let high = (vec4<i32>(bitcast<i32>(errorsHigh[at])) << places) >> vec4<u32>(24u);
    errors = high * 256 + low;
  }
  for (var place = 0u; place < 4u; place++) {
    let example = 4u * group.y + place;
    if (example >= params.rows) { break; }
    let sign = signs[example * ${units}u + unit];
    if ((sign >> 16u) == 0u) { continue; }
    var error = 0;
    for (var probe = 0u; probe < params.probes; probe++) {
      let negative = i32((sign >> ((params.firstProbe + probe) & 15u)) & 1u);
      error += rewards[example * params.probes + probe] * (1 - 2 * negative);
    }
    errors[place] += error;
  }
  storeQuad(at, errors);`),
    ],
  });
}

/** δ̂ of the last layer: softmax less target. Workgroups: (PROBE_SIZE classes each, quads). */
export function exactErrorsKernel({
  widths,
  logitScale,
}: Pick<Network, 'widths' | 'logitScale'>): Kernel<
  'tables' | 'labels' | 'z' | 'softmax' | 'errorsLow' | 'errorsHigh',
  ErrorParam | 'firstExample'
> {
  const classes = widths.at(-1) as number;
  return kernel({
    name: 'exactErrors',
    params: ['rows', 'firstQuad', 'stride', 'firstExample'],
    buffers: {
      tables: read('array<i32>'),
      labels: read('array<u32>'),
      z: read('array<i32>'),
      softmax: read('array<vec2<i32>>'),
      errorsLow: write('array<u32>'),
      errorsHigh: write('array<u32>'),
    },
    code: [
      LABEL_OF,
      EXP2_NEGATIVE,
      STORE_QUAD,
      quadMain(`
  if (unit >= ${classes}u) { return; }
  var errors = vec4<i32>();
  for (var place = 0u; place < 4u; place++) {
    let example = 4u * group.y + place;
    if (example >= params.rows) { break; }
    let top = softmax[example].x;
    let sum = u32(softmax[example].y);
    let weight = exp2Negative(u32(top - z[example * ${classes}u + unit] * ${logitScale}));
    let share = (weight * ${2 ** PROBABILITY_BITS}u + (sum >> 1u)) / sum; // below 2^32
    let goal = select(0, ${2 ** PROBABILITY_BITS}, unit == labelOf(params.firstExample + example));
    errors[place] = i32(share) - goal;
  }
  storeQuad(unit * params.stride + params.firstQuad + group.y, errors);`),
    ],
  });
}

/**
 * Activations of a tile, transposed: an example a byte, zero past the last one.
 * Workgroups: (PROBE_SIZE words of a row each, quads).
 */
export function transposeKernel({
  inputs,
  depth,
}: Pick<LayerPlan, 'inputs' | 'depth'>): Kernel<'x' | 'transposed', ErrorParam | 'firstRow'> {
  const words = 4 * depth;
  return kernel({
    name: 'transpose',
    params: ['rows', 'firstQuad', 'stride', 'firstRow'],
    buffers: { x: read('array<u32>'), transposed: write('array<u32>') },
    code: [
      quadMain(`
  if (unit >= ${words}u) { return; }
  var examples = vec4<u32>(); // of each, four neighbouring activations
  for (var place = 0u; place < 4u; place++) {
    let example = 4u * group.y + place;
    if (example < params.rows) { examples[place] = x[(params.firstRow + example) * ${words}u + unit]; }
  }
  for (var place = 0u; place < 4u; place++) {
    let input = 4u * unit + place;
    if (input >= ${inputs}u) { break; }
    let bytes = (examples >> vec4<u32>(8u * place)) & vec4<u32>(255u);
    transposed[input * params.stride + params.firstQuad + group.y] =
      bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
  }`),
    ],
  });
}

function quadMain(body: string): string {
  return `
@compute @workgroup_size(${PROBE_SIZE})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let unit = group.x * ${PROBE_SIZE}u + thread;
${body}
}`;
}
