/** The thread that gradient-threads.ts starts: it waits for windows, and answers with their gradients. */

import { parentPort, workerData } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import { transformerOf, type TransformerShape } from '../ternary/transformer.js';
import type { Rescaling } from './ops/requantize.js';
import { openTensorflow } from './tensorflow.js';
import { TransformerPass } from './transformer-pass.js';
import { partGradients } from './window-gradients.js';

/** What a thread is told when it starts. */
export interface GradientStart {
  readonly shape: TransformerShape;
  /** Shared: integers of all matrices, one after another. */
  readonly weights: Float32Array;
  /** Shared: of each part that the thread takes, where its gradients go. */
  readonly gradients: readonly Float32Array[];
  /** Parts of a batch, all threads' together. */
  readonly shards: number;
}

/** What a thread is told of a batch. */
export interface GradientJob {
  readonly scales: readonly Rescaling[];
  /** Of each part, windows of length + 1 bytes. */
  readonly windows: readonly Uint8Array[];
  readonly length: number;
}

if (!parentPort) throw new Error('gradient-thread.js is started by gradient-threads.js');
const port = parentPort;
const { shape, weights, gradients, shards } = workerData as GradientStart;
await openTensorflow('wasm');
const model = transformerOf(shape);
const pass = new TransformerPass(model);
const tensors = model.tensors.slice(0, -1);

port.on('message', ({ scales, windows, length }: GradientJob) => {
  const matrices = tensors.map(({ rows, columns, offset }) => {
    return tf.tensor2d(weights.slice(offset, offset + rows * columns), [rows, columns]);
  });
  const results = windows.map((bytes, part) => {
    const result = partGradients(pass, { weights: matrices, scales }, bytes, length, shards);
    result.gradients.forEach((gradient, i) => gradients[part].set(gradient.dataSync(), tensors[i].offset));
    tf.dispose(result.gradients as tf.Tensor[]);
    return { loss: result.loss, hits: result.hits };
  });
  tf.dispose(matrices);
  port.postMessage(results);
});
port.postMessage('ready');
