/**
 * Loss and gradients of a part of a batch: what a step asks of every thread. The parts of a batch are taken
 * apart and their gradients added in order, so that the result does not depend on who computes which.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { Matrices, TransformerPass, WindowTensors } from './transformer-pass.js';

/** What a part of a batch gives. */
export interface PartGradients {
  /** Mean loss of its predictions in nats. */
  readonly loss: number;
  /** Predictions that were right. */
  readonly hits: number;
  /** By the integers of each matrix, of the batch's mean loss; the caller's to dispose. */
  readonly gradients: readonly tf.Tensor[];
}

/** Computes the parts of batches that are not the caller's own. */
export interface GradientHelpers {
  /** Parts that they take, the last of a batch. */
  readonly parts: number;
  /** Begins with a batch's last parts; [parts] windows of T + 1 bytes each. */
  start(matrices: Matrices, windows: readonly Uint8Array[], length: number): void;
  /** Waits for them, in order. */
  finish(): Promise<PartGradients[]>;
  stop(): Promise<void>;
}

/**
 * Gradients of a part.
 * @param windows - [windows, length + 1] bytes
 * @param parts - of the batch, all of one size
 */
export function partGradients(
  pass: TransformerPass,
  { weights, scales }: Matrices,
  windows: Uint8Array,
  length: number,
  parts: number,
): PartGradients {
  const [loss, hits, ...gradients] = tf.tidy(() => {
    const tensors = windowTensors(windows, length);
    let right: tf.Tensor | undefined;
    const { value, grads } = tf.valueAndGrads((...given: tf.Tensor[]) => {
      const result = pass.loss({ weights: given as tf.Tensor2D[], scales }, tensors);
      right = tf.keep(tf.sum(result.hits)); // the tidy of `valueAndGrads` would take it away
      return result.loss;
    })(weights as tf.Tensor[], tf.scalar(1 / parts));
    return [value, right as tf.Tensor, ...grads];
  });
  const numbers = { loss: loss.dataSync()[0], hits: hits.dataSync()[0] };
  tf.dispose([loss, hits]);
  return { ...numbers, gradients };
}

/** Windows of length + 1 bytes on the device. */
export function windowTensors(windows: Uint8Array, length: number): WindowTensors {
  const count = windows.length / (length + 1);
  const pick = (shift: number) => {
    const bytes = new Int32Array(count * length);
    for (let window = 0; window < count; window++) {
      const first = window * (length + 1) + shift;
      bytes.set(windows.subarray(first, first + length), window * length);
    }
    return tf.tensor1d(bytes, 'int32');
  };
  return { inputs: pick(0), labels: pick(1), length };
}
