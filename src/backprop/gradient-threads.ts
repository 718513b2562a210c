/**
 * Threads that take parts of the ste trainer's batches. Each has a TensorFlow.js of its own on the wasm backend;
 * weights and gradients go through shared memory. Only for Node.
 */

import { Worker } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import type { Batch } from '../backend/batch.js';
import type { Graph } from '../ternary/graph.js';
import type { GradientJob, GradientStart } from './gradient-thread.js';
import type { Integers } from './ops.js';
import { type GradientHelpers, matricesOf, type PartGradients } from './part-gradients.js';

/** Loss and hits of each part that a thread took, in order. */
type Results = readonly Omit<PartGradients, 'gradients'>[];

/** A thread, and the parts of each batch that it takes. */
interface GradientThread {
  readonly worker: Worker;
  readonly parts: number;
  /** Of each part, gradients of all values in model order. */
  readonly gradients: readonly Float32Array[];
}

/**
 * Starts threads.
 * @param shards - parts of a batch
 * @param threads - that share them out, the caller's among them
 * @returns null where the caller takes them all
 * @throws {Error} when a thread cannot be started; none is left then
 */
export async function startGradientThreads(
  graph: Graph,
  shards: number,
  threads: number,
): Promise<GradientHelpers | null> {
  const count = Math.min(threads, shards) - 1;
  if (count < 1) return null;
  const shared = () => new Float32Array(new SharedArrayBuffer(4 * graph.parameters));
  const values = shared();
  // The caller takes the first parts, and as many as anybody.
  const ends = Array.from({ length: count + 2 }, (_, i) => Math.ceil((i * shards) / (count + 1)));
  const started = await Promise.allSettled(
    Array.from({ length: count }, (_, i) => {
      const gradients = Array.from({ length: ends[i + 2] - ends[i + 1] }, shared);
      return startThread({ graph: plain(graph), values, gradients, shards });
    }),
  );
  const ready = started.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
  const failed = started.find((one) => one.status === 'rejected');
  if (!failed) return new ThreadedGradients(graph, values, ready);
  await Promise.all(ready.map(({ worker }) => worker.terminate()));
  throw failed.reason;
}

/** What a thread needs of a graph. */
function plain(graph: Graph): Graph {
  const { name, description, slots, program, rows, context, tensors, parameters } = graph;
  const { scaling, fanIns, applications } = graph;
  return {
    name,
    description,
    slots,
    program,
    rows,
    context,
    tensors,
    parameters,
    scaling,
    fanIns,
    applications,
  };
}

async function startThread(start: GradientStart): Promise<GradientThread> {
  const worker = new Worker(new URL('./gradient-thread.js', import.meta.url), { workerData: start });
  await answerOf(worker);
  return { worker, parts: start.gradients.length, gradients: start.gradients };
}

/** The next message of a worker; the process may end while it waits for work. */
function answerOf<Answer>(worker: Worker): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const settle = (run: () => void) => {
      worker.off('error', onError).off('exit', onExit).off('message', onMessage);
      worker.unref();
      run();
    };
    const onError = (error: Error) => settle(() => reject(error));
    const onExit = (code: number) =>
      settle(() =>
        reject(new Error(`a thread of the ste trainer ended with ${code} before it had answered`)),
      );
    const onMessage = (answer: Answer) => settle(() => resolve(answer));
    worker.ref();
    worker.on('error', onError).on('exit', onExit).on('message', onMessage);
  });
}

class ThreadedGradients implements GradientHelpers {
  readonly parts: number;
  #answers: Promise<PromiseSettledResult<Results>[]> = Promise.resolve([]);

  constructor(
    readonly graph: Graph,
    readonly values: Float32Array,
    readonly threads: readonly GradientThread[],
  ) {
    this.parts = threads.reduce((sum, { parts }) => sum + parts, 0);
  }

  start({ tensors, scales }: Integers, parts: readonly Batch[]): void {
    tensors.forEach((tensor, i) => {
      if (tensor) this.values.set(tensor.dataSync(), this.graph.tensors[i].offset);
    });
    let first = 0;
    const answers = this.threads.map(({ worker, parts: count }) => {
      const job: GradientJob = { scales, parts: parts.slice(first, first + count).map(copied) };
      first += count;
      const answer = answerOf<Results>(worker);
      worker.postMessage(job);
      return answer;
    });
    this.#answers = Promise.allSettled(answers); // looked at in `finish`, however late that is
  }

  async finish(): Promise<PartGradients[]> {
    const results = (await this.#answers).map((answer) => {
      if (answer.status === 'rejected') throw answer.reason;
      return answer.value;
    });
    return this.threads.flatMap(({ gradients }, thread) =>
      gradients.map((values, part) => ({
        ...results[thread][part],
        gradients: matricesOf(this.graph).map((index) => {
          const { rows, columns, offset } = this.graph.tensors[index];
          return tf.tensor2d(values.slice(offset, offset + rows * columns), [rows, columns]);
        }),
      })),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.threads.map(({ worker }) => worker.terminate()));
  }
}

/** A batch of its own arrays: a view would be sent with all that it is a view of. */
function copied({ inputs, labels, length }: Batch): Batch {
  return { inputs: inputs.slice(), labels: labels.slice(), length };
}
