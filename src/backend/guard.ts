/** The checks that every backend makes of a placed model before work starts, in one wording. */

import { ConfigError, expected } from '../errors.js';
import type { DirectionSet } from '../random/directions.js';
import { classesOf, type Graph } from '../ternary/graph.js';
import { VALUE_RANGES } from '../ternary/precision.js';
import { requireArray } from '../typed-arrays.js';
import { errorLimit, NODES_BATCH_MAX, PROBES_MAX, type Probes, type Room } from './backend.js';
import type { Batch } from './batch.js';

/** Losses are counted in 32 bits, and the results of one job fit any device. */
const BATCH_MAX = { examples: 65_536, positions: 4096 } as const;
/** The most positions after its own that count to a probe's reward: five differences of losses fit i32. */
const HORIZON_MAX = 4;

export class Guard {
  readonly batchMax: number;
  /** What a batch is counted in, for people. */
  readonly #what: string;
  readonly #inputMax: number;
  readonly #classes: number;

  /** @throws {ConfigError} when the room is out of range, or the model cannot be aligned */
  constructor(
    readonly graph: Graph,
    readonly room: Room,
  ) {
    const { batch, probes, weights } = room;
    if (weights && graph.rows === 'positions') {
      throw new ConfigError('"weights" expected false: positions are aligned by "align" alone');
    }
    requireInteger('batch', batch, 1, BATCH_MAX[graph.rows]);
    if (probes !== undefined) {
      requireInteger('probes', probes, 0, PROBES_MAX);
      this.requireLatents();
    }
    this.batchMax = batch;
    this.#what = graph.rows === 'examples' ? 'examples' : 'windows';
    this.#inputMax = graph.slots[0].kind === 'byte' ? 255 : 127;
    this.#classes = classesOf(graph);
  }

  /** @throws {ConfigError} when arrays, shapes or labels are not what `load` takes */
  checkShape({ inputs, labels, length }: Batch): void {
    requireArray('inputs', 'Uint8Array', inputs);
    requireArray('labels', 'Uint8Array', labels);
    const { context, slots } = this.graph;
    if (!Number.isInteger(length) || length < 1 || length > context) {
      throw expected('length', `an integer in 1…${context}`, length);
    }
    const groups = labels.length / length;
    if (!Number.isInteger(groups) || groups < 1 || groups > this.batchMax) {
      throw expected('batch', `1…${this.batchMax} ${this.#what}`, groups);
    }
    if (inputs.length !== labels.length * slots[0].width) {
      throw expected('inputs', `${labels.length} × ${slots[0].width} values`, inputs.length);
    }
    if (this.#classes < 256) {
      const label = labels.find((value) => value >= this.#classes);
      if (label !== undefined) throw expected('labels', `values in 0…${this.#classes - 1}`, label);
    }
  }

  /** @param bits - the union of the bits of all inputs */
  checkRange(bits: number): void {
    if (bits > this.#inputMax) throw expected('inputs', `values in 0…${this.#inputMax}`, 'a larger one');
  }

  /** @throws {ConfigError} when nothing is loaded */
  requireBatch(rows: number): void {
    if (rows === 0) throw new ConfigError('no batch is loaded: call load first');
  }

  /**
   * @returns the largest |reward| of a probe: with it no alignment reaches 2^31
   * @throws {ConfigError} when there is no room for `align`, or it cannot keep its sums within i32
   */
  requireProbes(rows: number, { probes, sigma, rewardShift, horizon = 0, shard }: Probes): number {
    this.requireLatents();
    const most = this.room.probes;
    if (most === undefined) {
      throw new ConfigError('the model has no room for "align": place it with "probes"');
    }
    this.requireBatch(rows);
    const whole = shard?.rows ?? rows;
    if (!Number.isInteger(whole) || whole > NODES_BATCH_MAX) {
      throw expected('batch', `at most ${NODES_BATCH_MAX} rows to align`, whole);
    }
    if (shard) requireInteger('first', shard.first, 0, whole - rows);
    requireInteger('probes', probes, 0, most);
    requireInteger('sigma', sigma, 1, 256);
    requireInteger('rewardShift', rewardShift, 0, 16);
    requireInteger('horizon', horizon, 0, HORIZON_MAX);
    return Math.floor(errorLimit(whole * this.graph.applications) / Math.max(1, probes));
  }

  /** @throws {ConfigError} when there is no room for `alignWeights` */
  checkWeightsRoom(rows: number): void {
    this.requireLatents();
    if (!this.room.weights) {
      throw new ConfigError('the model has no room for "alignWeights": place it with "weights: true"');
    }
    this.requireBatch(rows);
  }

  /** @throws {ConfigError} when it is no Int8Array of as many values as the model has, each in its tensor's range */
  checkWeights(values: Int8Array): void {
    const { parameters, tensors } = this.graph;
    requireArray('weights', 'Int8Array', values);
    if (values.length !== parameters) throw expected('weights', `${parameters} values`, values.length);
    for (const { name, values: kind, rows, columns, offset } of tensors) {
      const [least, largest] = VALUE_RANGES[kind];
      const end = offset + rows * columns;
      for (let i = offset; i < end; i++) {
        if (values[i] < least || values[i] > largest) {
          throw expected(name, `values in ${least}…${largest}`, values[i]);
        }
      }
    }
  }

  /** @throws {ConfigError} when coefficients are no such array, or not one for each direction */
  checkCoefficients(
    kind: 'Int8Array' | 'Int16Array',
    coefficients: Int8Array | Int16Array,
    sets: readonly DirectionSet[],
  ): void {
    this.requireLatents();
    requireArray('coefficients', kind, coefficients);
    const directions = sets.reduce((sum, set) => sum + set.directions, 0);
    if (coefficients.length !== directions) {
      throw expected('coefficients', `${directions} values, one for each direction`, coefficients.length);
    }
  }

  /** @throws {ConfigError} when the model has no initial values, as latents and directions need them */
  requireLatents(): void {
    const { initial } = this.graph;
    if (typeof initial === 'string')
      throw new ConfigError(`the model cannot be trained by directions: ${initial}`);
  }

  /** @throws {ConfigError} when the byte is none, the context is full, or there is none */
  checkNext(byte: number, position: number): void {
    const { rows, context } = this.graph;
    if (rows === 'examples') throw new ConfigError('the model takes no text: use "load"');
    if (!Number.isInteger(byte) || byte < 0 || byte > 255) throw expected('byte', '0…255', byte);
    if (position >= context) throw new ConfigError(`the context of ${context} bytes is full: call restart`);
  }
}

function requireInteger(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw expected(name, `an integer in ${least}…${most}`, value);
}
