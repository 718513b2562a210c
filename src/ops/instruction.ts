/**
 * How an operation becomes an instruction of the wasm kernels: what its kernel reads beside slots and tensors, as the
 * words of its class in wasm.ts, and the room that it needs. Addresses are bytes in the shared memory, offsets bytes
 * in each thread's scratch.
 */

import type { Graph, Op, OpName } from '../ternary/graph.js';

/** What an operation can ask for where its instruction is made. */
export interface Encoding {
  readonly graph: Graph;
  /** The most rows of a tile. */
  readonly rows: number;
  /** Elements from one row of a slot to the next. */
  stride(slot: number): number;
  /** Whether a tensor's trits are stored as 0, 1, 2, and its inputs taken as i8. */
  signed(tensor: number): boolean;
  /** The address of a tensor's values. */
  values(tensor: number): number;
  /** The address of constants, which all that name them share. */
  table(name: string, make: () => Int16Array | Int32Array): number;
  /** The address of zeros at first, which stay from one row of a growing window to the next. */
  state(bytes: number): number;
  /** The offset of what the undisturbed pass leaves for what follows it. */
  kept(bytes: number): number;
  /** The offset of what is of use while a kernel runs. */
  work(name: string, bytes: number): number;
}

/** The words of an operation's class beyond those of every instruction. */
export type Encoder<N extends OpName> = (op: Op<N>, at: Encoding) => readonly number[];

/** By operation, its number in wasm.ts and what makes its words. */
export type Encoders = { readonly [N in OpName]?: readonly [number: number, encode: Encoder<N>] };

/** The address of a mantissa and its exponent. */
export function scaleAddress(
  op: Op<OpName & ('rescale' | 'residual' | 'rotary' | 'logits')>,
  at: Encoding,
): number {
  return at.values(op.tensors[0]) + 2 * op.attributes.scale;
}
