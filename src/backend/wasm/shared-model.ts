/**
 * The memory that the kernels share, with a model in it, and the jobs that they do there. What a job is about is
 * written before it; whoever asks for one has checked that it can be done.
 */

import { ConfigError } from '../../errors.js';
import type { Encoders } from '../../ops/instruction.js';
import { type DirectionSet, nonzerosMax } from '../../random/directions.js';
import { classesOf, type Graph } from '../../ternary/graph.js';
import { alignmentShift, type Evaluation, type Room } from '../backend.js';
import type { Platform } from '../platform/platform.js';
import { HelperThreads } from './helpers.js';
import type { KernelExports, Kernels } from './kernels.js';
import { Layout } from './layout.js';
import { type MemoryPlan, planMemory, TILE } from './plan.js';
import type { TrainingPlanner } from './training-plan.js';
import { CONTROL, type ControlField, SET_WORDS } from './structures.js';

/** Jobs, as in assembly/jobs.ts. */
export const Job = {
  forward: 1,
  nodes: 2,
  align: 3,
  weights: 4,
  pool: 5,
  init: 6,
  steps: 8,
  encode: 9,
} as const;
export type Job = (typeof Job)[keyof typeof Job];
/** Jobs that work on weights alone: they need no batch, and start no helpers but for many weights. */
const ON_WEIGHTS: readonly Job[] = [Job.pool, Job.init, Job.steps, Job.encode];

const PAGE_BYTES = 65_536;
/** Pages of a 32-bit memory. */
const PAGES_MAX = 65_536;
/** Room for the arguments of jobs to grow. */
const ARGUMENT_PAGES = 4_096;

/** Weights from which on starting helpers is worth its tens of milliseconds; see bench/results/replay.md. */
const HELPED_WEIGHTS = 2 ** 22;

export class SharedModel {
  readonly plan: MemoryPlan;
  readonly kernels: KernelExports;
  readonly helpers: HelperThreads;
  /** Rows that are loaded, and of a tile. */
  rows = 0;
  tileRows = TILE;
  /** Whether the codes of the weights, which the products read, are those of the weights. */
  encoded = false;
  readonly #memory: WebAssembly.Memory;
  /** Where the arguments of the job at hand lie. */
  #arguments = new Layout();

  /** @throws {ConfigError} when it needs more memory than wasm has */
  constructor(
    host: Platform,
    compiled: Kernels,
    readonly graph: Graph,
    encoders: Encoders,
    room: Room,
    readonly threads: number,
    training: TrainingPlanner | null,
  ) {
    this.plan = planMemory(graph, room, threads, encoders, training);
    const { control, contents, end } = this.plan;
    const initial = Math.ceil(end / PAGE_BYTES) + 1;
    if (initial > PAGES_MAX) {
      throw new ConfigError(
        `the model with a batch of ${room.batch} on ${threads} threads needs ${(end / 2 ** 30).toFixed(1)} GiB of ` +
          'memory, more than the 4 GiB of wasm: use a smaller batch or fewer threads',
      );
    }
    const logits = Math.ceil((room.batch * graph.context * 4 * classesOf(graph)) / PAGE_BYTES);
    const maximum = Math.min(PAGES_MAX, initial + logits + ARGUMENT_PAGES);
    this.#memory = new WebAssembly.Memory({ initial, maximum, shared: true });
    const instance = new WebAssembly.Instance(compiled.module, { env: { memory: this.#memory, abort() {} } });
    this.kernels = instance.exports as unknown as KernelExports;
    for (const [address, values] of contents) {
      if (values instanceof Int16Array) new Int16Array(this.#memory.buffer).set(values, address / 2);
      else this.words().set(values, address / 4);
    }
    this.kernels.attach(control, 0);
    this.helpers = new HelperThreads(
      ...[host, compiled.module, this.kernels, this.#memory, control, threads - 1],
    );
  }

  /** The end of what is in use. */
  get end(): number {
    return Math.max(this.plan.end, this.#arguments.end);
  }

  /** Runs a job on all threads; starts the helpers when the first job comes that is worth it. */
  async run(job: Job, tiles: number): Promise<void> {
    const onWeights = ON_WEIGHTS.includes(job);
    if (onWeights) this.encoded = job === Job.encode;
    else await this.encode();
    const worth = !onWeights || this.graph.parameters >= HELPED_WEIGHTS;
    if (tiles > 1 && worth) await this.helpers.start();
    await this.helpers.run(job, tiles);
  }

  /** Brings the codes of the weights up to date. */
  async encode(): Promise<void> {
    const tiles = this.encoded ? 0 : this.#codeTiles();
    if (tiles > 0) await this.run(Job.encode, tiles);
    this.encoded = true;
  }

  /** Writes sets as the kernels take them; their coefficients follow one another. */
  putSets(sets: readonly DirectionSet[]): void {
    const address = this.take(sets.length * SET_WORDS * 4);
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
      this.words().set(words, address / 4 + index * SET_WORDS);
      first += directions;
    });
    this.set({ sets: sets.length, set: address });
  }

  #tensorOf({ offset, size }: DirectionSet): number {
    const { parameters, tensors } = this.graph;
    if (size === parameters && tensors.length > 1) return -1;
    return tensors.findIndex((tensor) => tensor.offset === offset);
  }

  evaluation(): Evaluation {
    return {
      losses: this.i32(this.plan.losses, this.rows).slice(),
      predictions: this.u8(this.plan.predictions, this.rows).slice(),
    };
  }

  #codeTiles(): number {
    const rows = this.kernels.CODE_ROWS.value as number;
    const coded = this.plan.tensors.filter(({ codes }) => codes !== 0);
    return coded.reduce((sum, tensor) => sum + Math.ceil(tensor.rows / rows), 0);
  }

  tiles(): number {
    return Math.ceil(this.rows / this.tileRows);
  }

  /** Units of work that take so many rows or columns of the sets' tensors each. */
  tilesOf(sets: readonly DirectionSet[], side: 'rows' | 'columns', each: WebAssembly.Global): number {
    return sets.reduce((sum, set) => {
      const tensor = this.graph.tensors[this.#tensorOf(set)];
      return sum + Math.ceil(tensor[side] / (each.value as number));
    }, 0);
  }

  /** Forgets the arguments of the job before. */
  begin(): void {
    this.#arguments = new Layout(this.plan.end);
  }

  /** Room for an argument of the next job; arguments live until that job is done. */
  take(bytes: number): number {
    const address = this.#arguments.take(bytes);
    const missing = this.#arguments.end - this.#memory.buffer.byteLength;
    if (missing > 0) this.#growBy(Math.ceil(missing / PAGE_BYTES));
    return address;
  }

  #growBy(pages: number): void {
    try {
      this.#memory.grow(pages);
    } catch (cause) {
      throw new ConfigError(
        'the directions of a step, or the logits of a batch, need more memory than there is: use fewer',
        { cause },
      );
    }
  }

  set(fields: Partial<Record<ControlField, number>>): void {
    const words = this.words();
    for (const [field, value] of Object.entries(fields)) {
      words[this.plan.control / 4 + CONTROL.indexOf(field as ControlField)] = value;
    }
  }

  words(): Int32Array {
    return new Int32Array(this.#memory.buffer);
  }

  i32(address: number, length: number): Int32Array {
    return new Int32Array(this.#memory.buffer, address, length);
  }

  u8(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, address, length);
  }

  i8(address: number, length: number): Int8Array {
    return new Int8Array(this.#memory.buffer, address, length);
  }
}
