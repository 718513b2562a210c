/**
 * How an operation is run on the GPU: its kernels and how they are dispatched are in webgpu.ts of its folder in
 * src/ops, and what training alone needs of it in webgpu-training.ts. This is what they can ask for.
 */

import type { DirectionSet } from '../../random/directions.js';
import type { AnyOp, Graph, Op, OpName, Probe } from '../../ternary/graph.js';
import type { DeviceBuffer, WebgpuDevice } from './device.js';
import type { PlacedTensor } from './plan.js';
import type { Recorder } from './recorder.js';

/** Rows of a slot: `rows` of them from `first` on, which begin again past the last. */
export interface Source {
  readonly buffer: DeviceBuffer;
  readonly first: number;
  readonly rows: number;
}

/** Rows that go through operations together. */
export interface Rows {
  /** All of them; disturbed copies follow one another, as many rows each as there are examples. */
  readonly rows: number;
  readonly examples: number;
  /** Index in the batch of the first example. */
  readonly first: number;
  /** Positions of a window, and that of a window's first row. */
  readonly length: number;
  readonly start: number;
  /** Undisturbed rows of a batch, disturbed copies of them, or the next row of a window that grows. */
  readonly kind: 'batch' | 'copies' | 'next';
}

/** What an operation is recorded with. */
export interface Pass extends Rows {
  readonly graph: Graph;
  readonly device: WebgpuDevice;
  readonly recorder: Recorder;
  /** Values of all tensors. */
  readonly weights: DeviceBuffer;
  /** [batch], four to a word. */
  readonly labels: DeviceBuffer;
  /** The operations that are computed with this one: those that it has claimed by `absorbs`. */
  readonly absorbed: readonly AnyOp[];
  /** Of the operations' inputs, in their order. */
  input(i: number): Source;
  output(i: number): Source;
  tensor(i: number): PlacedTensor;
  /** Any tensor of the model, by its index. */
  placed(tensor: number): PlacedTensor;
  /** Constants, which all that name them share. */
  table(name: string, make: () => Int32Array<ArrayBuffer>): DeviceBuffer;
  /** Room for so many words a row that this operation leaves, for training. */
  kept(name: string, words: number): DeviceBuffer;
  /** Room for words that stay from one row of a growing window to the next. */
  state(name: string, words: number): DeviceBuffer;
  /** Room for words that are of use while an operation runs. */
  work(name: string, words: number): DeviceBuffer;
}

/** What runs an operation. */
export interface Recipe<N extends OpName> {
  record(op: Op<N>, at: Pass): void;
  /**
   * Claims an operation whose output it alone reads: its kernel then reads that one's inputs, and the output is never
   * stored. All of its inputs are claimed, or none.
   */
  absorbs?(op: Op<N>, before: AnyOp): boolean;
}

/** By operation. */
export type Recipes = { readonly [N in OpName]?: Recipe<N> };

/** Errors of an operation's outputs, in two planes of bytes, transposed: four rows to a word. */
export interface Errors {
  readonly errorsLow: DeviceBuffer;
  readonly errorsHigh: DeviceBuffer;
  /** Room for the operation's inputs, transposed alike. */
  readonly inputs: DeviceBuffer;
  /** Words of a unit. */
  readonly stride: number;
}

/** Probes of sums, for whoever disturbs them by itself. */
export interface Disturbance {
  readonly undisturbed: Pass;
  readonly signs: DeviceBuffer;
  readonly firstProbe: number;
  readonly sigma: number;
}

/** What training needs of an operation. */
export interface Training<N extends OpName> {
  /** Adds errors times inputs to the sums of the weights of a batch, in the model's order. */
  align?(op: Op<N>, at: Pass, errors: Errors, sums: DeviceBuffer): void;
  /**
   * Adds them to a set's directions, from word `first` on, each sum rounded: for a tensor that nothing else reads, and
   * rows that are the whole batch. It saves sums of the size of the weights.
   */
  alignSet?(
    op: Op<N>,
    at: Pass,
    errors: Errors,
    set: DirectionSet,
    alignments: DeviceBuffer,
    first: number,
  ): void;
  /** Writes the errors of its inputs in closed form. */
  exactErrors?(op: Op<N>, at: Pass, errors: Errors): void;
  /** Claims probes of its inputs: outputs of copies come right from undisturbed sums, and the copies' are never stored. */
  readonly disturb?: {
    claims(op: Op<N>, probe: Probe): boolean;
    record(op: Op<N>, at: Pass, disturbance: Disturbance): void;
  };
}

/** By operation. */
export type Trainings = { readonly [N in OpName]?: Training<N> };
