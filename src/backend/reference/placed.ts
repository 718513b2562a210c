/** Models on the reference backend: what is asked of them is checked here, and computed by model.ts. */

import type { DirectionSet } from '../../random/directions.js';
import type { Key } from '../../random/philox.js';
import type { Network } from '../../ternary/network.js';
import type { Transformer } from '../../ternary/transformer.js';
import type {
  Alignment,
  Evaluation,
  MemoryUse,
  NodeProbes,
  PlacedNetwork,
  PlacedText,
  Room,
  TextProbes,
  TextRoom,
} from '../backend.js';
import { BatchGuard } from '../batch-guard.js';
import { TextGuard } from '../text-guard.js';
import { checkValues } from '../value-guard.js';
import { ReferenceModel } from './model.js';

export class ReferenceNetwork implements PlacedNetwork {
  readonly batchMax: number;
  readonly #guard: BatchGuard;
  readonly #model: ReferenceModel;
  #batchBytes = 0;

  constructor(
    readonly network: Network,
    room: Room,
  ) {
    this.#guard = new BatchGuard(network, room);
    this.batchMax = room.batch;
    this.#model = new ReferenceModel(network);
  }

  get memory(): MemoryUse {
    const { parameters } = this.network;
    return { weights: parameters, latents: parameters, batch: this.#batchBytes, work: 0 };
  }

  loadBatch(inputs: Uint8Array, labels: Uint8Array): void {
    this.#guard.checkShape(inputs, labels);
    this.#guard.checkRange(inputs.reduce((bits, input) => bits | input, 0));
    this.#model.load(inputs.slice(), labels.slice(), 1);
    this.#batchBytes = inputs.length + labels.length;
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireBatch(this.#model.rows);
    return this.#model.evaluate();
  }

  async logits(): Promise<Int32Array> {
    this.#guard.requireBatch(this.#model.rows);
    return this.#model.logits();
  }

  async initLatents(key: Key, cut: number): Promise<void> {
    this.#guard.requireTernary();
    this.#model.initLatents(key, cut);
  }

  async startLatents(trits: Int8Array, cut: number): Promise<void> {
    this.#guard.requireTernary();
    this.#guard.checkWeights(trits);
    this.#model.startLatents(trits, cut);
  }

  async writeWeights(weights: Int8Array): Promise<void> {
    this.#guard.checkWeights(weights);
    this.#model.weights.set(weights);
  }

  async readWeights(): Promise<Int8Array> {
    return this.#model.weights.slice();
  }

  async applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    this.#guard.requireTernary();
    this.#guard.checkCoefficients('Int8Array', coefficients, [set]);
    this.#model.applyStep(set, coefficients);
  }

  async applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    this.#guard.requireTernary();
    this.#guard.checkCoefficients('Int16Array', coefficients, sets);
    this.#model.applyPool(sets, coefficients);
  }

  async alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>> {
    this.#guard.requireTernary();
    this.#guard.checkWeightsRoom(this.#model.rows);
    return this.#model.alignWeights(set, first, count);
  }

  async alignNodes(probes: NodeProbes, sets: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    this.#guard.requireTernary();
    this.#guard.checkNodes(this.#model.rows, probes.probes);
    const trained = (tensor: number) => sets.some(({ group }) => group === tensor);
    const { alignments, evaluation } = this.#model.align({ ...probes, horizon: 0 }, trained);
    return { alignments: this.#model.alignmentsOf(sets, alignments), evaluation };
  }

  async release(): Promise<void> {}
}

export class ReferenceText implements PlacedText {
  readonly #guard: TextGuard;
  readonly #model: ReferenceModel;
  #length = 0;
  #position = 0;

  constructor(
    readonly model: Transformer,
    room: TextRoom,
  ) {
    this.#guard = new TextGuard(model, room);
    this.#model = new ReferenceModel(model);
  }

  async writeWeights(values: Int8Array): Promise<void> {
    checkValues(this.model, values);
    this.#model.weights.set(values);
  }

  loadWindows(bytes: Uint8Array, length: number): void {
    this.#guard.checkWindows(bytes, length);
    const rows = (from: number) =>
      bytes.filter((_, i) => i % (length + 1) >= from && i % (length + 1) < from + length);
    this.#model.load(rows(0), rows(1), length);
    this.#length = length;
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireWindows(this.#length);
    this.restart();
    return this.#model.evaluate();
  }

  async align(probes: TextProbes): Promise<Alignment<Int32Array>> {
    this.#guard.requireProbes(this.#model.rows / this.#length || 0, this.#length, probes);
    this.restart();
    return this.#model.align(probes, () => true);
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
