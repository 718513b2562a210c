/** Cross-entropy over the softmax to the base 2 that the integer network has, in float32. */

import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from './gradient.js';

/**
 * Mean cross-entropy of a batch in nats, differentiable by the logits.
 * @param logits - [B, C] integers
 * @param targets - [B, C] one-hot
 * @param logitScale - binary exponent per unit of a logit, in 2⁻¹⁶
 */
export function crossEntropy(logits: tf.Tensor2D, targets: tf.Tensor2D, logitScale: number): tf.Scalar {
  const temperature = (logitScale * Math.LN2) / 65_536;
  return withGradient<tf.Scalar, [tf.Tensor]>(
    [logits],
    () => {
      const scaled = tf.mul(tf.sub(logits, tf.max(logits, 1, true)), temperature);
      const weights = tf.exp(scaled);
      const total = tf.sum(weights, 1, true);
      const own = tf.sum(tf.mul(scaled, targets), 1, true);
      const value = tf.mean(tf.sub(tf.log(total), own)) as tf.Scalar;
      return { value, saved: [tf.div(weights, total)] };
    },
    (dloss, probability) => [
      tf.mul(tf.sub(probability, targets), tf.mul(dloss, temperature / logits.shape[0])),
    ],
  );
}
