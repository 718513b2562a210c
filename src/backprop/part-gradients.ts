/**
 * Loss and gradients of a part of a batch: what a step asks of every thread. The parts of a batch are taken apart
 * and their gradients added in order, so that the result does not depend on who computes which.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { Batch } from '../backend/batch.js';
import { batchTensors, type Integers, type SteProgram } from './ops.js';

/** What a part of a batch gives. */
export interface PartGradients {
  /** Mean loss of its rows in nats. */
  readonly loss: number;
  /** Rows whose prediction was right. */
  readonly hits: number;
  /** By the integers of each matrix, of the batch's mean loss; the caller's to dispose. */
  readonly gradients: readonly tf.Tensor[];
}

/** Computes the parts of batches that are not the caller's own. */
export interface GradientHelpers {
  /** Parts that they take, the last of a batch. */
  readonly parts: number;
  /** Begins with a batch's last parts. */
  start(integers: Integers, parts: readonly Batch[]): void;
  /** Waits for them, in order. */
  finish(): Promise<PartGradients[]>;
  stop(): Promise<void>;
}

/**
 * Gradients of a part.
 * @param parts - of the batch, all of one size
 */
export async function partGradients(
  program: SteProgram,
  { tensors, scales }: Integers,
  batch: Batch,
  parts: number,
): Promise<PartGradients> {
  const trained = matricesOf(program.graph);
  const [loss, hits, ...gradients] = tf.tidy(() => {
    const device = batchTensors(program.graph, batch);
    let right: tf.Tensor | undefined;
    const { value, grads } = tf.valueAndGrads((...given: tf.Tensor[]) => {
      const all = tensors.slice();
      trained.forEach((index, i) => (all[index] = given[i]));
      const result = program.loss({ tensors: all, scales }, device);
      right = tf.keep(tf.sum(result.hits)); // the tidy of `valueAndGrads` would take it away
      return result.loss;
    })(
      trained.map((index) => tensors[index] as tf.Tensor),
      tf.scalar(1 / parts),
    );
    return [value, right as tf.Tensor, ...grads];
  });
  const [lossValue] = await loss.data();
  const [hitCount] = await hits.data();
  tf.dispose([loss, hits]);
  return { loss: lossValue, hits: hitCount, gradients };
}

/** Indices of the tensors that a loss is differentiated by: all but scales. */
export function matricesOf({ tensors }: SteProgram['graph']): number[] {
  return [...tensors.keys()].filter((index) => tensors[index].values !== 'scale');
}

/** A batch in so many parts of one size. */
export function partsOf({ inputs, labels, length }: Batch, parts: number): Batch[] {
  const [size, rows] = [inputs.length / parts, labels.length / parts];
  return Array.from({ length: parts }, (_, i) => ({
    inputs: inputs.subarray(i * size, (i + 1) * size),
    labels: labels.subarray(i * rows, (i + 1) * rows),
    length,
  }));
}
