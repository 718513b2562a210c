/** What every model is to those who store, hash or rebuild it. */

import type { Values } from './precision.js';

/**
 * A weight matrix, [rows, columns] = [outputs, inputs], or the scales of its rows, [rows, 1];
 * row-major in the model's flat order.
 */
export interface Tensor {
  readonly name: string;
  readonly values: Values;
  readonly rows: number;
  readonly columns: number;
  /** Index of its first value among all values of the model. */
  readonly offset: number;
}

/** An ordered list of tensors. */
export interface Model {
  readonly tensors: readonly Tensor[];
  /** Values of all tensors together. */
  readonly parameters: number;
}

/** No tensor may have more weights: sums of a row's absolute values stay below 2^31 (see the builders). */
export const TENSOR_WEIGHTS_MAX = 1 << 22;
/**
 * No model may have more weights. Replaying takes two bytes a weight, a weight and its latent, and the
 * caller's copy is a third: 0.4 GB at the limit, and wasm's memory ends at 4 GiB. Nothing is allocated by
 * what a header declares unless the file is long enough for it, or somebody asks for the weights.
 */
export const PARAMETERS_MAX = 1 << 27;
