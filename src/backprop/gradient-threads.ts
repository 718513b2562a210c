/**
 * Threads that take parts of the ste trainer's batches. Each has a TensorFlow.js of its own on the wasm backend;
 * weights and gradients go through shared memory. Only for Node.
 */

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import type { Batch } from '../backend/batch.js';
import { BackendError, printable } from '../errors.js';
import type { Graph } from '../ternary/graph.js';
import type { GradientJob, GradientStart } from './gradient-thread.js';
import type { Integers } from './ops.js';
import { type GradientHelpers, matricesOf, type PartGradients } from './part-gradients.js';
import type { TensorflowBackend } from './tensorflow.js';

/** Loss and hits of each part that a thread took, in order. */
type Results = readonly Omit<PartGradients, 'gradients'>[];

/**
 * Starts threads.
 * @param shards - parts of a batch
 * @param threads - that share them out, the caller's among them
 * @returns null where the caller takes them all
 * @throws {BackendError} when a thread cannot be started; none is left then
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
  const started = Array.from({ length: count }, (_, i) => {
    const gradients = Array.from({ length: ends[i + 2] - ends[i + 1] }, shared);
    return new GradientThread({ graph: plain(graph), values, gradients, shards });
  });
  try {
    await Promise.all(started.map((thread) => thread.answer())); // that they are ready
  } catch (error) {
    await Promise.all(started.map((thread) => thread.stop()));
    throw error;
  }
  return new ThreadedGradients(graph, values, started);
}

/**
 * The threads that are worth having on a backend. Each has a TensorFlow.js of its own, and only that of the CPU is
 * worth having twice.
 * @param threads - that share out the parts of a batch, the caller's among them
 */
export async function helpersOn(
  { name }: Pick<TensorflowBackend, 'name'>,
  graph: Graph,
  { shards = 1 }: { readonly shards?: number },
  threads = availableParallelism(),
): Promise<GradientHelpers | null> {
  return name === 'wasm' ? startGradientThreads(graph, shards, threads) : null;
}

/** What a thread needs of a graph. */
function plain(graph: Graph): Graph {
  const { name, description, slots, program, rows, context, tensors, parameters } = graph;
  const { scaling, fanIns, applications, initial } = graph;
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
    initial,
  };
}

/** A thread, and the parts of each batch that it takes. */
class GradientThread {
  readonly parts: number;
  /** Of each part, gradients of all values in model order. */
  readonly gradients: readonly Float32Array[];
  readonly #worker: Worker;
  /** Who waits for its next message. */
  #waiting: { resolve(answer: unknown): void; reject(fault: BackendError): void } | null = null;
  #fault: BackendError | null = null;

  constructor(start: GradientStart) {
    this.parts = start.gradients.length;
    this.gradients = start.gradients;
    this.#worker = new Worker(new URL('./gradient-thread.js', import.meta.url), { workerData: start });
    this.#worker.on('message', (answer: unknown) => {
      this.#worker.unref(); // the process may end while it waits
      this.#waiting?.resolve(answer);
    });
    this.#worker.on('error', (error) => this.#end(String(error)));
    this.#worker.on('exit', (code) => this.#end(`exit code ${code}`));
  }

  /** Gives it a job. */
  post(job: GradientJob): void {
    this.#worker.postMessage(job);
  }

  /**
   * Its next message.
   * @throws {BackendError} when it ends without one, or has ended
   */
  answer<Answer>(): Promise<Answer> {
    if (this.#fault) return Promise.reject(this.#fault);
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve: resolve as (answer: unknown) => void, reject };
    });
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  #end(reason: string): void {
    this.#fault ??= new BackendError(
      `"threads" expected threads that compute gradients to the end, but one ended: ${printable(reason)}: use fewer`,
    );
    this.#waiting?.reject(this.#fault);
  }
}

class ThreadedGradients implements GradientHelpers {
  readonly parts: number;
  #answers: Promise<Results[]> | null = null;

  constructor(
    readonly graph: Graph,
    readonly values: Float32Array,
    readonly threads: readonly GradientThread[],
  ) {
    this.parts = threads.reduce((sum, { parts }) => sum + parts, 0);
  }

  start({ tensors, scales }: Integers, parts: readonly Batch[]): void {
    if (this.#answers) throw new BackendError('a step was not finished: its threads are of no more use');
    tensors.forEach((tensor, i) => {
      if (tensor) this.values.set(tensor.dataSync(), this.graph.tensors[i].offset);
    });
    let first = 0;
    const answers = this.threads.map((thread) => {
      const job: GradientJob = { scales, parts: parts.slice(first, first + thread.parts).map(copied) };
      first += thread.parts;
      const answer = thread.answer<Results>();
      thread.post(job);
      return answer;
    });
    this.#answers = Promise.all(answers);
    this.#answers.catch(() => {}); // told by `finish`, however late that is
  }

  async finish(): Promise<PartGradients[]> {
    if (!this.#answers) throw new Error('finish is called after start');
    let results: Results[];
    try {
      results = await this.#answers;
    } catch (error) {
      await this.stop(); // the others may be at work on a step that is over
      throw error;
    }
    this.#answers = null;
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
    await Promise.all(this.threads.map((thread) => thread.stop()));
  }
}

/** A batch of its own arrays: a view would be sent with all that it is a view of. */
function copied({ inputs, labels, length }: Batch): Batch {
  return { inputs: inputs.slice(), labels: labels.slice(), length };
}
