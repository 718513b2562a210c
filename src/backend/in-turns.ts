/**
 * Placed models whose calls take turns. Callers need not await one call before the next: each has the results that it
 * would have if they did. What is loaded or given is copied where it has to wait, so its arrays may be used again.
 */

import { ConfigError } from '../errors.js';
import type { DirectionSet } from '../random/directions.js';
import type { Key } from '../random/philox.js';
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
} from './backend.js';
import { BatchGuard } from './batch-guard.js';
import { TextGuard } from './text-guard.js';
import { Turns } from './turns.js';

/** The calls of one placed model, up to its release. */
class Calls {
  readonly #turns = new Turns();
  #released: Promise<void> | null = null;

  /** A call that takes its turn. */
  take<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#released) return Promise.reject(released());
    return this.#turns.take(work);
  }

  /** Loads what `check` finds good: at once, or as it is now when its turn has come. */
  load<Arrays extends readonly Uint8Array[]>(
    arrays: Arrays,
    check: (arrays: Arrays) => void,
    load: (arrays: Arrays) => void,
  ): void {
    if (this.#released) throw released();
    if (this.#turns.idle) return load(arrays);
    check(arrays);
    const copies = arrays.map((array) => array.slice()) as unknown as Arrays;
    // It was checked: it fails only where the device does, and then the next call does as well.
    this.#turns.take(async () => load(copies)).catch(() => {});
  }

  /** An array as it is now, for a call that may have to wait. */
  own<Values extends Int8Array | Int16Array>(values: Values): Values {
    return this.#turns.idle || !ArrayBuffer.isView(values) ? values : (values.slice() as Values);
  }

  /** The last call; again, it is the same. */
  release(work: () => Promise<void>): Promise<void> {
    this.#released ??= this.#turns.take(work);
    return this.#released;
  }
}

function released(): ConfigError {
  return new ConfigError('the model was released: place it again');
}

export class NetworkInTurns implements PlacedNetwork {
  readonly #calls = new Calls();
  readonly #guard: BatchGuard;

  constructor(
    readonly placed: PlacedNetwork,
    room: Room,
  ) {
    this.#guard = new BatchGuard(placed.network, room);
  }

  get network() {
    return this.placed.network;
  }

  get batchMax(): number {
    return this.placed.batchMax;
  }

  get memory(): MemoryUse {
    return this.placed.memory;
  }

  loadBatch(inputs: Uint8Array, labels: Uint8Array): void {
    this.#calls.load(
      [inputs, labels] as const,
      () => {
        this.#guard.checkShape(inputs, labels);
        this.#guard.checkRange(inputs.reduce((bits, input) => bits | input, 0));
      },
      ([x, y]) => this.placed.loadBatch(x, y),
    );
  }

  evaluate(): Promise<Evaluation> {
    return this.#calls.take(() => this.placed.evaluate());
  }

  logits(): Promise<Int32Array> {
    return this.#calls.take(() => this.placed.logits());
  }

  initLatents(key: Key, cut: number): Promise<void> {
    return this.#calls.take(() => this.placed.initLatents(key, cut));
  }

  startLatents(trits: Int8Array, cut: number): Promise<void> {
    const own = this.#calls.own(trits);
    return this.#calls.take(() => this.placed.startLatents(own, cut));
  }

  writeWeights(weights: Int8Array): Promise<void> {
    const own = this.#calls.own(weights);
    return this.#calls.take(() => this.placed.writeWeights(own));
  }

  readWeights(): Promise<Int8Array> {
    return this.#calls.take(() => this.placed.readWeights());
  }

  applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    const own = this.#calls.own(coefficients);
    return this.#calls.take(() => this.placed.applyStep(set, own));
  }

  applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    const own = this.#calls.own(coefficients);
    return this.#calls.take(() => this.placed.applyPool(sets, own));
  }

  alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>> {
    return this.#calls.take(() => this.placed.alignWeights(set, first, count));
  }

  alignNodes(probes: NodeProbes, sets: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    return this.#calls.take(() => this.placed.alignNodes(probes, sets));
  }

  release(): Promise<void> {
    return this.#calls.release(() => this.placed.release());
  }
}

export class TextInTurns implements PlacedText {
  readonly #calls = new Calls();
  readonly #guard: TextGuard;

  constructor(
    readonly placed: PlacedText,
    room: TextRoom,
  ) {
    this.#guard = new TextGuard(placed.model, room);
  }

  get model() {
    return this.placed.model;
  }

  writeWeights(values: Int8Array): Promise<void> {
    const own = this.#calls.own(values);
    return this.#calls.take(() => this.placed.writeWeights(own));
  }

  loadWindows(bytes: Uint8Array, length: number): void {
    this.#calls.load(
      [bytes] as const,
      () => this.#guard.checkWindows(bytes, length),
      ([windows]) => this.placed.loadWindows(windows, length),
    );
  }

  evaluate(): Promise<Evaluation> {
    return this.#calls.take(() => this.placed.evaluate());
  }

  align(probes: TextProbes): Promise<Alignment<Int32Array>> {
    return this.#calls.take(() => this.placed.align(probes));
  }

  restart(): void {
    this.#calls.load(
      [],
      () => {},
      () => this.placed.restart(),
    );
  }

  next(byte: number): Promise<Int32Array> {
    return this.#calls.take(() => this.placed.next(byte));
  }

  release(): Promise<void> {
    return this.#calls.release(() => this.placed.release());
  }
}
