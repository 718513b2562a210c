/** Cross-entropy in fixed point, one thread a row of logits; see src/ops/loss/op.ts. */

import { LOSS_BITS } from '../../../ops/loss/op.js';
import { EXP2, LOG2, WEIGHT_BITS } from '../../../ops/loss/tables.js';
import type { Network } from '../../../ternary/builders/perceptron.js';
import { type Kernel, kernel, linearMain, read, write } from './kernel.js';

/** Threads of a workgroup. */
export const LOSS_SIZE = 64;

/** The two tables, one after the other, as `tables` takes them. */
export function lossTables(): Int32Array<ArrayBuffer> {
  return Int32Array.of(...EXP2, ...LOG2);
}

/** `exp2Negative(exponent)` from `tables`. */
export const EXP2_NEGATIVE = `
fn exp2Negative(exponent: u32) -> u32 {
  let whole = exponent >> 16u;
  if (whole > ${WEIGHT_BITS}u) { return 0u; }
  let index = (exponent >> 8u) & 255u;
  let high = u32(tables[index]);
  let step = high - u32(tables[index + 1u]);
  return (high - ((step * (exponent & 255u) + 128u) >> 8u)) >> whole;
}`;

const LOG2_FIXED = `
fn log2Fixed(value: u32) -> i32 {
  let whole = firstLeadingBit(value);
  let fraction = ((value << (31u - whole)) >> 15u) & 0xffffu; // without the leading one
  let index = ${EXP2.length}u + (fraction >> 8u);
  let low = tables[index];
  let step = tables[index + 1u] - low;
  return i32(whole) * ${2 ** LOSS_BITS} + low + ((step * i32(fraction & 255u) + 128) >> 8u);
}`;

/** `labelOf(example)` from `labels`, four to a word. */
export const LABEL_OF = `
fn labelOf(example: u32) -> u32 { return (labels[example >> 2u] >> (8u * (example & 3u))) & 255u; }`;

type LossParam = 'count' | 'firstExample' | 'copies' | 'examples' | 'firstResult';

/**
 * Losses of rows 0…count − 1 of `z`; row r belongs to example firstExample + ⌊r / copies⌋ mod examples.
 * Workgroups: linear, LOSS_SIZE rows each.
 * @param whole - also writes each row's prediction, and the exponent and sum that `exactErrors` takes
 */
export function lossKernel(
  { widths, logitScale }: Pick<Network, 'widths' | 'logitScale'>,
  whole: boolean,
): Kernel<'tables' | 'labels' | 'z' | 'losses' | 'predictions' | 'softmax', LossParam> {
  const classes = widths.at(-1) as number;
  return kernel({
    name: whole ? 'loss' : 'lossAlone',
    params: ['count', 'firstExample', 'copies', 'examples', 'firstResult'],
    buffers: {
      tables: read('array<i32>'),
      labels: read('array<u32>'),
      z: read('array<i32>'),
      losses: write('array<i32>'),
      predictions: write('array<u32>'),
      softmax: write('array<vec2<i32>>'),
    },
    code: [
      EXP2_NEGATIVE,
      LOG2_FIXED,
      LABEL_OF,
      linearMain(
        LOSS_SIZE,
        `
  if (item >= params.count) { return; }
  let at = item * ${classes}u;
  var best = 0u;
  var largest = z[at];
  for (var c = 1u; c < ${classes}u; c++) {
    if (z[at + c] > largest) { largest = z[at + c]; best = c; }
  }
  let top = largest * ${logitScale};
  var sum = 0u; // 2^20 ≤ sum ≤ 256·2^20
  for (var c = 0u; c < ${classes}u; c++) { sum += exp2Negative(u32(top - z[at + c] * ${logitScale})); }
  let label = labelOf(params.firstExample + (item / params.copies) % params.examples);
  let result = params.firstResult + item;
  losses[result] = log2Fixed(sum) - ${WEIGHT_BITS * 2 ** LOSS_BITS} + top - z[at + label] * ${logitScale};
  ${whole ? 'predictions[result] = best; softmax[item] = vec2<i32>(top, i32(sum));' : ''}`,
      ),
    ],
  });
}
