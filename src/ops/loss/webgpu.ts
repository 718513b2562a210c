/** Cross-entropy in fixed point, a thread a row of logits; op.ts defines it. */

import { itemKernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import { classesOf } from '../../ternary/graph.js';
import { LOSS_BITS } from './op.js';
import { EXP2, LOG2, WEIGHT_BITS } from './tables.js';

/** The two tables, one after the other, as `tables` takes them. */
export const lossTables = (): Int32Array<ArrayBuffer> => Int32Array.of(...EXP2, ...LOG2);

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

/**
 * Losses of rows 0…count − 1 of `z`; row r belongs to example firstExample + r mod examples. Items: `count`.
 * @param whole - also writes each row's prediction, and the exponent and sum that exact errors are made of
 */
function lossKernel(classes: number, logitScale: number, whole: boolean) {
  return itemKernel({
    name: whole ? 'loss' : 'lossAlone',
    params: ['firstExample', 'examples', 'firstResult'],
    buffers: {
      tables: read('array<i32>'),
      labels: read('array<u32>'),
      z: read('array<i32>'),
      losses: write('array<i32>'),
      predictions: write('array<u32>'),
      softmax: write('array<vec2<i32>>'),
    },
    code: [EXP2_NEGATIVE, LOG2_FIXED, LABEL_OF],
    body: `
  let at = item * ${classes}u;
  var best = 0u;
  var largest = z[at];
  for (var c = 1u; c < ${classes}u; c++) {
    if (z[at + c] > largest) { largest = z[at + c]; best = c; }
  }
  let top = largest * ${logitScale};
  var sum = 0u; // 2^20 ≤ sum ≤ 256·2^20
  for (var c = 0u; c < ${classes}u; c++) { sum += exp2Negative(u32(top - z[at + c] * ${logitScale})); }
  let label = labelOf(params.firstExample + item % params.examples);
  let result = params.firstResult + item;
  losses[result] = log2Fixed(sum) - ${WEIGHT_BITS * 2 ** LOSS_BITS} + top - z[at + label] * ${logitScale};
  ${whole ? 'predictions[result] = best; softmax[item] = vec2<i32>(top, i32(sum));' : ''}`,
  });
}

export const loss: Recipe<'loss'> = {
  record({ attributes: { logitScale } }, at): void {
    const classes = classesOf(at.graph);
    const whole = at.kind === 'batch';
    const { buffer: losses, first: firstResult } = at.output(0);
    at.recorder.runItems(
      `loss ${classes} ${logitScale} ${whole}`,
      () => lossKernel(classes, logitScale, whole),
      {
        ...{ tables: at.table('loss', lossTables), labels: at.labels, z: at.input(0).buffer, losses },
        ...{ predictions: at.output(1).buffer, softmax: at.kept('softmax', 2) },
      },
      { firstExample: at.first, examples: at.examples, firstResult },
      at.rows,
    );
  },
};
