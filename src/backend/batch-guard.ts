/** The checks that every backend makes before work starts, in one wording. */

import { ConfigError, expected } from '../errors.js';
import type { DirectionSet } from '../random/directions.js';
import { ACTIVATION_MAX, isTernary, type Network } from '../ternary/network.js';
import { NODES_BATCH_MAX, PROBES_MAX, type Room } from './backend.js';
import { requireArray } from '../typed-arrays.js';
import { checkValues } from './value-guard.js';

export class BatchGuard {
  readonly batchMax: number;
  readonly #probesMax: number;
  readonly #weights: boolean;
  readonly #width: number;
  readonly #classes: number;

  constructor(
    readonly network: Network,
    { batch, probes = 0, weights = false }: Room,
  ) {
    if (!Number.isInteger(batch) || batch < 1 || batch > 65_536) {
      throw expected('batch', 'an integer in 1…65536', batch);
    }
    if (!Number.isInteger(probes) || probes < 0 || probes > PROBES_MAX) {
      throw expected('probes', `an integer in 0…${PROBES_MAX}`, probes);
    }
    this.batchMax = batch;
    this.#probesMax = probes;
    this.#weights = weights;
    this.#width = network.widths[0];
    this.#classes = network.widths.at(-1) as number;
  }

  /** @throws {ConfigError} when arrays, shapes or labels are not what `loadBatch` takes */
  checkShape(inputs: Uint8Array, labels: Uint8Array): void {
    requireArray('inputs', 'Uint8Array', inputs);
    requireArray('labels', 'Uint8Array', labels);
    if (labels.length < 1 || labels.length > this.batchMax) {
      throw expected('batch', `1…${this.batchMax} examples`, labels.length);
    }
    if (inputs.length !== labels.length * this.#width) {
      throw expected('inputs', `${labels.length} × ${this.#width} values`, inputs.length);
    }
    const label = labels.find((value) => value >= this.#classes);
    if (label !== undefined) throw expected('labels', `values in 0…${this.#classes - 1}`, label);
  }

  /** @param bits - the union of the bits of all inputs */
  checkRange(bits: number): void {
    if (bits > ACTIVATION_MAX) throw expected('inputs', `values in 0…${ACTIVATION_MAX}`, 'a larger one');
  }

  /** @throws {ConfigError} when there is no room for `alignNodes`, or it cannot keep its sums within i32 */
  checkNodes(batch: number, probes: number): void {
    this.requireBatch(batch);
    if (batch > NODES_BATCH_MAX)
      throw expected('batch', `at most ${NODES_BATCH_MAX} examples for nodes`, batch);
    if (!Number.isInteger(probes) || probes < 1 || probes > PROBES_MAX) {
      throw expected('probes', `an integer in 1…${PROBES_MAX}`, probes);
    }
    if (probes > this.#probesMax) {
      throw expected('probes', `at most ${this.#probesMax}, as there is room for`, probes);
    }
  }

  /** @throws {ConfigError} when there is no room for `alignWeights` */
  checkWeightsRoom(batch: number): void {
    this.requireBatch(batch);
    if (!this.#weights) {
      throw new ConfigError('the model has no room for "alignWeights": place it with "weights: true"');
    }
  }

  requireBatch(count: number): void {
    if (count === 0) throw new ConfigError('no batch is loaded: call loadBatch first');
  }

  /** @throws {ConfigError} when the weights are not as many as the model has, each in its tensor's range */
  checkWeights(weights: Int8Array): void {
    checkValues(this.network, weights);
  }

  /** @throws {ConfigError} when coefficients are no such array, or not one for each direction */
  checkCoefficients(
    kind: 'Int8Array' | 'Int16Array',
    coefficients: Int8Array | Int16Array,
    sets: readonly DirectionSet[],
  ): void {
    requireArray('coefficients', kind, coefficients);
    const directions = sets.reduce((sum, set) => sum + set.directions, 0);
    if (coefficients.length !== directions) {
      throw expected('coefficients', `${directions} values, one for each direction`, coefficients.length);
    }
  }

  /** @throws {ConfigError} when the network is not of trits alone, as latents and directions need it */
  requireTernary(): void {
    if (isTernary(this.network)) return;
    throw expected(
      'precision',
      'ternary layers alone, to train by directions',
      this.network.precision.join(', '),
    );
  }
}
