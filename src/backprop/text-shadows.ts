/**
 * The real shadow weights of a transformer, and the integers and scales that they stand for: matrices of trits by a
 * threshold quantizer, those of eight bits by the largest magnitude.
 */

import * as tf from '@tensorflow/tfjs-core';
import { LEVELS } from '../quantize/rules.js';
import type { Key } from '../random/philox.js';
import { scaleOfReal, type Transformer, unitsOf } from '../ternary/transformer.js';
import { gaussians, parameterOf } from './layers.js';
import { rescalingOf } from './ops/requantize.js';
import type { Parameter } from './optimizers/optimizer.js';
import { quantizerOf } from './quantizers/index.js';
import type { QuantizerName } from './quantizers/names.js';
import type { TextSteConfig } from './text-config.js';
import type { Matrices } from './transformer-pass.js';

/** Standard deviation of the embedding's first weights. */
const EMBEDDING_SIGMA = 0.5;
/** By so much is the head smaller at first than LeCun's rule has it: early logits are near zero. */
const HEAD_SHARE = 0.3;

/** Gaussian first weights, one parameter a matrix, in model order. */
export function shadowMatrices(model: Transformer, key: Key): Promise<Parameter[]> {
  const branches = 2 * model.order.length;
  return Promise.all(
    model.tensors.slice(0, -1).map(async ({ name, rows, columns }, index) => {
      // Matrices that write to the residual stream are smaller the more of them there are (GPT-2).
      const deeper = /\.(output|down)\./.test(name) ? branches : 1;
      const inputs = {
        'embedding.weight': EMBEDDING_SIGMA ** -2,
        'head.weight': columns / HEAD_SHARE ** 2,
      }[name];
      const values = gaussians(key, index, rows * columns, inputs ?? columns * deeper);
      const first = tf.tensor2d(values, [rows, columns]);
      const parameter = await parameterOf(name, first, true);
      first.dispose();
      return parameter;
    }),
  );
}

/**
 * Integers and scales of shadow weights; the matrices are the caller's to dispose.
 * @param rule - which quantizer makes trits
 */
export async function quantizeShadows(
  model: Transformer,
  parameters: readonly Parameter[],
  rule: Pick<TextSteConfig, 'quantizer' | 'threshold'>,
): Promise<Matrices & { readonly pairs: readonly (readonly [mantissa: number, exponent: number])[] }> {
  const matrices = model.tensors.slice(0, -1);
  const { weights, steps } = tf.tidy(() => {
    const all = matrices.map(({ values }, i) => {
      const shadow = parameters[i].variable as tf.Tensor as tf.Tensor2D;
      const name = values === 'trit' ? rule.quantizer : 'int8';
      const { weights: integers } = quantizerOf(name, rule.threshold).quantize(shadow);
      return { integers, step: stepOf(name, shadow, integers) };
    });
    return { weights: all.map(({ integers }) => integers), steps: tf.stack(all.map(({ step }) => step)) };
  });
  const reals = await steps.data();
  steps.dispose();
  const factors = unitsOf(model);
  const pairs = factors.map((factor, scale) => {
    return scaleOfReal(Math.max(Number.MIN_VALUE, reals[scale < reals.length ? scale : 0] * factor));
  });
  return { weights, pairs, scales: pairs.map(([mantissa, exponent]) => rescalingOf(mantissa, exponent)) };
}

/**
 * What one unit of a matrix's integers stands for: with absmean γ = mean|w| (BitNet b1.58), with other trits the mean
 * of |w| where they are not zero, which has the least squared error (TWN); of eight bits the largest magnitude's
 * 127th part.
 */
function stepOf(name: QuantizerName, shadow: tf.Tensor, integers: tf.Tensor): tf.Tensor {
  const size = tf.abs(shadow);
  if (name === 'int8') return tf.div(tf.max(size), LEVELS.int8);
  if (name === 'absmean') return tf.mean(size);
  const used = tf.abs(integers);
  return tf.divNoNan(tf.sum(tf.mul(size, used)), tf.sum(used));
}
