/**
 * What an operation is to those who execute or check programs. Its folder has everything there is about it: this
 * interface is its definition in plain TypeScript, which the reference backend runs and all others must equal.
 */

import type { Graph, Op, OpName } from '../ternary/graph.js';
import type { Tensor } from '../ternary/model.js';

/** Values of a slot, row by row. */
export type Values = Uint8Array | Int8Array | Int32Array;

/** What an operation sees of the rows that a program is run on. */
export interface Interpreter {
  /** Rows that see each other: 1, or the positions of a window. */
  readonly rows: number;
  /** Position of the first row in its window. */
  readonly position: number;
  /** [rows] */
  readonly labels: Uint8Array;
  /** [rows, width] of the operation's i-th input. */
  input<V extends Values = Int32Array>(i: number): V;
  /** [rows, width] of the operation's i-th output, zeros at first. */
  output<V extends Values = Int32Array>(i: number): V;
  /** Values of the operation's i-th tensor. */
  tensor(i: number): Int8Array;
  /** What the operation keeps from one run to the next: tables, keys and values of the positions before. */
  keep<Kept>(make: () => Kept): Kept;
}

/** The definition of an operation. */
export interface OpSpec<N extends OpName> {
  /**
   * Proves that no intermediate value leaves 32 bits.
   * @param limits - the largest magnitude of each input
   * @returns that of each output, probes included
   * @throws {RangeError} naming the bound that does not hold
   */
  bound(op: Op<N>, limits: readonly number[], graph: Graph): readonly number[];
  /** Computes the outputs of all rows. */
  run(op: Op<N>, at: Interpreter): void;
  /**
   * Adds what the errors of the outputs say of the weights: Σ error · input.
   * @param errors - [rows, units]
   * @param alignments - [weights of the first tensor]
   */
  align?(op: Op<N>, at: Interpreter, errors: Int16Array, alignments: Int32Array): void;
}

/** A row of values that are stored row by row. */
export function rowOf<V extends Values | Int16Array>(values: V, row: number, width: number): V {
  return values.subarray(row * width, (row + 1) * width) as V;
}

/** @throws {RangeError} when a magnitude may leave 32 bits */
export function requireBelow(what: string, magnitude: number, limit = 2 ** 31): void {
  if (magnitude < limit) return;
  throw new RangeError(`${what} expected magnitudes below ${limit}, got up to ${magnitude}`);
}

/** The tensor that an operation reads. */
export function tensorOf(graph: Graph, op: Op, i = 0): Tensor {
  return graph.tensors[op.tensors[i]];
}
