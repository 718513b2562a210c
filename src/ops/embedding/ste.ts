/** Rows of the embedding by byte, in TensorFlow.js: the table is rescaled once, and not each row that is read. */

import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../../backprop/gradient.js';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { EMBEDDING_SHIFT } from '../../ternary/units.js';
import { oneHot } from '../loss/ste.js';
import { addToStream } from '../residual/ste.js';
import type { SteOp } from '../ste.js';

export const embeddingSte: SteOp<'embedding'> = ({ attributes: { scale } }, at) => {
  const { multiplier, shift } = at.rescaling(scale);
  const table = addToStream(null, at.tensor(0), { multiplier: multiplier * 2 ** EMBEDDING_SHIFT, shift });
  return [embed(table, at.input<tf.Tensor1D>(0))];
};

/**
 * x[R, W] = table[token].
 * @param table - [V, W]
 * @param tokens - [R] int32, below V
 */
export function embed(table: tf.Tensor2D, tokens: tf.Tensor1D): tf.Tensor2D {
  const [vocabulary] = table.shape;
  return withGradient<tf.Tensor2D>(
    [table],
    () => ({
      value: runFused<tf.Tensor2D>(FUSED.embed, { table, tokens }) ?? tf.gather(table, tokens),
    }),
    (dx) => [
      runFused(FUSED.embedGradient, { dx, tokens }, { vocabulary }) ??
        tf.matMul(tf.transpose(oneHot(tokens, vocabulary)), dx),
    ],
  );
}
