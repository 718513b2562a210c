/**
 * The CPU backend: AssemblyScript kernels with 128-bit SIMD on threads over one shared memory.
 * This side plans the memory, copies batches in and results out, and hands out jobs; all
 * arithmetic is in assembly/. Prefer it over `reference` for everything but definitions.
 */

import { BackendError, ConfigError } from '../../errors.js';
import { type DirectionSet, nonzerosMax, Signs, weightsOfDirection } from '../../random/directions.js';
import { latentOf } from '../../random/latents.js';
import type { Key } from '../../random/philox.js';
import { EXP2, LOG2 } from '../../ops/loss/op.js';
import type { Graph } from '../../ternary/graph.js';
import type { Network } from '../../ternary/network.js';
import type { Transformer } from '../../ternary/transformer.js';
import {
  type Alignment,
  alignmentShift,
  type Backend,
  type Evaluation,
  type MemoryUse,
  type Placed,
  type Probes,
  type Room,
} from '../backend.js';
import type { Batch } from '../batch.js';
import { Guard } from '../guard.js';
import { PlacedInTurns } from '../in-turns.js';
import type { SimdChoice } from '../names.js';
import { type Platform, platform } from '../platform/platform.js';
import { HelperThreads } from './helpers.js';
import { type Kernels, type KernelSet, loadKernels, type NetworkExports } from './kernels.js';
import { Layout, roundUp } from './layout.js';
import {
  CONTROL,
  type ControlField,
  ENTRY_WORDS,
  LAYER,
  layerWords,
  type MemoryPlan,
  planMemory,
  SET_WORDS,
  TILE,
} from './memory-plan.js';

/** Jobs, as in assembly/jobs.ts. */
const Job = { forward: 1, nodes: 2, align: 3, weights: 4, pool: 5, init: 6, steps: 8, encode: 9 } as const;
type Job = (typeof Job)[keyof typeof Job];
/** Jobs that work on weights alone: they need no batch, and start no helpers but for many weights. */
const ON_WEIGHTS: readonly Job[] = [Job.pool, Job.init, Job.steps, Job.encode];

const PAGE_BYTES = 65_536;
/** Pages of a 32-bit memory. */
const PAGES_MAX = 65_536;
/** Room for the arguments of jobs to grow. */
const ARGUMENT_PAGES = 4_096;

/** Weights from which on starting helpers is worth its tens of milliseconds; see bench/results/replay.md. */
const HELPED_WEIGHTS = 2 ** 22;
/** Moves of weights by steps of a log that wait for each other, so that helpers have something to do. */
const WAITING_MOVES = 2 ** 18;
/** Moves from which on helpers that run are asked to help. */
const HELPED_MOVES = 2 ** 12;
/** A log that has moved so many weights took a quarter of a second, and is likely to go on: helpers pay. */
const LONG_LOG_MOVES = 2 ** 21;

export interface WasmOptions {
  /** Threads in all, the caller's among them; ≥ 1. */
  readonly threads: number;
  readonly simd?: SimdChoice;
  /** Ends the backend's summary. */
  readonly note?: string;
}

/**
 * Compiles the kernels for this engine.
 * @throws {BackendError} when the engine cannot run them, or so many threads
 * @example const backend = await openWasm({ threads: 2 });
 */
export async function openWasm({ threads, simd = 'auto', note }: WasmOptions): Promise<Backend> {
  const host = (await platform()).platform;
  if (threads > 1 && host.threadsFault !== null) {
    throw new BackendError(`"threads" expected 1, got ${threads}: ${host.threadsFault}`);
  }
  return new WasmBackend(host, await loadKernels('perceptron', simd), threads, simd, note);
}

class WasmBackend implements Backend {
  readonly name = 'wasm';
  readonly summary: string;
  readonly #placed = new Set<{ release(): Promise<void> }>();
  readonly #kernels = new Map<KernelSet, Kernels>();

  constructor(
    readonly host: Platform,
    perceptron: Kernels,
    readonly threads: number,
    readonly simd: SimdChoice,
    note?: string,
  ) {
    this.#kernels.set('perceptron', perceptron);
    const found = perceptron.relaxed ? 'relaxed SIMD' : 'SIMD';
    this.summary = `wasm, ${found}, ${threads} thread${threads === 1 ? '' : 's'}${note === undefined ? '' : `, ${note}`}`;
  }

  async place(graph: Graph, room: Room): Promise<Placed> {
    const onRelease = () => this.#placed.delete(placed);
    const training = room.probes !== undefined || room.weights === true;
    const model = graph as Network | Transformer;
    const placed = new PlacedInTurns(
      model.architecture === 'perceptron'
        ? new WasmNetwork(
            ...([this.host, await this.#load(training ? 'perceptron-training' : 'perceptron')] as const),
            ...([model, room, this.threads, onRelease] as const),
          )
        : new (await import('./text.js')).WasmText(
            ...([this.host, await this.#load(training ? 'transformer-training' : 'transformer')] as const),
            ...([model, room, this.threads, onRelease] as const),
          ),
      room,
    );
    this.#placed.add(placed);
    return placed;
  }

  /** A set of kernels, compiled once. */
  async #load(set: KernelSet): Promise<Kernels> {
    const kernels = this.#kernels.get(set) ?? (await loadKernels(set, this.simd));
    this.#kernels.set(set, kernels);
    return kernels;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#placed].map((placed) => placed.release()));
  }
}

class WasmNetwork implements Placed {
  readonly batchMax: number;
  readonly #guard: Guard;
  readonly #plan: MemoryPlan;
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: NetworkExports;
  readonly #helpers: HelperThreads;
  /** Where the arguments of the job at hand lie. */
  #arguments = new Layout();
  #batch = 0;
  /** Steps of a log that were not applied yet, and how many weights they move at most. */
  #waiting: { readonly set: DirectionSet; readonly coefficients: Int8Array }[] = [];
  #waitingMoves = 0;
  /** Moves by the steps that were applied since the latents were drawn. */
  #moves = 0;
  /** Whether the codes of the weights, which the products read, are those of the weights. */
  #encoded = false;

  constructor(
    readonly host: Platform,
    readonly compiled: Kernels,
    readonly network: Network,
    room: Room,
    readonly threads: number,
    readonly onRelease: () => void,
  ) {
    this.#guard = new Guard(network, room);
    this.batchMax = room.batch;
    this.#plan = planMemory(network, room, threads);
    const initial = Math.ceil(this.#plan.end / PAGE_BYTES) + 1;
    if (initial > PAGES_MAX) {
      const gibibytes = (this.#plan.end / 2 ** 30).toFixed(1);
      throw new ConfigError(
        `the model with a batch of ${room.batch} on ${threads} threads needs ${gibibytes} GiB of memory, ` +
          'more than the 4 GiB of wasm: use a smaller batch or fewer threads',
      );
    }
    const maximum = Math.min(PAGES_MAX, initial + ARGUMENT_PAGES);
    this.#memory = new WebAssembly.Memory({ initial, maximum, shared: true });
    const instance = new WebAssembly.Instance(compiled.module, { env: { memory: this.#memory, abort() {} } });
    this.#kernels = instance.exports as unknown as NetworkExports;
    this.#describe();
    this.#kernels.attach(this.#plan.control, 0);
    this.#helpers = new HelperThreads(
      ...[host, compiled.module, this.#kernels, this.#memory, this.#plan.control, threads - 1],
    );
  }

  get graph(): Network {
    return this.network;
  }

  get memory(): MemoryUse {
    const { weights, latents, batch } = this.#plan.use;
    return {
      weights,
      latents,
      batch,
      work: Math.max(this.#plan.end, this.#arguments.end) - weights - latents - batch,
    };
  }

  load(batchOfRows: Batch): void {
    const { inputs, labels } = batchOfRows;
    this.#guard.checkShape(batchOfRows);
    this.#batch = 0; // until the batch is found good
    const batch = labels.length;
    const width = this.network.widths[0];
    const stride = roundUp(width, 16);
    const rows = this.#u8(this.#plan.inputs, roundUp(batch, TILE) * stride);
    if (stride === width) rows.set(inputs);
    else {
      for (let row = 0; row < batch; row++)
        rows.set(inputs.subarray(row * width, (row + 1) * width), row * stride);
    }
    rows.fill(0, batch * stride); // the rest of the last tile
    this.#guard.checkRange(this.#kernels.unionOfBytes(this.#plan.inputs, rows.length));
    const marks = this.#u8(this.#plan.labels, roundUp(batch, TILE));
    marks.set(labels);
    marks.fill(0, batch);
    this.#batch = batch;
    this.#set('batch', batch);
  }

  async evaluate(): Promise<Evaluation> {
    await this.#applyWaiting();
    await this.#run(Job.forward, this.#tiles());
    return this.#evaluation();
  }

  async logits(): Promise<Int32Array> {
    await this.#applyWaiting();
    await this.#run(Job.forward, this.#tiles());
    const classes = this.network.widths.at(-1) as number;
    const stride = roundUp(classes, 16);
    const padded = this.#i32(this.#plan.logits, this.#batch * stride);
    const logits = new Int32Array(this.#batch * classes);
    for (let row = 0; row < this.#batch; row++) {
      logits.set(padded.subarray(row * stride, row * stride + classes), row * classes);
    }
    return logits;
  }

  async initLatents(key: Key, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#set('key0', key[0]);
    this.#set('key1', key[1]);
    this.#waiting = []; // what they would move is drawn anew
    this.#waitingMoves = 0;
    this.#moves = 0;
    this.#set('cut', cut);
    await this.#run(Job.init, this.network.layers.length);
  }

  async startLatents(trits: Int8Array, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#guard.checkWeights(trits);
    this.#waiting = []; // what they would move is written over
    this.#waitingMoves = 0;
    this.#moves = 0;
    this.#set('cut', cut);
    await this.writeWeights(trits);
    this.network.layers.forEach(({ weights: { offset, rows, columns } }, index) => {
      const latents = new Int8Array(this.#memory.buffer, this.#plan.layers[index].latents, rows * columns);
      for (let i = 0; i < latents.length; i++) latents[i] = latentOf(trits[offset + i], cut);
    });
  }

  async writeWeights(values: Int8Array): Promise<void> {
    this.#guard.checkWeights(values);
    await this.#applyWaiting();
    this.#arguments = new Layout(this.#plan.end);
    const address = this.#take(values.length);
    new Int8Array(this.#memory.buffer, address, values.length).set(values);
    this.#encoded = false;
    this.network.layers.forEach(({ weights, scale }, index) => {
      this.#kernels.unpack(index, address + weights.offset);
      if (!scale) return;
      const scales = values.subarray(scale.offset, scale.offset + scale.rows);
      this.#i32(this.#plan.layers[index].rowScales, scale.rows).set(scales);
    });
  }

  async readWeights(): Promise<Int8Array> {
    await this.#applyWaiting();
    const values = new Int8Array(this.network.parameters);
    this.network.layers.forEach(({ weights: { offset, rows, columns }, scale }, index) => {
      const { weights, inputStride, rowScales } = this.#plan.layers[index];
      for (let row = 0; row < rows; row++) {
        const from = new Int8Array(this.#memory.buffer, weights + row * inputStride, columns);
        values.set(from, offset + row * columns);
      }
      if (scale) values.set(this.#i32(rowScales, rows), scale.offset);
    });
    return values;
  }

  /** Nobody sees a step before the next job, so that many can be applied at once, on all threads. */
  async applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    this.#guard.checkCoefficients('Int8Array', coefficients, [set]);
    this.#waiting.push({ set, coefficients: coefficients.slice() });
    this.#waitingMoves += set.touched;
    if (this.#waitingMoves >= WAITING_MOVES) await this.#applyWaiting();
  }

  async #applyWaiting(): Promise<void> {
    this.#helpers.check();
    if (this.#waiting.length === 0) return;
    const [steps, moves] = [this.#waiting, this.#waitingMoves];
    this.#waiting = [];
    this.#waitingMoves = 0;
    this.#arguments = new Layout(this.#plan.end);
    this.#putSets(steps.map(({ set }) => set));
    const length = steps.reduce((sum, { coefficients }) => sum + coefficients.length, 0);
    const address = this.#take(length);
    let at = address;
    for (const { coefficients } of steps) {
      new Int8Array(this.#memory.buffer, at, coefficients.length).set(coefficients);
      at += coefficients.length;
    }
    this.#set('coefficients', address);
    this.#moves += moves;
    const helped = this.#helpers.running || this.#moves >= LONG_LOG_MOVES;
    if (helped && moves >= HELPED_MOVES && this.threads > 1) {
      await this.#helpers.start();
      await this.#run(Job.steps, this.threads);
    } else {
      steps.forEach((_, index) => this.#kernels.step(index));
      this.#encoded = false;
    }
  }

  async applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    this.#guard.checkCoefficients('Int16Array', coefficients, sets);
    await this.#applyWaiting();
    this.#arguments = new Layout(this.#plan.end);
    this.#putSets(sets);
    const address = this.#take(coefficients.length * 2);
    new Int16Array(this.#memory.buffer, address, coefficients.length).set(coefficients);
    this.#set('coefficients', address);
    await this.#run(Job.pool, this.#tilesOf(sets, 'rows', this.#kernels.POOL_ROWS));
  }

  async alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>> {
    this.#guard.checkWeightsRoom(this.#batch);
    await this.#applyWaiting();
    this.#arguments = new Layout(this.#plan.end);
    this.#putDirections(set, first, count);
    const address = this.#take(this.threads * count * 8);
    const sums = new Float64Array(this.#memory.buffer, address, this.threads * count).fill(0);
    this.#set('alignments', address);
    this.#set('alignmentCount', count);
    await this.#run(Job.weights, this.#tiles());
    return { alignments: mergeThreads(sums, new Float64Array(count)), evaluation: this.#evaluation() };
  }

  async align(probes: Probes, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const limit = this.#guard.requireProbes(this.#batch, probes);
    await this.#applyWaiting();
    if (sets) return this.#align(probes, limit, sets);
    const { alignEachWeight } = await import('../each-weight.js'); // training alone has a use for it
    return alignEachWeight(this.network, (single) => this.#align(probes, limit, single));
  }

  async #align(probes: Probes, limit: number, sets: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    this.#arguments = new Layout(this.#plan.end);
    this.#plan.layers.forEach((layer, index) => {
      // A layer without an address for its errors is not probed.
      const field = this.#plan.layer / 4 + index * LAYER.length + LAYER.indexOf('errors');
      this.#words()[field] = sets.some(({ group }) => group === index) ? layer.errors : 0;
    });
    this.#set('key0', probes.key[0]);
    this.#set('key1', probes.key[1]);
    this.#set('step', probes.step);
    this.#set('probes', probes.probes);
    this.#set('sigma', probes.sigma);
    this.#set('rewardShift', probes.rewardShift);
    this.#set('rewardLimit', limit);
    this.#set('firstRow', probes.shard?.first ?? 0);
    const count = sets.reduce((sum, set) => sum + set.directions, 0);
    this.#putSets(sets);
    const address = this.#take(this.threads * count * 4);
    const sums = this.#i32(address, this.threads * count).fill(0);
    this.#set('alignments', address);
    this.#set('alignmentCount', count);
    await this.#run(Job.nodes, this.#tiles());
    const evaluation = this.#evaluation();
    await this.#run(Job.align, this.#tilesOf(sets, 'columns', this.#kernels.ALIGNMENT_COLUMNS));
    return { alignments: mergeThreads(sums, new Int32Array(count)), evaluation };
  }

  restart(): void {}

  async next(byte: number): Promise<Int32Array> {
    this.#guard.checkNext(byte, 0);
    throw new TypeError('the guard refuses a byte where rows are examples');
  }

  async release(): Promise<void> {
    await this.#helpers.stop();
    this.onRelease();
  }

  /** Runs a job on all threads; starts the helpers when the first job comes that is worth it. */
  async #run(job: Job, tiles: number): Promise<void> {
    const onWeights = ON_WEIGHTS.includes(job);
    if (onWeights) this.#encoded = job === Job.encode;
    else if (job !== Job.align && !this.#encoded) await this.#run(Job.encode, this.#codeTiles());
    this.#guard.requireBatch(onWeights ? 1 : this.#batch);
    const worth = !onWeights || this.network.parameters >= HELPED_WEIGHTS;
    if (tiles > 1 && worth) await this.#helpers.start();
    await this.#helpers.run(job, tiles);
  }

  /** Writes everything that stays: tables, layers, addresses. */
  #describe(): void {
    const { network } = this;
    const plan = this.#plan;
    this.#i32(plan.exp2, EXP2.length).set(EXP2);
    this.#i32(plan.log2, LOG2.length).set(LOG2);
    this.#words().set(plan.layers.flatMap(layerWords), plan.layer / 4);
    for (let thread = 0; thread < this.threads; thread++) {
      this.#words().set(plan.scratchOffsets, (plan.scratch + thread * plan.scratchStride) / 4);
    }
    const fixed: Partial<Record<ControlField, number>> = {
      batchStride: plan.batchStride,
      layers: network.layers.length,
      layer: plan.layer,
      gain: network.gain,
      centred: network.centred ? 1 : 0,
      logitScale: network.logitScale,
      classes: network.widths.at(-1) as number,
      exp2: plan.exp2,
      log2: plan.log2,
      inputs: plan.inputs,
      labels: plan.labels,
      losses: plan.losses,
      predictions: plan.predictions,
      logits: plan.logits,
      scratch: plan.scratch,
      scratchStride: plan.scratchStride,
    };
    for (const [field, value] of Object.entries(fixed)) this.#set(field as ControlField, value);
  }

  /** Writes sets as the kernels take them; their coefficients follow one another. */
  #putSets(sets: readonly DirectionSet[]): void {
    const address = this.#take(sets.length * SET_WORDS * 4);
    let first = 0;
    sets.forEach((set, index) => {
      const { key, step, group, size, directions, touched, permutation } = set;
      const words = [
        ...[key[0], key[1], step, group, this.#tensorOf(set), size, directions, touched],
        ...[
          permutation.highs,
          permutation.lows,
          ...permutation.keys,
          first,
          alignmentShift(nonzerosMax(set)),
        ],
      ];
      this.#words().set(words, address / 4 + index * SET_WORDS);
      first += directions;
    });
    this.#set('sets', sets.length);
    this.#set('set', address);
  }

  /** Writes the nonzeros of a range of directions, each direction's in the order of the layers. */
  #putDirections(set: DirectionSet, first: number, count: number): void {
    const signs = new Signs(set);
    const start = [0];
    const entries: number[] = [];
    for (let k = 0; k < count; k++) {
      const indices = weightsOfDirection(set, (first + k) % set.directions).sort((a, b) => a - b);
      for (const index of indices) {
        const at = set.offset + index;
        const layer = this.network.layers.findLastIndex(({ weights }) => weights.offset <= at);
        const { offset, columns } = this.network.layers[layer].weights;
        const row = Math.floor((at - offset) / columns);
        entries.push(layer, row, at - offset - row * columns, signs.at(index));
      }
      start.push(entries.length / ENTRY_WORDS);
    }
    const startAt = this.#take(start.length * 4);
    this.#words().set(start, startAt / 4);
    const entriesAt = this.#take(entries.length * 4);
    this.#words().set(entries, entriesAt / 4);
    this.#set('directions', count);
    this.#set('directionStart', startAt);
    this.#set('entries', entriesAt);
  }

  #tensorOf({ offset, size }: DirectionSet): number {
    if (size === this.network.parameters && this.network.layers.length > 1) return -1;
    return this.network.layers.findIndex(({ weights }) => weights.offset === offset);
  }

  #evaluation(): Evaluation {
    return {
      losses: this.#i32(this.#plan.losses, this.#batch).slice(),
      predictions: this.#u8(this.#plan.predictions, this.#batch).slice(),
    };
  }

  #codeTiles(): number {
    const rows = this.#kernels.CODE_ROWS.value as number;
    return this.network.layers.reduce((sum, { weights }) => sum + Math.ceil(weights.rows / rows), 0);
  }

  #tiles(): number {
    return Math.ceil(this.#batch / TILE);
  }

  /** Units of work that take so many rows or columns of the sets' tensors each. */
  #tilesOf(sets: readonly DirectionSet[], side: 'rows' | 'columns', each: WebAssembly.Global): number {
    return sets.reduce((sum, set) => {
      const { weights } = this.network.layers[this.#tensorOf(set)];
      return sum + Math.ceil(weights[side] / (each.value as number));
    }, 0);
  }

  /** Room for an argument of the next job; arguments live until that job is done. */
  #take(bytes: number): number {
    const address = this.#arguments.take(bytes);
    const missing = this.#arguments.end - this.#memory.buffer.byteLength;
    if (missing > 0) this.#growBy(Math.ceil(missing / PAGE_BYTES));
    return address;
  }

  #growBy(pages: number): void {
    try {
      this.#memory.grow(pages);
    } catch (cause) {
      throw new ConfigError('the directions of a step need more memory than there is: use fewer', { cause });
    }
  }

  #set(field: ControlField, value: number): void {
    this.#words()[this.#plan.control / 4 + CONTROL.indexOf(field)] = value;
  }

  #words(): Int32Array {
    return new Int32Array(this.#memory.buffer);
  }

  #i32(address: number, length: number): Int32Array {
    return new Int32Array(this.#memory.buffer, address, length);
  }

  #u8(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, address, length);
  }
}

/** Sums the threads' shares, [threads, count] to [count]; integers, so the order is free. */
function mergeThreads<Values extends Float64Array | Int32Array>(shares: Values, merged: Values): Values {
  for (let i = 0; i < shares.length; i++) {
    const at = i % merged.length;
    merged[at] += shares[i];
  }
  return merged;
}
