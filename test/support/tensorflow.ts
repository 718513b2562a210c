/** The TensorFlow.js backends that suites loop over, and the smallest ste run there is. */

import * as tf from '@tensorflow/tfjs-core';
import type { SteConfig } from '../../src/backprop/config.js';
import { FUSED } from '../../src/backprop/kernels/fused.js';
import { STE_PRESETS } from '../../src/backprop/presets.js';
import { openTensorflow, type TensorflowBackend } from '../../src/backprop/tensorflow.js';
import './adapter.js';

/** Opens tfjs-wasm as it is, so that every operation is composed of TensorFlow.js's own. */
async function openComposed(): Promise<TensorflowBackend> {
  const backend = await openTensorflow('wasm');
  for (const { kernelName } of tf.getKernelsForBackend('wasm')) {
    if ((Object.values(FUSED) as string[]).includes(kernelName)) tf.unregisterKernel(kernelName, 'wasm');
  }
  return backend;
}

/** Each backend by the name that tests print. CI has them all. */
export const tensorflowBackends: readonly (readonly [string, () => Promise<TensorflowBackend>])[] = [
  ['wasm, fused kernels', () => openTensorflow('wasm')],
  ['wasm, composed', openComposed],
  ['cpu', () => openTensorflow('cpu')],
  ['webgpu', () => openTensorflow('webgpu')],
];

/** A run of milliseconds on the tiny data. */
export const tinySte: SteConfig = {
  ...STE_PRESETS.default,
  ...{ model: '36-13-8-4', logitScale: 480, quantizer: ['absmean'], threshold: [0.6], seed: 'tiny' },
  ...{ steps: 12, batch: 32, shift: 0, learningRate: 0.01, pool: 60 },
};

/** The same run as options of the command line. */
export const tinySteOptions: readonly string[] = [
  ...['--method', 'ste', '--model', '36-13-8-4', '--logit-scale', '480', '--quantizer', 'absmean'],
  ...['--seed', 'tiny', '--steps', '12', '--batch', '32', '--shift', '0', '--learning-rate', '0.01'],
];
