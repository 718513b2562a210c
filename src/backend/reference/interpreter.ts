/**
 * Runs programs operation by operation, by the definitions in src/ops. Slots are written once, so a program can go
 * on from any operation with what was computed before it.
 */

import { specOf } from '../../ops/bounds.js';
import type { Interpreter, Values } from '../../ops/op.js';
import type { AnyOp, Graph, SlotKind } from '../../ternary/graph.js';
import { partOf } from '../latents.js';

/** Values of the slots that are known, [rows, width] each. */
export type Slots = (Values | undefined)[];

/** Rows that go through a program together. */
export interface Rows {
  readonly count: number;
  /** Position of the first in its window. */
  readonly position: number;
  readonly labels: Uint8Array;
}

const ARRAYS: Readonly<Record<SlotKind, new (length: number) => Values>> = {
  byte: Uint8Array,
  u7: Uint8Array,
  i8: Int8Array,
  i32: Int32Array,
};

export class ProgramRunner {
  readonly #kept = new Map<AnyOp, unknown>();

  constructor(readonly graph: Graph) {}

  /** Computes the slots of the operations from…end − 1 out of those before. */
  run(values: Int8Array, slots: Slots, rows: Rows, from = 0, end = this.graph.program.length): Slots {
    for (const op of this.graph.program.slice(from, end)) {
      for (const slot of op.outputs) {
        const { kind, width } = this.graph.slots[slot];
        slots[slot] = new ARRAYS[kind](rows.count * width);
      }
      specOf(op).run(op, this.#interpreter(op, values, slots, rows));
    }
    return slots;
  }

  /** Adds what the errors of an operation's sums say of the weights of its tensor. */
  align(op: AnyOp, slots: Slots, rows: Rows, errors: Int16Array, alignments: Int32Array): void {
    const at = this.#interpreter(op, new Int8Array(0), slots, rows);
    specOf(op).align?.(op, at, errors, alignments);
  }

  #interpreter(op: AnyOp, values: Int8Array, slots: Slots, rows: Rows): Interpreter {
    return {
      rows: rows.count,
      position: rows.position,
      labels: rows.labels,
      input: <V extends Values>(i: number) => slots[op.inputs[i]] as V,
      output: <V extends Values>(i: number) => slots[op.outputs[i]] as V,
      tensor: (i) => partOf(values, this.graph.tensors[op.tensors[i]]),
      keep: <Kept>(make: () => Kept) => {
        if (!this.#kept.has(op)) this.#kept.set(op, make());
        return this.#kept.get(op) as Kept;
      },
    };
  }
}
