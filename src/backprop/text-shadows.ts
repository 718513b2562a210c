/**
 * The real shadow weights of a transformer, and the integers and scales that they stand for: matrices of trits by
 * absmean (BitNet b1.58: w ≈ γ·trit, γ = mean|w|), those of eight bits by the largest magnitude.
 */

import * as tf from '@tensorflow/tfjs-core';
import { LEVELS } from '../quantize/rules.js';
import type { Key } from '../random/philox.js';
import type { Tensor } from '../ternary/network.js';
import { scaleOfReal, type Transformer, unitsOf } from '../ternary/transformer.js';
import { gaussians, parameterOf } from './layers.js';
import { rescalingOf } from './ops/requantize.js';
import type { Parameter } from './optimizers/optimizer.js';
import { quantizerOf } from './quantizers/index.js';
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

/** Integers and scales of shadow weights; the matrices are the caller's to dispose. */
export async function quantizeShadows(
  model: Transformer,
  parameters: readonly Parameter[],
): Promise<Matrices & { readonly pairs: readonly (readonly [mantissa: number, exponent: number])[] }> {
  const matrices = model.tensors.slice(0, -1);
  const { weights, steps } = tf.tidy(() => ({
    weights: matrices.map((tensor, i) => {
      const quantizer = quantizerOf(tensor.values === 'trit' ? 'absmean' : 'int8', 0);
      return quantizer.quantize(parameters[i].variable as tf.Tensor as tf.Tensor2D).weights;
    }),
    steps: tf.stack(matrices.map((tensor, i) => stepOf(tensor, parameters[i].variable))),
  }));
  const reals = await steps.data();
  steps.dispose();
  const factors = unitsOf(model);
  const pairs = factors.map((factor, scale) => {
    return scaleOfReal(Math.max(Number.MIN_VALUE, reals[scale < reals.length ? scale : 0] * factor));
  });
  return { weights, pairs, scales: pairs.map(([mantissa, exponent]) => rescalingOf(mantissa, exponent)) };
}

/** What one unit of a matrix's integers stands for: γ, or the largest magnitude's 127th part. */
function stepOf({ values }: Tensor, shadow: tf.Tensor): tf.Tensor {
  if (values === 'trit') return tf.mean(tf.abs(shadow));
  return tf.div(tf.max(tf.abs(shadow)), LEVELS.int8);
}
