/** A model on the reference backend: what is asked of it is checked here, and computed by model.ts. */

import type { DirectionSet } from '../../random/directions.js';
import type { Key } from '../../random/philox.js';
import type { Graph } from '../../ternary/graph.js';
import type { Alignment, Evaluation, MemoryUse, Placed, Probes, Room } from '../backend.js';
import type { Batch } from '../batch.js';
import { Guard } from '../guard.js';
import { alignmentsOfDirections } from '../host-latents.js';
import { ReferenceModel } from './model.js';

export class ReferencePlaced implements Placed {
  readonly batchMax: number;
  readonly #guard: Guard;
  readonly #model: ReferenceModel;
  #batchBytes = 0;
  #position = 0;

  constructor(
    readonly graph: Graph,
    room: Room,
  ) {
    this.#guard = new Guard(graph, room);
    this.batchMax = room.batch;
    this.#model = new ReferenceModel(graph);
  }

  get memory(): MemoryUse {
    const { parameters } = this.graph;
    return { weights: parameters, latents: parameters, batch: this.#batchBytes, work: 0 };
  }

  load(batch: Batch): void {
    const { inputs, labels, length } = batch;
    this.#guard.checkShape(batch);
    this.#guard.checkRange(inputs.reduce((bits, input) => bits | input, 0));
    this.#model.load({ inputs: inputs.slice(), labels: labels.slice(), length });
    this.#batchBytes = inputs.length + labels.length;
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireBatch(this.#model.rows);
    this.restart();
    return this.#model.evaluate();
  }

  async logits(): Promise<Int32Array> {
    this.#guard.requireBatch(this.#model.rows);
    this.restart();
    return this.#model.logits();
  }

  async writeWeights(values: Int8Array): Promise<void> {
    this.#guard.checkWeights(values);
    this.#model.weights.set(values);
  }

  async readWeights(): Promise<Int8Array> {
    return this.#model.weights.slice();
  }

  async initLatents(key: Key, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#model.latents.init(key, cut);
  }

  async startLatents(values: Int8Array, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#guard.checkWeights(values);
    this.#model.latents.start(values, cut);
  }

  async applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    this.#guard.checkCoefficients('Int8Array', coefficients, [set]);
    this.#model.latents.applyStep(set, coefficients);
  }

  async applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    this.#guard.checkCoefficients('Int16Array', coefficients, sets);
    this.#model.latents.applyPool(sets, coefficients);
  }

  async alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>> {
    this.#guard.checkWeightsRoom(this.#model.rows);
    this.restart();
    return this.#model.alignWeights(set, first, count);
  }

  async align(probes: Probes, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const limit = this.#guard.requireProbes(this.#model.rows, probes);
    this.restart();
    const trained = (tensor: number) => !sets || sets.some(({ group }) => group === tensor);
    const { alignments, evaluation } = this.#model.align(probes, limit, trained);
    return { alignments: sets ? alignmentsOfDirections(sets, alignments) : alignments, evaluation };
  }

  restart(): void {
    this.#position = 0;
  }

  async next(byte: number): Promise<Int32Array> {
    this.#guard.checkNext(byte, this.#position);
    return this.#model.next(Uint8Array.of(byte), this.#position++);
  }

  async release(): Promise<void> {}
}
