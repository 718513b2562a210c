/**
 * What an operation is to the ste trainer: the same integers in TensorFlow.js's float32, with a gradient that passes
 * through the roundings. Each operation's is in the ste.ts of its folder, which only src/backprop imports.
 */

import type * as tf from '@tensorflow/tfjs-core';
import type { Graph, Op, OpName } from '../ternary/graph.js';

/** A scale of the model: value = roundShift(sum · multiplier, shift), |sum · multiplier| < 2^30. */
export interface Rescaling {
  readonly multiplier: number;
  readonly shift: number;
}

/** What an operation sees of the rows that a program is run on. */
export interface StePass {
  readonly graph: Graph;
  /** Rows that see each other; windows of so many follow one another. */
  readonly length: number;
  /** [rows] int32. */
  readonly labels: tf.Tensor1D;
  /** [rows, width] integers in float32 of the operation's i-th input; bytes are [rows] int32. */
  input<T extends tf.Tensor = tf.Tensor2D>(i: number): T;
  /** Integers in float32 of the operation's i-th tensor. */
  tensor<T extends tf.Tensor = tf.Tensor2D>(i: number): T;
  /** A row of the model's scales. */
  rescaling(scale: number): Rescaling;
  /** Tensors that are made once under a name, and freed with the pass. */
  keep<Kept extends Record<string, tf.Tensor>>(name: string, make: () => Kept): Kept;
}

/** Computes an operation's outputs; differentiable by its inputs and tensors. */
export type SteOp<N extends OpName> = (op: Op<N>, at: StePass) => readonly tf.Tensor[];
