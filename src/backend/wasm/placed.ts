/**
 * A model placed on the wasm backend: what is asked of it is checked here, batches are copied in and results out; all
 * arithmetic is in assembly/ and in the folders of the operations.
 */

import type { DirectionSet } from '../../random/directions.js';
import type { Key } from '../../random/philox.js';
import { classesOf, type Graph, type Initial } from '../../ternary/graph.js';
import type { Alignment, Evaluation, MemoryUse, Placed, Probes, Room } from '../backend.js';
import type { Batch } from '../batch.js';
import { Guard } from '../guard.js';
import { latentsOfValues, partOf } from '../latents.js';
import { roundUp } from './layout.js';
import { TILE } from './plan.js';
import { Job, type SharedModel } from './shared-model.js';

/** The module that is loaded with the first model to be trained. */
type Estimators = typeof import('./estimators.js');

/** Moves of weights by steps of a log that wait for each other, so that helpers have something to do. */
const WAITING_MOVES = 2 ** 18;
/** Moves from which on helpers that run are asked to help. */
const HELPED_MOVES = 2 ** 12;
/** A log that has moved so many weights took a quarter of a second, and is likely to go on: helpers pay. */
const LONG_LOG_MOVES = 2 ** 21;

export class WasmPlaced implements Placed {
  readonly batchMax: number;
  readonly #guard: Guard;
  #position = 0;
  /** Steps of a log that were not applied yet, and how many weights they move at most. */
  #waiting: { readonly set: DirectionSet; readonly coefficients: Int8Array }[] = [];
  #waitingMoves = 0;
  /** Moves by the steps that were applied since the latents were drawn. */
  #moves = 0;

  /** @param estimators - where there is room to train */
  constructor(
    readonly model: SharedModel,
    room: Room,
    readonly estimators: Estimators | null,
    readonly onRelease: () => void,
  ) {
    this.#guard = new Guard(model.graph, room);
    this.batchMax = room.batch;
  }

  get graph(): Graph {
    return this.model.graph;
  }

  get memory(): MemoryUse {
    const { weights, latents, batch } = this.model.plan.use;
    return {
      weights,
      latents,
      batch,
      work: this.model.end - weights - latents - batch,
    };
  }

  load(batch: Batch): void {
    this.#guard.checkShape(batch);
    this.model.rows = 0; // until the batch is found good
    const { inputs, labels, length } = batch;
    const { rows, slots } = this.graph;
    const tileRows = rows === 'examples' ? TILE : length;
    const whole = roundUp(labels.length, tileRows);
    const { kind, width } = slots[0];
    const stride = this.model.plan.inputStride;
    const loaded = this.model.u8(this.model.plan.inputs, whole * stride);
    if (stride === width) loaded.set(inputs);
    else {
      for (let row = 0; row < labels.length; row++)
        loaded.set(inputs.subarray(row * width, (row + 1) * width), row * stride);
    }
    loaded.fill(0, labels.length * stride); // the rest of the last tile
    if (kind !== 'byte')
      this.#guard.checkRange(this.model.kernels.unionOfBytes(this.model.plan.inputs, loaded.length));
    const marks = this.model.u8(this.model.plan.labels, whole);
    marks.set(labels);
    marks.fill(0, labels.length);
    this.model.rows = labels.length;
    this.model.tileRows = tileRows;
    this.model.set({ rows: labels.length, tileRows });
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireBatch(this.model.rows);
    this.restart();
    await this.#applyWaiting();
    this.model.set({ logits: 0 });
    await this.model.run(Job.forward, this.model.tiles());
    return this.model.evaluation();
  }

  async logits(): Promise<Int32Array> {
    this.#guard.requireBatch(this.model.rows);
    this.restart();
    await this.#applyWaiting();
    const count = this.model.rows * classesOf(this.graph);
    this.model.begin();
    const address = this.model.take(4 * count);
    this.model.set({ logits: address });
    await this.model.run(Job.forward, this.model.tiles());
    return this.model.i32(address, count).slice();
  }

  async initLatents(key: Key, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#waiting = []; // what they would move is drawn anew
    this.#waitingMoves = 0;
    this.#moves = 0;
    this.model.set({ key0: key[0], key1: key[1], cut });
    for (const [index, initial] of (this.graph.initial as readonly Initial[]).entries()) {
      if (initial === 'drawn') continue;
      const latents = this.#latentsOf(index);
      if (initial === 'zeros') latents.fill(0);
      else latents.set(initial);
    }
    await this.model.run(Job.init, this.graph.tensors.length);
  }

  async startLatents(values: Int8Array, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#guard.checkWeights(values);
    this.#waiting = []; // what they would move is written over
    this.#waitingMoves = 0;
    this.#moves = 0;
    this.model.set({ cut });
    await this.writeWeights(values);
    for (const [index, tensor] of this.graph.tensors.entries()) {
      this.#latentsOf(index).set(latentsOfValues(tensor, partOf(values, tensor), cut));
    }
  }

  #latentsOf(tensor: number): Int8Array {
    const { latents, rows, columns } = this.model.plan.tensors[tensor];
    return this.model.i8(latents, rows * columns);
  }

  async writeWeights(values: Int8Array): Promise<void> {
    this.#guard.checkWeights(values);
    await this.#applyWaiting();
    this.model.begin();
    const address = this.model.take(values.length);
    this.model.i8(address, values.length).set(values);
    this.model.encoded = false;
    for (const [index, { offset }] of this.graph.tensors.entries()) {
      this.model.kernels.unpack(index, address + offset);
    }
  }

  async readWeights(): Promise<Int8Array> {
    await this.#applyWaiting();
    const read = new Int8Array(this.graph.parameters);
    for (const [index, { offset, rows, columns }] of this.graph.tensors.entries()) {
      const { values, stride, off } = this.model.plan.tensors[index];
      for (let row = 0; row < rows; row++) {
        const from = this.model.i8(values + row * stride, columns);
        const to = read.subarray(offset + row * columns, offset + (row + 1) * columns);
        if (off === 0) to.set(from);
        else for (let column = 0; column < columns; column++) to[column] = from[column] - off;
      }
    }
    return read;
  }

  /** Nobody sees a step before the next job, so that many can be applied at once, on all threads. */
  async applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    this.#guard.checkCoefficients('Int8Array', coefficients, [set]);
    this.#waiting.push({ set, coefficients: coefficients.slice() });
    this.#waitingMoves += set.touched;
    if (this.#waitingMoves >= WAITING_MOVES) await this.#applyWaiting();
  }

  async #applyWaiting(): Promise<void> {
    this.model.helpers.check();
    if (this.#waiting.length === 0) return;
    const [steps, moves] = [this.#waiting, this.#waitingMoves];
    this.#waiting = [];
    this.#waitingMoves = 0;
    this.model.begin();
    this.model.putSets(steps.map(({ set }) => set));
    const length = steps.reduce((sum, { coefficients }) => sum + coefficients.length, 0);
    const address = this.model.take(length);
    let at = address;
    for (const { coefficients } of steps) {
      this.model.i8(at, coefficients.length).set(coefficients);
      at += coefficients.length;
    }
    this.model.set({ coefficients: address });
    this.#moves += moves;
    const helped = this.model.helpers.running || this.#moves >= LONG_LOG_MOVES;
    if (helped && moves >= HELPED_MOVES && this.model.threads > 1) {
      await this.model.helpers.start();
      await this.model.run(Job.steps, this.model.threads);
    } else {
      steps.forEach((_, index) => this.model.kernels.step(index));
      this.model.encoded = false;
    }
  }

  async applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    this.#guard.checkCoefficients('Int16Array', coefficients, sets);
    await this.#applyWaiting();
    this.model.begin();
    this.model.putSets(sets);
    const address = this.model.take(coefficients.length * 2);
    new Int16Array(this.model.words().buffer, address, coefficients.length).set(coefficients);
    this.model.set({ coefficients: address });
    await this.model.run(Job.pool, this.model.tilesOf(sets, 'rows', this.model.kernels.POOL_ROWS));
  }

  async alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>> {
    this.#guard.checkWeightsRoom(this.model.rows);
    await this.#applyWaiting();
    this.restart();
    return (this.estimators as Estimators).alignWeights(this.model, set, first, count);
  }

  async align(probes: Probes, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const limit = this.#guard.requireProbes(this.model.rows, probes);
    await this.#applyWaiting();
    this.restart();
    return (this.estimators as Estimators).align(this.model, probes, limit, sets);
  }

  restart(): void {
    this.#position = 0;
  }

  async next(byte: number): Promise<Int32Array> {
    this.#guard.checkNext(byte, this.#position);
    this.model.helpers.check();
    if (this.#waiting.length > 0) await this.#applyWaiting();
    if (!this.model.encoded) await this.model.encode();
    const { nextLogits } = this.model.plan;
    this.model.kernels.next(byte, this.#position, nextLogits);
    this.#position += 1;
    return this.model.i32(nextLogits, classesOf(this.graph)).slice();
  }

  async release(): Promise<void> {
    await this.model.helpers.stop();
    this.onRelease();
  }
}
