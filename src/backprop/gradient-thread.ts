/** The thread that gradient-threads.ts starts: it waits for parts of a batch, and answers with their gradients. */

import { parentPort, workerData } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import type { Batch } from '../backend/batch.js';
import type { Rescaling } from '../ops/ste.js';
import type { Graph } from '../ternary/graph.js';
import { SteProgram } from './ops.js';
import { matricesOf, partGradients } from './part-gradients.js';
import { openTensorflow } from './tensorflow.js';

/** What a thread is told when it starts. */
export interface GradientStart {
  readonly graph: Graph;
  /** Shared: the integers of all tensors in model order. */
  readonly values: Float32Array;
  /** Shared: of each part that the thread takes, where its gradients go. */
  readonly gradients: readonly Float32Array[];
  /** Parts of a batch, all threads' together. */
  readonly shards: number;
}

/** What a thread is told of a batch. */
export interface GradientJob {
  readonly scales: readonly Rescaling[];
  readonly parts: readonly Batch[];
}

if (!parentPort) throw new Error('gradient-thread.js is started by gradient-threads.js');
const port = parentPort;
const { graph, values, gradients, shards } = workerData as GradientStart;
await openTensorflow('wasm');
const program = new SteProgram(graph);
const matrices = matricesOf(graph);

async function work({ scales, parts }: GradientJob): Promise<void> {
  const tensors = graph.tensors.map(({ rows, columns, offset }, i) => {
    const own = values.slice(offset, offset + rows * columns);
    if (matrices.includes(i)) return tf.tensor2d(own, [rows, columns]);
    return i === graph.scaling?.tensor ? undefined : tf.tensor1d(own);
  });
  const results = [];
  for (const [part, batch] of parts.entries()) {
    const result = await partGradients(program, { tensors, scales }, batch, shards);
    for (const [i, gradient] of result.gradients.entries()) {
      gradients[part].set(gradient.dataSync(), graph.tensors[matrices[i]].offset);
    }
    tf.dispose(result.gradients as tf.Tensor[]);
    results.push({ loss: result.loss, hits: result.hits });
  }
  tf.dispose(tensors.filter((tensor) => tensor !== undefined));
  port.postMessage(results);
}

port.on('message', (job: GradientJob) => {
  work(job).catch((error: unknown) => {
    throw error; // ends the thread, which its owner notices
  });
});
port.postMessage('ready');
