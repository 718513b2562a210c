/**
 * Placed models whose calls take turns. Callers need not await one call before the next: each has the results that it
 * would have if they did. What is loaded or given is copied where it has to wait, so its arrays may be used again.
 */

import { ConfigError } from '../errors.js';
import type { DirectionSet } from '../random/directions.js';
import type { Key } from '../random/philox.js';
import type { Alignment, Evaluation, MemoryUse, Placed, Probes, Room } from './backend.js';
import type { Batch } from './batch.js';
import { Guard } from './guard.js';
import { Turns } from './turns.js';

export class PlacedInTurns implements Placed {
  readonly #turns = new Turns();
  readonly #guard: Guard;
  #released: Promise<void> | null = null;

  constructor(
    readonly placed: Placed,
    room: Room,
  ) {
    this.#guard = new Guard(placed.graph, room);
  }

  get graph() {
    return this.placed.graph;
  }

  get batchMax(): number {
    return this.placed.batchMax;
  }

  get memory(): MemoryUse {
    return this.placed.memory;
  }

  /** At once, or as the batch is now when its turn has come. */
  load(batch: Batch): void {
    if (this.#released) throw released();
    if (this.#turns.idle) return this.placed.load(batch);
    const { inputs, labels, length } = batch;
    this.#guard.checkShape(batch);
    this.#guard.checkRange(inputs.reduce((bits, input) => bits | input, 0));
    const own = { inputs: inputs.slice(), labels: labels.slice(), length };
    // It was checked: it fails only where the device does, and then the next call does as well.
    this.#take(async () => this.placed.load(own)).catch(() => {});
  }

  evaluate(): Promise<Evaluation> {
    return this.#take(() => this.placed.evaluate());
  }

  logits(): Promise<Int32Array> {
    return this.#take(() => this.placed.logits());
  }

  writeWeights(values: Int8Array): Promise<void> {
    const own = this.#own(values);
    return this.#take(() => this.placed.writeWeights(own));
  }

  readWeights(): Promise<Int8Array> {
    return this.#take(() => this.placed.readWeights());
  }

  initLatents(key: Key, cut: number): Promise<void> {
    return this.#take(() => this.placed.initLatents(key, cut));
  }

  startLatents(values: Int8Array, cut: number): Promise<void> {
    const own = this.#own(values);
    return this.#take(() => this.placed.startLatents(own, cut));
  }

  applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    const own = this.#own(coefficients);
    return this.#take(() => this.placed.applyStep(set, own));
  }

  applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    const own = this.#own(coefficients);
    return this.#take(() => this.placed.applyPool(sets, own));
  }

  alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>> {
    return this.#take(() => this.placed.alignWeights(set, first, count));
  }

  align(probes: Probes, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    return this.#take(() => this.placed.align(probes, sets));
  }

  restart(): void {
    if (this.#released) throw released();
    if (this.#turns.idle) return this.placed.restart();
    this.#take(async () => this.placed.restart()).catch(() => {});
  }

  next(byte: number): Promise<Int32Array> {
    return this.#take(() => this.placed.next(byte));
  }

  /** The last call; again, it is the same. */
  release(): Promise<void> {
    this.#released ??= this.#turns.take(() => this.placed.release());
    return this.#released;
  }

  #take<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#released) return Promise.reject(released());
    return this.#turns.take(work);
  }

  /** An array as it is now, for a call that may have to wait. */
  #own<Values extends Int8Array | Int16Array>(values: Values): Values {
    return this.#turns.idle || !ArrayBuffer.isView(values) ? values : (values.slice() as Values);
  }
}

function released(): ConfigError {
  return new ConfigError('the model was released: place it again');
}
