/**
 * Both ends of a transformer: rows of the embedding by token, and the cross-entropy over tokens with
 * the softmax to the base 2 that the integer network has, in float32.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../kernels/fused.js';
import { withGradient } from './gradient.js';

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

/** Loss and hits of a batch. */
export interface TokenLoss {
  /** Mean cross-entropy in nats, differentiable by the logits. */
  readonly loss: tf.Scalar;
  /** [R] in nats. */
  readonly losses: tf.Tensor1D;
  /** [R], 1 where the first of the largest logits is the label. */
  readonly hits: tf.Tensor1D;
}

/**
 * Cross-entropy of predictions.
 * @param logits - [R, V] integers
 * @param labels - [R] int32
 * @param octaves - binary exponent of the softmax per unit of a logit
 */
export function tokenLoss(logits: tf.Tensor2D, labels: tf.Tensor1D, octaves: number): TokenLoss {
  const [rows, vocabulary] = logits.shape;
  const [shares, own, sums, hits] =
    runFused<tf.Tensor[]>(FUSED.softmax, { logits, labels }, { octaves }) ?? softmax(logits, labels, octaves);
  const losses = tf.sub(tf.log(sums), tf.mul(own, Math.LN2)) as tf.Tensor1D;
  const loss = withGradient<tf.Scalar, [tf.Tensor, tf.Tensor1D]>(
    [logits],
    () => ({ value: tf.mean(losses), saved: [shares, labels] }),
    (dloss, probabilities, saved) => {
      const factor = (octaves * Math.LN2) / rows;
      const gradient =
        runFused<tf.Tensor2D>(FUSED.softmaxGradient, { probabilities, labels: saved }, { factor }) ??
        tf.mul(tf.sub(probabilities, oneHot(saved, vocabulary)), factor);
      return [tf.mul(gradient, dloss)];
    },
  );
  return { loss, losses, hits: hits as tf.Tensor1D };
}

function softmax(logits: tf.Tensor2D, labels: tf.Tensor1D, octaves: number): tf.Tensor[] {
  const exponents = tf.mul(tf.sub(logits, tf.max(logits, 1, true)), octaves * Math.LN2);
  const weights = tf.exp(exponents);
  const sums = tf.sum(weights, 1);
  const own = tf.div(tf.sum(tf.mul(exponents, oneHot(labels, logits.shape[1])), 1), Math.LN2);
  const right = tf.cast(tf.equal(tf.argMax(logits, 1), labels), 'float32');
  return [tf.div(weights, tf.reshape(sums, [-1, 1])), own, sums, right];
}

/** [R, V] in float32; tfjs-wasm writes integers whatever dtype `oneHot` is told. */
function oneHot(tokens: tf.Tensor1D, vocabulary: number): tf.Tensor2D {
  return tf.cast(tf.oneHot(tokens, vocabulary), 'float32') as tf.Tensor2D;
}
