/**
 * Fused kernels: operations of the ste trainer that a TensorFlow.js backend may have as one
 * kernel. They are registered with TensorFlow.js itself; where the current backend has none,
 * the caller composes the operation from TensorFlow.js's own, which is its definition.
 */

import * as tf from '@tensorflow/tfjs-core';

/** Names in TensorFlow.js's kernel registry. */
export const FUSED = {
  linear: 'TernseedLinear',
  weightGradient: 'TernseedWeightGradient',
  inputGradient: 'TernseedInputGradient',
  normalize: 'TernseedNormalize',
  /** On webgpu alone: elsewhere TensorFlow.js's int32 is exact. */
  rescale: 'TernseedRescale',
  normalizeGradient: 'TernseedNormalizeGradient',
  ternarize: 'TernseedTernarize',
  adamw: 'TernseedAdamw',
  expandPool: 'TernseedExpandPool',
  poolGradient: 'TernseedPoolGradient',
  signedLinear: 'TernseedSignedLinear',
  requantize: 'TernseedRequantize',
  requantizeGradient: 'TernseedRequantizeGradient',
  addToStream: 'TernseedAddToStream',
  rotate: 'TernseedRotate',
  rotateGradient: 'TernseedRotateGradient',
  rmsNorm: 'TernseedRmsNorm',
  rmsNormGradient: 'TernseedRmsNormGradient',
  attention: 'TernseedAttention',
  attentionGradient: 'TernseedAttentionGradient',
  hiddenUnits: 'TernseedHiddenUnits',
  gated: 'TernseedGated',
  gatedGradient: 'TernseedGatedGradient',
  embed: 'TernseedEmbed',
  embedGradient: 'TernseedEmbedGradient',
  softmax: 'TernseedSoftmax',
  softmaxGradient: 'TernseedSoftmaxGradient',
} as const;
export type FusedName = (typeof FUSED)[keyof typeof FUSED];

/** A fused kernel as a backend registers it. */
export interface FusedKernel extends tf.KernelConfig {
  /** Whether it takes these sizes; left out: all. */
  readonly takes?: (
    inputs: Readonly<Record<string, tf.TensorInfo>>,
    attributes: Readonly<Record<string, number | boolean>>,
  ) => boolean;
}

/** Runs a fused kernel where the current backend has it and it takes these sizes; else null. */
export function runFused<Result extends tf.Tensor | tf.Tensor[]>(
  name: FusedName,
  inputs: Record<string, tf.Tensor>,
  attributes: Record<string, number | boolean> = {},
): Result | null {
  const kernel = tf.getKernel(name, tf.getBackend()) as FusedKernel | undefined;
  if (!kernel || kernel.takes?.(inputs, attributes) === false) return null;
  return tf.engine().runKernel(name, inputs, attributes) as Result;
}
