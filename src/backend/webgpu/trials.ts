/**
 * The `weights` estimator: both sides of some directions at a time, for a part of a batch at a time. Loaded with the
 * first model that is placed with room for it.
 */

import { type DirectionSet, nonzerosMax } from '../../random/directions.js';
import { chainOf } from '../chain.js';
import type { DeviceBuffer } from './device.js';
import type { Disturbing, Forward } from './forward.js';
import { setParams } from './kernels/random.js';
import {
  differencesKernel,
  entriesKernel,
  perturbKernel,
  SHARE_MAX,
  spreadKernel,
} from './kernels/trials.js';
import { packedWords, type RowPlan } from './plan.js';
import type { Rows } from './recipe.js';
import type { Unit } from './units.js';
import type { Workspace } from './workspace.js';

/** Nonzeros of the directions that are tried at a time, where a direction has not more. */
const ENTRIES_MAX = 2 ** 20;

/** What trials need of a pass: copies of everything, and the sums of the first layer. */
export function trialsOf(units: readonly Unit[]): Disturbing {
  const [first] = units;
  return {
    reads: [{ after: units.length - 1, slots: first.outputs }],
    moved: new Set(units.flatMap(({ outputs }) => outputs)),
  };
}

export class Trials {
  /** Units that are the product of a layer. */
  readonly #products: ReadonlySet<number>;

  /** @throws {ConfigError} when the model is no chain of ternary layers */
  constructor(
    readonly forward: Forward,
    readonly space: Workspace,
    readonly plan: RowPlan,
  ) {
    this.#products = new Set(chainOf(forward.graph).map(([linear]) => linear));
  }

  /**
   * Records the evaluation of a batch and the sums of directions first…first + count − 1.
   * @returns the buffer of the sums, two words each
   */
  record(parts: readonly Rows[], set: DirectionSet, first: number, count: number): DeviceBuffer {
    const { forward, plan } = this;
    const { recorder, device } = this.space;
    const sums = this.space.growing('sums of directions', 2 * count);
    const nonzeros = nonzerosMax(set);
    const most = Math.max(1, Math.floor(ENTRIES_MAX / nonzeros));
    const room = Math.min(count, most, Math.floor(plan.copies / 2));
    const entries = this.space.growing('weights of directions', nonzeros * room);
    const [losses] = (forward.units.at(-1) as Unit).outputs;
    for (const part of parts) {
      forward.recordAll(part);
      const { rows } = part;
      const atATime = Math.min(most, Math.floor(plan.copies / (2 * rows)));
      for (let from = 0; from < count; from += atATime) {
        const tried = Math.min(atATime, count - from);
        const copies: Rows = { ...part, rows: 2 * tried * rows, kind: 'copies' };
        recorder.runItems(
          'entries',
          entriesKernel,
          { entries },
          { ...setParams(set), firstDirection: (first + from) % set.directions, nonzeros },
          tried * nonzeros,
        );
        this.#copies(part, copies, entries, nonzeros);
        recorder.run(
          `differences ${plan.rows}`,
          () => differencesKernel(plan.rows, device.features),
          { losses: forward.source(losses, copies, true).buffer, sums },
          { examples: rows, first: from, add: part.first > 0 ? 1 : 0 },
          [tried, 1],
        );
      }
    }
    return sums;
  }

  /** Records copies with the weights of their directions, from the sums of the first layer to losses. */
  #copies(part: Rows, copies: Rows, entries: DeviceBuffer, nonzeros: number): void {
    const { forward } = this;
    const { recorder } = this.space;
    const share = Math.min(nonzeros, SHARE_MAX);
    const all = new Set(forward.units.flatMap(({ outputs }) => outputs));
    for (const [index, { op, inputs, outputs }] of forward.units.entries()) {
      const sums = forward.source(outputs[0], copies, true).buffer;
      if (index > 0) forward.record(index, copies, all);
      else {
        const { width } = forward.graph.slots[outputs[0]];
        recorder.runItems(
          'spread',
          spreadKernel,
          { z: forward.source(outputs[0], part).buffer, copies: sums },
          { period: part.rows * width },
          copies.rows * width,
        );
      }
      if (!this.#products.has(index)) continue;
      const { buffer: x, first: firstRow, rows: xRows } = forward.source(inputs[0], copies, index > 0);
      const { rows: units, columns, offset } = forward.store.tensors[op.tensors[0]];
      recorder.runItems(
        'perturb',
        perturbKernel,
        { entries, x, copies: sums },
        {
          ...{ share, nonzeros, examples: part.rows, firstRow, xRows },
          ...{ offset, units, columns, words: packedWords(columns) },
        },
        copies.rows * share,
      );
    }
  }
}
