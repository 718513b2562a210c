/**
 * What a quantizer is: it turns the real shadow weights of a layer into the integers that the
 * network computes with, and says how a gradient by those integers becomes one by the shadow
 * weights (a straight-through estimator). Scales that are common to a layer do not appear:
 * `normalize` takes them out of hidden layers, and `logitScale` stands for that of the last.
 * Neither Adam nor Muon sees the scale of a gradient, so none is applied there either.
 */

import type * as tf from '@tensorflow/tfjs-core';

/** A layer's integers as tensors. */
export interface QuantizedLayer {
  /** [M, N] integers in float32, within the precision's range. */
  readonly weights: tf.Tensor2D;
  /** [M] integers 1…127, relative to the largest row's scale, for a precision with row scales. */
  readonly rowScales?: tf.Tensor1D;
}

/** A quantizer of one layer. */
export interface Quantizer {
  /** Whether the gradient by the shadow weights is that by the integers. */
  readonly straightThrough?: boolean;
  /** First values of the parameters that are learnt beside the shadow weights, from those. */
  readonly initial?: (shadow: tf.Tensor2D) => tf.Tensor;
  /**
   * Quantizes; differentiable by the shadow weights and the learnt parameters.
   * @param shadow - [M, N]
   * @param learnt - as `initial` made it, for a quantizer that has it
   */
  quantize(shadow: tf.Tensor2D, learnt?: tf.Tensor): QuantizedLayer;
}
