/**
 * Causal attention with an integer softmax, three kernels: scores, their weights, and the mix of values. Row r has
 * position start + r mod length, and sees the keys of its window, which begin at row keysFrom + ⌊r / length⌋ · length.
 * Of queries, keys and values there may be fewer rows, which then serve over and over.
 * `scores` is [rows at hand, heads, context]: rows from firstRow on, `rows` of them, so that it stays small.
 */

import { EXPONENT_BITS, OCTAVE_BITS, SOFTMAX_BITS } from '../../../ops/attention/op.js';
import { HEAD_BITS, I8_MAX, MIX_BITS } from '../../../ternary/units.js';
import { type Kernel, kernel, linearMain, read, write } from './kernel.js';
import { ROUNDING } from './rounding.js';
import { ITEMS } from './transformer.js';

export type AttentionParam =
  | ('firstRow' | 'rows' | 'start' | 'length' | 'context')
  | ('keysFrom' | 'queryRows' | 'keyRows' | 'valueRows')
  | ('heads' | 'keyHeads' | 'headSize' | 'factor' | 'range' | 'shift' | 'words');

export const ATTENTION_PARAMS = [
  ...['firstRow', 'rows', 'start', 'length', 'context'],
  ...['keysFrom', 'queryRows', 'keyRows', 'valueRows'],
  ...['heads', 'keyHeads', 'headSize', 'factor', 'range', 'shift', 'words'],
] as AttentionParam[];

const PLACES = `
fn positionOf(row: u32) -> u32 { return params.start + row % params.length; }
// Where the window of a row begins, among so many rows.
fn windowOf(row: u32, rows: u32) -> u32 {
  return params.keysFrom + ((row / params.length) * params.length) % rows;
}
fn keyOffset(head: u32) -> u32 { return (head * params.keyHeads) / params.heads * params.headSize; }`;

/** Items: rows × heads × context; those past a row's position do nothing. */
export function scoresKernel(): Kernel<'q' | 'keys' | 'scores', AttentionParam> {
  return kernel({
    name: 'scores',
    params: ATTENTION_PARAMS,
    buffers: { q: read('array<i32>'), keys: read('array<i32>'), scores: write('array<i32>') },
    code: [
      PLACES,
      linearMain(
        ITEMS,
        `
  if (item >= params.rows * params.heads * params.context) { return; }
  let other = item % params.context;
  let head = (item / params.context) % params.heads;
  let row = params.firstRow + item / (params.context * params.heads);
  if (other > positionOf(row)) { return; }
  let query = ((row % params.queryRows) * params.heads + head) * params.headSize;
  let key = (windowOf(row, params.keyRows) + other) * params.keyHeads * params.headSize + keyOffset(head);
  var score = 0;
  for (var i = 0u; i < params.headSize; i++) { score += q[query + i] * keys[key + i]; }
  scores[item] = score;`,
      ),
    ],
  });
}

/** Scores to weights, in place, and their totals. Items: rows × heads. */
export function weightsKernel(): Kernel<'scores' | 'softmax' | 'totals', AttentionParam> {
  return kernel({
    name: 'weights',
    params: ATTENTION_PARAMS,
    buffers: { scores: write('array<i32>'), softmax: read('array<i32>'), totals: write('array<i32>') },
    code: [
      ROUNDING,
      PLACES,
      linearMain(
        ITEMS,
        `
  if (item >= params.rows * params.heads) { return; }
  let row = params.firstRow + item / params.heads;
  let first = item * params.context;
  let end = first + positionOf(row) + 1u;
  var largest = scores[first];
  for (var at = first; at < end; at++) { largest = max(largest, scores[at]); }
  var total = 0;
  for (var at = first; at < end; at++) {
    let below = min(largest - scores[at], i32(params.range));
    let exponent = u32(roundShift(below * i32(params.factor), ${EXPONENT_BITS}u));
    let octaves = (exponent >> ${OCTAVE_BITS}u) + params.shift;
    var weight = 0;
    if (octaves <= ${SOFTMAX_BITS}u) { weight = softmax[exponent & ${2 ** OCTAVE_BITS - 1}u] >> octaves; }
    scores[at] = weight;
    total += weight;
  }
  totals[item] = total;`,
      ),
    ],
  });
}

/** Values by their weights. Items: rows × words of mix. */
export function mixKernel(): Kernel<'scores' | 'totals' | 'values' | 'mix', AttentionParam> {
  return kernel({
    name: 'mix',
    params: ATTENTION_PARAMS,
    buffers: {
      scores: read('array<i32>'),
      totals: read('array<i32>'),
      values: read('array<i32>'),
      mix: write('array<u32>'),
    },
    code: [
      ROUNDING,
      PLACES,
      linearMain(
        ITEMS,
        `
  if (item >= params.rows * params.words) { return; }
  let local = item / params.words;
  let row = params.firstRow + local;
  let width = params.heads * params.headSize;
  let stride = params.keyHeads * params.headSize;
  let count = positionOf(row) + 1u;
  var packed = 0u;
  for (var place = 0u; place < 4u; place++) {
    let unit = 4u * (item % params.words) + place;
    if (unit < width) {
      let head = unit / params.headSize;
      let weightsAt = (local * params.heads + head) * params.context;
      let value = windowOf(row, params.valueRows) * stride + keyOffset(head) + unit % params.headSize;
      var sum = 0;
      for (var other = 0u; other < count; other++) { sum += scores[weightsAt + other] * values[value + other * stride]; }
      let total = u32(totals[local * params.heads + head]);
      let mixed = clamp(roundDiv(sum * ${2 ** (MIX_BITS - HEAD_BITS)}, total), -${I8_MAX}, ${I8_MAX});
      packed |= (u32(mixed) & 255u) << (8u * place);
    }
  }
  mix[row * params.words + item % params.words] = packed;`,
      ),
    ],
  });
}
