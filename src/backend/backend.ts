/**
 * What a backend is: a connector to a piece of hardware on which a model can be placed.
 * `reference` is plain TypeScript and defines every operation; the others must equal it bit
 * for bit. A backend knows graphs, latents and directions; it knows no trainer and no file.
 *
 * Methods that start work return promises, because a GPU answers later; results are plain
 * arrays that belong to the caller. Calls on one placed model take turns: each has the results
 * that it would have if every call before had been awaited, and sees what was loaded last when
 * it was called. A call that fails leaves the next ones their turn. Where a device or a thread
 * is lost, a BackendError says so, and all later calls on the model fail with it.
 */

import type { DirectionSet } from '../random/directions.js';
import type { Key } from '../random/philox.js';
import type { Graph } from '../ternary/graph.js';
import type { Batch } from './batch.js';

export type BackendName = 'reference' | 'wasm' | 'webgpu';

export interface Backend {
  readonly name: BackendName;
  /** For people: `wasm, relaxed SIMD, 2 threads`. */
  readonly summary: string;
  /**
   * Makes room for a model and one batch. Values and latents start at zero.
   * @throws {ConfigError} when the room asked for is out of range, or more than there is
   */
  place(graph: Graph, room: Room): Promise<Placed>;
  /** Frees the device; placed models are dead after it. */
  close(): Promise<void>;
}

/** What a placed model must have room for. */
export interface Room {
  /** The most examples, or windows of the model's context, that will be loaded: 1…65536, or 1…4096. */
  readonly batch: number;
  /** The most probes that `align` will be called with, 0…64; left out: it will not be called. */
  readonly probes?: number | undefined;
  /** Whether `alignWeights` will be called. */
  readonly weights?: boolean | undefined;
}

/** Results of the unperturbed forward pass, one entry a row of the batch. */
export interface Evaluation {
  /** [rows] cross-entropy in 2⁻¹⁶ bits. */
  readonly losses: Int32Array;
  /** [rows] the class, or byte, with the largest logit. */
  readonly predictions: Uint8Array;
}

/** How `align` disturbs sums. */
export interface Probes {
  readonly key: Key;
  readonly step: number;
  /** R, antithetic pairs for each operation that is probed, 0…64; with 0 exact errors alone are aligned. */
  readonly probes: number;
  /** Size of a probe as a share of the mean absolute sum of its row, in 1/256; 1…256. */
  readonly sigma: number;
  /** A difference of losses is divided by 2^rewardShift before it is clipped; 0…16. */
  readonly rewardShift: number;
  /**
   * So many positions after its own count to the reward of a probe that later positions see; 0…4, 0 if left out.
   */
  readonly horizon?: number | undefined;
  /** Of a shard: what the loaded rows are of the whole batch. Alignments of its shards add up to those of a batch. */
  readonly shard?: Shard | undefined;
}

/** Rows of a batch that is shared out. */
export interface Shard {
  /** Index of the first row that is loaded. */
  readonly first: number;
  /** Rows of the whole batch. */
  readonly rows: number;
}

/** Bytes on the device, by what they hold. */
export interface MemoryUse {
  /** The weights as kernels read them. */
  readonly weights: number;
  readonly latents: number;
  /** One batch: inputs, labels, results, and the activations and errors that `align` needs. */
  readonly batch: number;
  /** Everything else: tables, tiles of a thread, arguments of jobs such as the coefficients. */
  readonly work: number;
}

/** A model on a device. */
export interface Placed {
  readonly graph: Graph;
  /** The most examples or windows of a batch. */
  readonly batchMax: number;

  /**
   * Copies a batch to the device, for the calls that follow; those that are under way keep theirs.
   * @throws {ConfigError} when it does not fit the model or the room
   * @example placed.load({ inputs, labels, length: 1 })
   */
  load(batch: Batch): void;
  /** Losses and predictions of the loaded batch; each position of a window sees those before it. */
  evaluate(): Promise<Evaluation>;
  /** [rows, classes] logits of the loaded batch. */
  logits(): Promise<Int32Array>;

  /**
   * Sets the values of all tensors, in the model's order; latents are left alone.
   * @throws {ConfigError} when there are too few or many, or one is out of its tensor's range
   */
  writeWeights(values: Int8Array): Promise<void>;
  /** The values of all tensors in the model's order. */
  readWeights(): Promise<Int8Array>;

  // What has to do with latents and directions is for models that have initial values; others throw a ConfigError.

  /**
   * Sets latents to the initial draw of a key and the values to what they stand for.
   * @param cut - of ternary tensors; see src/random/latents.ts
   */
  initLatents(key: Key, cut: number): Promise<void>;
  /**
   * Sets latents to what the values of a base stand for, ±(2·cut + 1) or 0 for trits, and the values to those.
   * @param values - of all tensors in the model's order
   * @throws {ConfigError} when there are too few or many, or one is out of its tensor's range
   */
  startLatents(values: Int8Array, cut: number): Promise<void>;
  /**
   * One update of a seed log: latent = clamp(latent − coefficient·sign, −R, R) along every
   * direction of the set, and the values follow.
   * @param coefficients - [K] trits
   */
  applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void>;
  /**
   * The values of a seed pool: what initial latent + coefficient·sign stands for. Latents are left at
   * their initial draw, so the result does not depend on earlier calls.
   * @param sets - at most one a tensor, each touching all its weights; the others stay
   * @param coefficients - [Σ K], the sets' coefficients one after another, |c| < 2^15
   */
  applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void>;

  /**
   * `weights` estimator: for each direction ν of a range, Σ over the batch of
   * loss(θ + ν) − loss(θ − ν). Perturbed weights are not clamped.
   * @param set - over one tensor or the whole model
   * @param first - the range is first…first + count − 1, wrapping at K
   * @returns [count] exact integers, and the unperturbed evaluation
   * @throws {ConfigError} when there is no room for it, or weights are no trits
   */
  alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>>;
  /**
   * `nodes` estimator: the sums of each operation that is probed are disturbed alone by random antithetic probes,
   * and its weights aligned by Σ δ̂·x; where the loss gives the errors in closed form, they are exact. See
   * docs/arithmetic.md and docs/transformer.md for the definition.
   * @param sets - at most one a tensor, `group` its index; tensors without one are not aligned. Left out: all are.
   * @returns alignments of the directions, [Σ K], or of all values in the model's order, [parameters], 0 of scales;
   * and the unperturbed evaluation
   * @throws {ConfigError} when there is no room for it, or a batch has more than 8,192 rows
   */
  align(probes: Probes, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>>;

  /** Forgets what `next` took; so do `evaluate` and `align`. */
  restart(): void;
  /**
   * Takes one more byte of a text.
   * @returns [classes] logits of the byte after it, in 2⁻¹⁶ bits
   * @throws {ConfigError} when the context is full, or rows are examples by themselves
   */
  next(byte: number): Promise<Int32Array>;

  /** What the model takes on the device now. */
  readonly memory: MemoryUse;
  /** Frees the room and its threads when the calls under way are done; calls after it are refused. */
  release(): Promise<void>;
}

export interface Alignment<Values> {
  readonly alignments: Values;
  readonly evaluation: Evaluation;
}

/** The most probes of `align`. */
export const PROBES_MAX = 64;

/** The most rows of a batch for `align`: the last layer's errors, up to 2048, times 127 a batch long fit i32. */
export const NODES_BATCH_MAX = 8192;

/** The largest |δ̂| for which Σ δ̂·x over a batch fits i32, at most what two signed bytes hold: 256·127 + 127. */
export function errorLimit(batch: number): number {
  return Math.min(32_639, Math.floor((2 ** 31 - 1) / (127 * batch)));
}

/** Bits by which Σ δ̂·x is rounded before a direction of that many nonzeros sums it up. */
export function alignmentShift(nonzeros: number): number {
  return nonzeros === 1 ? 0 : 33 - Math.clz32(nonzeros - 1); // ⌈log₂ nonzeros⌉ + 1
}
