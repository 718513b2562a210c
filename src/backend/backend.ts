/**
 * What a backend is: a connector to a piece of hardware on which a network can be placed.
 * `reference` is plain TypeScript and defines every operation; the others must equal it bit
 * for bit. A backend knows networks, latents and directions; it knows no trainer and no file.
 *
 * Methods that start work return promises, because a GPU answers later; results are plain
 * arrays that belong to the caller. Calls on one placed model take turns: each has the results
 * that it would have if every call before had been awaited, and sees what was loaded last when
 * it was called. A call that fails leaves the next ones their turn. Where a device or a thread
 * is lost, a BackendError says so, and all later calls on the model fail with it.
 */

import type { DirectionSet } from '../random/directions.js';
import type { Key } from '../random/philox.js';
import type { Network } from '../ternary/network.js';
import type { Transformer } from '../ternary/transformer.js';

export type BackendName = 'reference' | 'wasm' | 'webgpu';

export interface Backend {
  readonly name: BackendName;
  /** For people: `wasm, relaxed SIMD, 2 threads`. */
  readonly summary: string;
  /**
   * Makes room for a network and one batch. Weights and latents start at zero.
   * @throws {ConfigError} when the room asked for is out of range
   */
  place(network: Network, room: Room): Promise<PlacedNetwork>;
  /**
   * Makes room for a transformer and windows of text. Values start at zero.
   * @throws {ConfigError} when the room asked for is out of range
   */
  placeText(model: Transformer, room: TextRoom): Promise<PlacedText>;
  /** Frees the device; placed networks are dead after it. */
  close(): Promise<void>;
}

/** What a placed network must have room for. */
export interface Room {
  /** The largest batch that will be loaded, 1…65536. */
  readonly batch: number;
  /** The most probes that `alignNodes` will be called with; left out or 0: it will not be called. */
  readonly probes?: number;
  /** Whether `alignWeights` will be called. */
  readonly weights?: boolean;
}

/** Results of the unperturbed forward pass, one entry an example of the batch. */
export interface Evaluation {
  /** [B] cross-entropy in 2⁻¹⁶ bits. */
  readonly losses: Int32Array;
  /** [B] the class with the largest logit. */
  readonly predictions: Uint8Array;
}

/** How `alignNodes` disturbs the pre-activations. */
export interface NodeProbes {
  readonly key: Key;
  readonly step: number;
  /** R, antithetic pairs per hidden layer, 1…64. */
  readonly probes: number;
  /** Size of a probe as a share of the layer's mean absolute pre-activation, in 1/256; 1…256. */
  readonly sigma: number;
  /** A difference of losses is divided by 2^rewardShift before it is clipped; 0…16. */
  readonly rewardShift: number;
}

/** Bytes on the device, by what they hold. */
export interface MemoryUse {
  /** The weights as kernels read them. */
  readonly weights: number;
  readonly latents: number;
  /** One batch: inputs, labels, results, and the activations and errors that `alignNodes` needs. */
  readonly batch: number;
  /** Everything else: tables, tiles of 16 examples a thread, arguments of jobs such as the coefficients. */
  readonly work: number;
}

export interface PlacedNetwork {
  readonly network: Network;
  readonly batchMax: number;

  /**
   * Copies a batch to the device, for the calls that follow; those that are under way keep theirs.
   * @param inputs - [B, N] u7
   * @param labels - [B], each below the number of classes; B in 1…batchMax
   */
  loadBatch(inputs: Uint8Array, labels: Uint8Array): void;
  /** Losses and predictions of the loaded batch. */
  evaluate(): Promise<Evaluation>;
  /** [B, C] logits of the loaded batch. */
  logits(): Promise<Int32Array>;

  // What has to do with latents and directions is for networks of ternary layers alone; the
  // others throw a ConfigError.

  /** Sets latents to the initial draw of a key and the weights to what they stand for. */
  initLatents(key: Key, cut: number): Promise<void>;
  /**
   * Sets latents to what the trits of a base stand for, ±(2·cut + 1) or 0, and the weights to those trits.
   * @param trits - of all tensors in the model's order
   * @throws {ConfigError} when there are too few or many, or one is no trit
   */
  startLatents(trits: Int8Array, cut: number): Promise<void>;
  /**
   * Sets the values of all tensors, in the model's order; latents are left alone.
   * @throws {ConfigError} when there are too few or many, or one is out of its tensor's range
   */
  writeWeights(weights: Int8Array): Promise<void>;
  /** The values of all tensors in the model's order. */
  readWeights(): Promise<Int8Array>;

  /**
   * One update of a seed log: latent = clamp(latent − coefficient·sign, −R, R) along every
   * direction of the set, and the weights follow.
   * @param coefficients - [K] trits
   */
  applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void>;
  /**
   * The weights of a seed pool: trit(initial latent + coefficient·sign). Latents are left at
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
   */
  alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>>;
  /**
   * `nodes` estimator: random antithetic probes on the pre-activations of the active units of
   * each hidden layer, then the alignment of every direction from Σ δ̂·x. The last layer's
   * errors are exact. See docs/arithmetic.md for the definition.
   * @param sets - at most one a tensor, `group` its index; tensors without one are not trained
   * @returns [Σ K], and the unperturbed evaluation
   */
  alignNodes(probes: NodeProbes, sets: readonly DirectionSet[]): Promise<Alignment<Int32Array>>;

  /** What the network takes on the device now. */
  readonly memory: MemoryUse;
  /** Frees the room and its threads when the calls under way are done; calls after it are refused. */
  release(): Promise<void>;
}

/** What a placed transformer must have room for. */
export interface TextRoom {
  /** The most windows that will be loaded, 1…4096. */
  readonly windows: number;
  /** Whether `align` will be called. */
  readonly align?: boolean;
  /** Probes that may go at once, if that takes memory: 16 if left out. More go one after another. */
  readonly probes?: number;
}

/** How `align` disturbs the sums of a transformer's matrices. */
export interface TextProbes {
  readonly key: Key;
  readonly step: number;
  /** R, antithetic pairs of each application of a matrix, 0…64; with 0 the head alone is aligned. */
  readonly probes: number;
  /** Size of a probe as a share of the mean absolute sum at a position, in 1/256; 1…256. */
  readonly sigma: number;
  /** A difference of losses is divided by 2^rewardShift before it is clipped; 0…16. */
  readonly rewardShift: number;
  /**
   * So many positions after its own count to the reward of a probe on the embedding, queries, keys and values,
   * which later positions see; 0…4.
   */
  readonly horizon: number;
}

/** A transformer on a device: losses of windows of text, and text byte by byte. */
export interface PlacedText {
  readonly model: Transformer;

  /**
   * Sets the values of all tensors, in the model's order.
   * @throws {ConfigError} when there are too few or many, or one is out of its tensor's range
   */
  writeWeights(values: Int8Array): Promise<void>;
  /**
   * Copies windows to the device, for the calls that follow; those that are under way keep theirs.
   * @param bytes - [B, length + 1]; the last byte of a window is only foretold
   * @param length - positions of a window, 1…context
   */
  loadWindows(bytes: Uint8Array, length: number): void;
  /** [B·length] losses and predictions of the byte after each position, which sees its window from the start. */
  evaluate(): Promise<Evaluation>;

  /**
   * Node perturbation: each matrix of each block, and the embedding, is disturbed alone, at all positions at once,
   * and aligned by what that does to the losses; the head's alignment is exact. See docs/transformer.md.
   * @returns [parameters] alignments of all values in model order, 0 of the scales; and the unperturbed evaluation
   * @throws {ConfigError} when the room has no `align`, the head is the embedding, or a batch has more than 8,192
   * positions
   */
  align(probes: TextProbes): Promise<Alignment<Int32Array>>;

  /** Forgets what `next` took; so do `evaluate` and `align`. */
  restart(): void;
  /**
   * Takes one more byte of a text.
   * @returns [256] logits of the byte after it, in 2⁻¹⁶ bits
   * @throws {ConfigError} when the context is full
   */
  next(byte: number): Promise<Int32Array>;

  /** Frees the room and its threads when the calls under way are done; calls after it are refused. */
  release(): Promise<void>;
}

export interface Alignment<Values> {
  readonly alignments: Values;
  readonly evaluation: Evaluation;
}

/** The most probes of `alignNodes`. */
export const PROBES_MAX = 64;

/** The largest batch of `alignNodes`: the last layer's errors, up to 2048, times 127 a batch long fit i32. */
export const NODES_BATCH_MAX = 8192;

/** The largest |δ̂| for which Σ δ̂·x over a batch fits i32, at most what two signed bytes hold: 256·127 + 127. */
export function errorLimit(batch: number): number {
  return Math.min(32_639, Math.floor((2 ** 31 - 1) / (127 * batch)));
}

/** Bits by which Σ δ̂·x is rounded before a direction of that many nonzeros sums it up. */
export function alignmentShift(nonzeros: number): number {
  return nonzeros === 1 ? 0 : 33 - Math.clz32(nonzeros - 1); // ⌈log₂ nonzeros⌉ + 1
}
