/** The cross-entropy of a batch with the softmax to the base 2 that the integer model has, in float32. */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { withGradient } from '../../backprop/gradient.js';
import type { SteOp } from '../ste.js';
import { LOSS_BITS } from './op.js';

export const lossSte: SteOp<'loss'> = ({ attributes: { logitScale } }, at) => {
  const { loss, losses, hits } = crossEntropy(at.input(0), at.labels, logitScale / 2 ** LOSS_BITS);
  return [loss, losses, hits];
};

/** Loss and hits of a batch. */
export interface BatchLoss {
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
export function crossEntropy(logits: tf.Tensor2D, labels: tf.Tensor1D, octaves: number): BatchLoss {
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
export function oneHot(tokens: tf.Tensor1D, vocabulary: number): tf.Tensor2D {
  return tf.cast(tf.oneHot(tokens, vocabulary), 'float32') as tf.Tensor2D;
}
