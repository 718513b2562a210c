/**
 * The buffers of a program's slots, and what records its units: of a part of a batch, of disturbed copies of its rows,
 * or of the next row of a window that grows. Slots that are of no use at the same time share a buffer.
 */

import type { Graph } from '../../ternary/graph.js';
import { type Program, shareRoom } from '../../ternary/liveness.js';
import type { DeviceBuffer } from './device.js';
import { type RowPlan, wordsOf } from './plan.js';
import type { Pass, Recipes, Rows, Source } from './recipe.js';
import { recipeOf, type Unit } from './units.js';
import type { WeightStore } from './weight-store.js';
import type { Workspace } from './workspace.js';

/** What estimators need of a pass over a batch. */
export interface Disturbing {
  /** What reads slots of the undisturbed pass when the unit of an index is done. */
  readonly reads: readonly { readonly after: number; readonly slots: readonly number[] }[];
  /** Slots that copies have. */
  readonly moved: ReadonlySet<number>;
}

export class Forward {
  readonly labels: DeviceBuffer;
  /** [batch] what the last unit writes. */
  readonly results: readonly DeviceBuffer[];
  readonly #inputs: DeviceBuffer;
  readonly #next: DeviceBuffer;
  readonly #slots: Map<number, DeviceBuffer>;
  readonly #copies: ReadonlyMap<number, DeviceBuffer>;
  /** Whether what operations leave is read after copies have gone through them. */
  readonly #keeps: boolean;

  /** @param batchRows - the most of a batch */
  constructor(
    readonly graph: Graph,
    readonly units: readonly Unit[],
    readonly recipes: Recipes,
    readonly store: WeightStore,
    readonly space: Workspace,
    readonly plan: RowPlan,
    batchRows: number,
    { reads, moved }: Disturbing,
  ) {
    const { slots } = graph;
    this.#keeps = moved.size > 0;
    const { outputs: ends } = units.at(-1) as Unit;
    this.labels = space.take('batch', 'labels', Math.ceil(batchRows / 4));
    this.#inputs = space.take('batch', 'inputs', batchRows * wordsOf(slots[0]));
    this.#next = space.take('work', 'next row', wordsOf(slots[0]));
    this.results = ends.map((slot) => space.take('batch', 'results', batchRows * wordsOf(slots[slot])));
    const read = units.flatMap(({ inputs, outputs }, index) => [
      { inputs, outputs },
      ...reads.filter(({ after }) => after === index).map((one) => ({ inputs: one.slots, outputs: [] })),
    ]);
    const written = units.flatMap(({ outputs }) => outputs).filter((slot) => !ends.includes(slot));
    this.#slots = this.#share({ program: read, slots }, new Set(written), 'activations', plan.rows);
    ends.forEach((slot, i) => this.#slots.set(slot, this.results[i]));
    this.#copies = this.#share({ program: units, slots }, moved, 'copies', plan.copies);
  }

  /** Buffers for so many rows of some slots. */
  #share(
    program: Program,
    chosen: ReadonlySet<number>,
    what: string,
    rows: number,
  ): Map<number, DeviceBuffer> {
    const buffers: DeviceBuffer[] = [];
    const take = (slot: number) => {
      const { kind, width } = program.slots[slot];
      const words = rows * wordsOf(program.slots[slot]);
      return buffers.push(this.space.take('work', `${what}, ${width} ${kind} a row,`, words)) - 1;
    };
    const places = shareRoom(program, chosen, take);
    return new Map([...places].map(([slot, place]) => [slot, buffers[place]]));
  }

  /** The inputs of a batch, or the next row of a window. */
  write(rows: Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>, kind: 'batch' | 'next'): void {
    this.space.device.write(kind === 'batch' ? this.#inputs : this.#next, rows);
  }

  /** Rows of a slot, or the disturbed copies of them. */
  source(slot: number, { kind, rows, examples, first }: Rows, disturbed = false): Source {
    if (disturbed) return { buffer: this.#copies.get(slot) as DeviceBuffer, first: 0, rows };
    if (slot === 0 && kind === 'next') return { buffer: this.#next, first: 0, rows: 1 };
    if (slot === 0) return { buffer: this.#inputs, first, rows: examples };
    const buffer = this.#slots.get(slot) as DeviceBuffer;
    return { buffer, first: this.results.includes(buffer) ? first : 0, rows: examples };
  }

  /**
   * What the unit of an index is recorded with.
   * @param disturbed - slots of which copies are read; all that are written are copies then
   */
  pass(index: number, rows: Rows, disturbed: ReadonlySet<number> | null): Pass {
    const { graph, space, store, labels } = this;
    const { op, absorbed, inputs, outputs } = this.units[index];
    const isKept = rows.kind === 'batch' && this.#keeps;
    return {
      ...rows,
      ...{ graph, device: space.device, recorder: space.recorder, weights: store.weights, labels, absorbed },
      input: (i) => this.source(inputs[i], rows, disturbed?.has(inputs[i])),
      output: (i) => this.source(outputs[i], rows, disturbed !== null),
      tensor: (i) => store.tensors[op.tensors[i]],
      placed: (tensor) => store.tensors[tensor],
      table: (name, make) => space.table(`table ${name}`, make),
      kept: (name, words) =>
        isKept
          ? space.growing(`${name} of ${index}`, this.plan.rows * words)
          : space.growing(`${name} of none`, rows.rows * words),
      state: (name, words) => space.growing(`state ${name} of ${index}`, words),
      work: (name, words) => space.growing(`work ${name}`, words),
    };
  }

  /** Records the unit of an index. */
  record(index: number, rows: Rows, disturbed: ReadonlySet<number> | null = null): void {
    const { op } = this.units[index];
    recipeOf(this.recipes, op).record(op as never, this.pass(index, rows, disturbed));
  }

  /**
   * Records all units, or those before `end`.
   * @param then - is called when one is recorded
   */
  recordAll(rows: Rows, end = this.units.length, then: (index: number) => void = () => {}): void {
    for (let index = 0; index < end; index++) {
      this.record(index, rows);
      then(index);
    }
  }
}
