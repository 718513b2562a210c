/**
 * Threads that take parts of the ste trainer's batches of text. Each has a TensorFlow.js of its own on the wasm
 * backend; weights and gradients go through shared memory. Only for Node.
 */

import { Worker } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import type { Transformer } from '../ternary/transformer.js';
import { shapeOf } from '../ternary/transformer.js';
import type { GradientJob, GradientStart } from './gradient-thread.js';
import type { Matrices } from './transformer-pass.js';
import type { GradientHelpers, PartGradients } from './window-gradients.js';

/** Loss and hits of each part that a thread took, in order. */
type Results = readonly Omit<PartGradients, 'gradients'>[];

/** A thread, and the parts of each batch that it takes. */
interface GradientThread {
  readonly worker: Worker;
  readonly parts: number;
  /** Of each part, gradients of all matrices one after another. */
  readonly gradients: readonly Float32Array[];
}

/**
 * Starts threads.
 * @param shards - parts of a batch
 * @param threads - that share them out, the caller's among them
 * @returns null where the caller takes them all
 * @throws {Error} when a thread cannot be started
 */
export async function startGradientThreads(
  model: Transformer,
  shards: number,
  threads: number,
): Promise<GradientHelpers | null> {
  const count = Math.min(threads, shards) - 1;
  if (count < 1) return null;
  const matrices = model.tensors.slice(0, -1);
  const size = matrices.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const shared = () => new Float32Array(new SharedArrayBuffer(4 * size));
  const weights = shared();
  // The caller takes the first parts, and as many as anybody.
  const ends = Array.from({ length: count + 2 }, (_, i) => Math.ceil((i * shards) / (count + 1)));
  const started = await Promise.all(
    Array.from({ length: count }, (_, i) => {
      const gradients = Array.from({ length: ends[i + 2] - ends[i + 1] }, shared);
      return startThread({ shape: shapeOf(model), weights, gradients, shards });
    }),
  );
  return new ThreadedGradients(model, weights, started);
}

async function startThread(start: GradientStart): Promise<GradientThread> {
  const worker = new Worker(new URL('./gradient-thread.js', import.meta.url), { workerData: start });
  await answerOf(worker);
  worker.unref(); // the process may end while it waits
  return { worker, parts: start.gradients.length, gradients: start.gradients };
}

/** The next message of a worker. */
function answerOf<Answer>(worker: Worker): Promise<Answer> {
  return new Promise((resolve, reject) => {
    worker.ref();
    worker.once('error', reject);
    worker.once('message', (answer: Answer) => {
      worker.off('error', reject);
      worker.unref();
      resolve(answer);
    });
  });
}

class ThreadedGradients implements GradientHelpers {
  readonly parts: number;
  #answers: Promise<Results>[] = [];

  constructor(
    readonly model: Transformer,
    readonly weights: Float32Array,
    readonly threads: readonly GradientThread[],
  ) {
    this.parts = threads.reduce((sum, { parts }) => sum + parts, 0);
  }

  start({ weights, scales }: Matrices, windows: readonly Uint8Array[], length: number): void {
    weights.forEach((matrix, i) => this.weights.set(matrix.dataSync(), this.model.tensors[i].offset));
    let first = 0;
    this.#answers = this.threads.map(({ worker, parts }) => {
      const job: GradientJob = { scales, windows: windows.slice(first, first + parts), length };
      first += parts;
      const answer = answerOf<Results>(worker);
      worker.postMessage(job);
      return answer;
    });
  }

  async finish(): Promise<PartGradients[]> {
    const results = await Promise.all(this.#answers);
    return this.threads.flatMap(({ gradients }, thread) =>
      gradients.map((values, part) => ({
        ...results[thread][part],
        gradients: this.model.tensors.slice(0, -1).map(({ rows, columns, offset }) => {
          return tf.tensor2d(values.slice(offset, offset + rows * columns), [rows, columns]);
        }),
      })),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.threads.map(({ worker }) => worker.terminate()));
  }
}
