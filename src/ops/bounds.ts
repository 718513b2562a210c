/** The proof that a program stays within 32 bits, whatever its inputs, weights and probes are. */

import type { AnyOp, Graph, Op, OpName, SlotKind } from '../ternary/graph.js';
import { OPS } from './index.js';
import type { OpSpec } from './op.js';

/** The largest magnitude that a slot of a kind can hold. */
const LARGEST: Readonly<Record<SlotKind, number>> = { byte: 255, u7: 127, i8: 127, i32: 2 ** 31 - 1 };

/**
 * Carries the largest magnitudes through a program.
 * @returns that of each slot
 * @throws {RangeError} naming the bound that does not hold
 * @example limitsOf(networkOf([784, 512, 10], options))[1] // 2 * 127 * 784
 */
export function limitsOf(graph: Graph): number[] {
  const limits = [LARGEST[graph.slots[0].kind]];
  for (const op of graph.program) {
    const outputs = specOf(op).bound(
      op,
      op.inputs.map((slot) => limits[slot]),
      graph,
    );
    for (const [i, slot] of op.outputs.entries()) {
      const most = LARGEST[graph.slots[slot].kind];
      if (outputs[i] > most)
        throw new RangeError(`${op.op} expected values up to ${most}, got ${outputs[i]}`);
      limits[slot] = outputs[i];
    }
  }
  return limits;
}

/** The definition of an operation. */
export function specOf<N extends OpName>(op: Op<N>): OpSpec<N>;
export function specOf(op: AnyOp): OpSpec<OpName>;
export function specOf(op: AnyOp): OpSpec<OpName> {
  return OPS[op.op] as unknown as OpSpec<OpName>;
}
