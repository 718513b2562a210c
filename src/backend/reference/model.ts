/** The oracle: any model's graph, run by the definitions of its operations, one example or window at a time. */

import { type DirectionSet, Signs, weightsOfDirection } from '../../random/directions.js';
import { crossEntropy } from '../../ops/loss/op.js';
import { scaleOf } from '../../ops/normalize/op.js';
import { rowOf } from '../../ops/op.js';
import type { AnyOp, Graph, Op, Probe } from '../../ternary/graph.js';
import { roundDiv, roundShift } from '../../ternary/rounding.js';
import type { Alignment, Evaluation, Probes } from '../backend.js';
import type { Batch } from '../batch.js';
import { Latents } from '../host-latents.js';
import { partOf } from '../latents.js';
import { ProgramRunner, type Rows, type Slots } from './interpreter.js';
import { probeSigns } from './probe-signs.js';

/** Rows that see each other, on their way through the program. */
interface Group {
  /** The input's slot. */
  readonly input: Uint8Array;
  readonly rows: Rows;
  /** Index of its first row in the batch. */
  readonly first: number;
}

/** Bits that a coarse magnitude's terms are rounded by before they are summed up. */
const COARSE_SHIFT = 4;
/** Fraction bits of sigma. */
const SIGMA_BITS = 8;

export class ReferenceModel {
  readonly latents: Latents;
  readonly #runner: ProgramRunner;
  #groups: readonly Group[] = [];

  constructor(readonly graph: Graph) {
    this.latents = new Latents(graph);
    this.#runner = new ProgramRunner(graph);
  }

  /** Takes a batch, which is the caller's no more. */
  load({ inputs, labels, length }: Batch): void {
    const { width } = this.graph.slots[0];
    this.#groups = Array.from({ length: labels.length / length }, (_, group) => {
      const [first, end] = [group * length, (group + 1) * length];
      return {
        input: inputs.subarray(first * width, end * width),
        rows: { count: length, position: 0, labels: labels.subarray(first, end) },
        first,
      };
    });
  }

  /** The values of all tensors. */
  get weights(): Int8Array {
    return this.latents.values;
  }

  /** Rows of the loaded batch. */
  get rows(): number {
    return this.#groups.reduce((sum, { rows }) => sum + rows.count, 0);
  }

  evaluate(): Evaluation {
    return this.#evaluationOf(this.#forwardAll());
  }

  logits(): Int32Array {
    const logits = this.#forwardAll().flatMap((slots) => Array.from(this.#logitsOf(slots)));
    return Int32Array.from(logits);
  }

  /** Takes one row more of a window; returns its logits in 2⁻¹⁶ bits. */
  next(input: Uint8Array, position: number): Int32Array {
    const rows = { count: 1, position, labels: new Uint8Array(1) };
    const { logitScale } = this.#loss.attributes;
    return this.#logitsOf(this.#runner.run(this.weights, [input], rows)).map((logit) => logit * logitScale);
  }

  /** For each direction, Σ over the batch of loss(θ + ν) − loss(θ − ν). */
  alignWeights(set: DirectionSet, first: number, count: number): Alignment<Float64Array> {
    const signs = new Signs(set);
    const alignments = Float64Array.from({ length: count }, (_, k) => {
      const direction = weightsOfDirection(set, (first + k) % set.directions);
      const [plus, minus] = [1, -1].map((side) => {
        const weights = this.weights.slice();
        for (const index of direction) weights[set.offset + index] += side * signs.at(index);
        const { losses } = this.#evaluationOf(this.#forwardAll(weights));
        return losses.reduce((sum, loss) => sum + loss, 0);
      });
      return plus - minus;
    });
    return { alignments, evaluation: this.evaluate() };
  }

  /**
   * Node perturbation: the alignment of every weight of the given tensors, [parameters].
   * @param limit - of a reward
   * @param trained - tells which tensors, by their index
   */
  align(probes: Probes, limit: number, trained: (tensor: number) => boolean): Alignment<Int32Array> {
    const alignments = new Int32Array(this.graph.parameters);
    const passes = this.#forwardAll();
    for (const [index, op] of this.graph.program.entries()) {
      if (op.probe === undefined || !trained(op.tensors[0])) continue;
      if (op.probe !== 'exact' && probes.probes === 0) continue;
      const own = partOf(alignments, this.graph.tensors[op.tensors[0]]);
      for (const [i, group] of this.#groups.entries()) {
        const errors =
          op.probe === 'exact'
            ? this.#exactErrors(passes[i], group)
            : this.#probedErrors(op, op.probe, index, passes[i], group, probes, limit);
        this.#runner.align(op, passes[i], group.rows, errors, own);
      }
    }
    return { alignments, evaluation: this.#evaluationOf(passes) };
  }

  /** [rows, classes]: softmax − target, in closed form. */
  #exactErrors(slots: Slots, { rows }: Group): Int16Array {
    const { attributes, inputs } = this.#loss;
    const { width } = this.graph.slots[inputs[0]];
    const errors = new Int16Array(rows.count * width);
    for (let row = 0; row < rows.count; row++) {
      const logits = rowOf(this.#logitsOf(slots), row, width);
      crossEntropy(logits, rows.labels[row], attributes.logitScale, rowOf(errors, row, width));
    }
    return errors;
  }

  /** [rows, units]: Σ reward · sign over the probes of an operation's sums. */
  #probedErrors(
    op: AnyOp,
    { site, active, size, horizon }: Probe,
    index: number,
    slots: Slots,
    { rows, first }: Group,
    { key, step, probes, sigma, rewardShift, horizon: later = 0, shard }: Probes,
    limit: number,
  ): Int16Array {
    const [output] = op.outputs;
    const firstRow = (shard?.first ?? 0) + first;
    const sums = slots[output] as Int32Array;
    const units = sums.length / rows.count;
    const errors = new Int16Array(sums.length);
    const positions = Array.from({ length: rows.count }, (_, row) => row);
    const all = new Uint8Array(sums.length).fill(1);
    const chosen = active === null ? all : (slots[active] as Uint8Array);
    const sizes = positions.map((row) => probeSize(rowOf(sums, row, units), size, sigma));
    for (let probe = 0; probe < probes; probe++) {
      const signs = positions.map((row) => {
        return probeSigns(rowOf(chosen, row, units), probe, key, step, site, firstRow + row);
      });
      const [plus, minus] = [1, -1].map((side) => {
        const disturbed = slots.slice();
        disturbed[output] = sums.map((sum, i) => {
          const row = Math.floor(i / units);
          return sum + side * sizes[row] * signs[row][i - row * units];
        });
        return this.#lossesOf(this.#runner.run(this.weights, disturbed, rows, index + 1));
      });
      for (const row of positions) {
        const end = Math.min(rows.count, row + 1 + (horizon ? later : 0));
        let difference = 0; // < 5·2^28.1
        for (let at = row; at < end; at++) difference += plus[at] - minus[at];
        const reward = Math.max(-limit, Math.min(limit, roundShift(difference, rewardShift)));
        for (let unit = 0; unit < units; unit++) errors[row * units + unit] += reward * signs[row][unit];
      }
    }
    return errors;
  }

  #forwardAll(weights = this.weights): Slots[] {
    return this.#groups.map(({ input, rows }) => this.#runner.run(weights, [input], rows));
  }

  get #loss(): Op<'loss'> {
    return this.graph.program.at(-1) as Op<'loss'>;
  }

  #logitsOf(slots: Slots): Int32Array {
    return slots[this.#loss.inputs[0]] as Int32Array;
  }

  #lossesOf(slots: Slots): Int32Array {
    return slots[this.#loss.outputs[0]] as Int32Array;
  }

  #evaluationOf(passes: readonly Slots[]): Evaluation {
    const predictions = passes.flatMap((slots) => Array.from(slots[this.#loss.outputs[1]] as Int32Array));
    return {
      losses: Int32Array.from(passes.flatMap((slots) => Array.from(this.#lossesOf(slots)))),
      predictions: Uint8Array.from(predictions),
    };
  }
}

/** Size of the probes of a row: σ of the mean magnitude of its sums, at least 1. */
function probeSize(sums: Int32Array, kind: Probe['size'], sigma: number): number {
  if (kind !== 'coarse magnitude') {
    const { meanAbs } = scaleOf(sums, kind === 'centred magnitude');
    return Math.max(1, roundShift(meanAbs * sigma, SIGMA_BITS));
  }
  const absolute = sums.reduce((sum, value) => sum + roundShift(Math.abs(value), COARSE_SHIFT), 0); // ≤ 127·2^10·2^14 < 2^31
  return Math.max(1, roundShift(roundDiv(absolute, sums.length) * sigma, SIGMA_BITS - COARSE_SHIFT));
}
