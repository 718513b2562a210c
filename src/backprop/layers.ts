/**
 * Where the integers of a layer come from while it is trained: real shadow weights through a
 * quantizer, or the real coefficients of a seed pool.
 */

import * as tf from '@tensorflow/tfjs-core';
import { poolSets } from '../random/directions.js';
import { coefficientLimit } from '../random/latents.js';
import { type Key, Purpose, philox, streamOf } from '../random/philox.js';
import type { Network } from '../ternary/network.js';
import { entryOf, type SteConfig } from './config.js';
import { PoolTensor } from './ops/pool.js';
import type { Parameter } from './optimizers/optimizer.js';
import { quantizerOf } from './quantizers/index.js';
import type { QuantizedLayer } from './quantizers/quantizer.js';

/** A layer and what is trained of it. */
export interface TrainedLayer {
  readonly parameters: readonly Parameter[];
  /** The integers that its parameters stand for, differentiable by them. */
  quantize(): QuantizedLayer;
  dispose(): void;
}

/** A pool's real coefficients end this far above the largest integer, short of rounding up. */
const SHORT_OF_HALF = 0.49;

/** One real shadow weight a weight, Gaussian at first, and what the quantizers learn beside them. */
export function shadowedLayers(config: SteConfig, network: Network, key: Key): Promise<TrainedLayer[]> {
  return Promise.all(
    network.layers.map(async ({ weights: { name, rows, columns } }, index) => {
      const quantizer = quantizerOf(entryOf(config.quantizer, index), entryOf(config.threshold, index));
      const first = tf.tensor2d(gaussians(key, index, rows * columns, columns), [rows, columns]);
      const shadow = await parameterOf(name, first, true);
      const parameters = [shadow];
      if (quantizer.initial) {
        const learnt = tf.tidy(() => (quantizer.initial as (w: tf.Tensor2D) => tf.Tensor)(first));
        parameters.push(await parameterOf(`${name}.learnt`, learnt, false));
        learnt.dispose();
      }
      first.dispose();
      return {
        parameters,
        quantize: () =>
          quantizer.quantize(shadow.variable as tf.Tensor as tf.Tensor2D, parameters[1]?.variable),
        dispose: () => tf.dispose(parameters.map(({ variable }) => variable)),
      };
    }),
  );
}

/** One real coefficient a direction, all zero at first. */
export function pooledLayers(
  network: Network,
  key: Key,
  counts: readonly number[],
  cut: number,
): Promise<TrainedLayer[]> {
  const limit = coefficientLimit(cut) + SHORT_OF_HALF;
  return Promise.all(
    poolSets(network.tensors, key, counts).map(async (set, index) => {
      const { weights } = network.layers[index];
      const tensor = new PoolTensor(set, weights, cut);
      const zeros = tf.zeros([set.directions]);
      const coefficients = await parameterOf(`${weights.name}.coefficients`, zeros, false, limit);
      zeros.dispose();
      return {
        parameters: [coefficients],
        quantize: () => ({ weights: tensor.expand(coefficients.variable as tf.Tensor as tf.Tensor1D) }),
        dispose: () => {
          tensor.dispose();
          coefficients.variable.dispose();
        },
      };
    }),
  );
}

/** A parameter of its own memory: kernels move it in place. */
export async function parameterOf(
  name: string,
  first: tf.Tensor,
  decays: boolean,
  limit = Number.POSITIVE_INFINITY,
): Promise<Parameter> {
  const own = tf.tensor(await first.data(), first.shape, 'float32');
  const variable = tf.variable(own, true);
  own.dispose();
  return { name, variable, decays, limit };
}

/** Gaussian numbers of variance 1/inputs (LeCun 1998), by Box and Muller's transform of Philox's words. */
export function gaussians(key: Key, tensor: number, length: number, inputs: number): Float32Array {
  const stream = streamOf(Purpose.shadow, tensor);
  const words = new Uint32Array(4);
  const values = new Float32Array(length);
  const scale = 1 / Math.sqrt(inputs);
  for (let i = 0; i < length; i++) {
    if ((i & 3) === 0) philox(key, i >>> 2, 0, 0, stream, words);
    const pair = i & 2;
    const radius = scale * Math.sqrt(-2 * Math.log((words[pair] + 1) / 2 ** 32));
    const angle = (2 * Math.PI * words[pair + 1]) / 2 ** 32;
    values[i] = radius * (i & 1 ? Math.sin(angle) : Math.cos(angle));
  }
  return values;
}
