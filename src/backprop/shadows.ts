/**
 * Where the integers of a model come from while it is trained: real shadow weights through a quantizer, or the real
 * coefficients of a seed pool.
 */

import * as tf from '@tensorflow/tfjs-core';
import { rescalingOf } from '../ops/rescale/ste.js';
import { LEVELS } from '../quantize/rules.js';
import { poolSets } from '../random/directions.js';
import { coefficientLimit } from '../random/latents.js';
import { type Key, Purpose, philox, streamOf } from '../random/philox.js';
import type { Graph } from '../ternary/graph.js';
import type { Tensor } from '../ternary/model.js';
import { scaleOfReal } from '../ternary/units.js';
import type { Integers } from './ops.js';
import type { Parameter } from './optimizers/optimizer.js';
import { PoolTensor } from './pool-tensor.js';
import { quantizerOf } from './quantizers/index.js';
import type { QuantizerName } from './quantizers/names.js';
import type { QuantizedLayer } from './quantizers/quantizer.js';

/** A matrix and what is trained of it. */
interface TrainedMatrix {
  /** Its index among the tensors. */
  readonly index: number;
  readonly parameters: readonly Parameter[];
  /** The integers that its parameters stand for. */
  quantize(): QuantizedLayer;
  /** Gradients by its parameters, from that by its integers; new tensors. */
  pull(dintegers: tf.Tensor): tf.Tensor[];
  /** What one unit of its integers stands for. */
  step(integers: tf.Tensor2D): tf.Tensor;
  dispose(): void;
}

/** Which quantizer a matrix goes through. */
export interface QuantizerChoice {
  readonly name: QuantizerName;
  /** Of `sparse`, in σ. */
  readonly threshold: number;
}

/** A pool's real coefficients end this far above the largest integer, short of rounding up. */
const SHORT_OF_HALF = 0.49;

export class Shadows {
  readonly parameters: readonly Parameter[];

  private constructor(
    readonly graph: Graph,
    readonly matrices: readonly TrainedMatrix[],
  ) {
    this.parameters = matrices.flatMap(({ parameters }) => parameters);
  }

  /** One real shadow weight a weight, Gaussian at first, and what the quantizers learn beside them. */
  static async ofWeights(
    graph: Graph,
    key: Key,
    choiceOf: (tensor: Tensor, index: number) => QuantizerChoice,
  ): Promise<Shadows> {
    const matrices = [...graph.tensors.entries()].filter(([, { values }]) => values !== 'scale');
    const trained = matrices.map(([index, tensor]) => shadowed(graph, key, index, choiceOf(tensor, index)));
    return new Shadows(graph, await Promise.all(trained));
  }

  /** One real coefficient a direction, all zero at first. */
  static async ofPool(graph: Graph, key: Key, counts: readonly number[], cut: number): Promise<Shadows> {
    const limit = coefficientLimit(cut) + SHORT_OF_HALF;
    const trained = poolSets(graph.tensors, key, counts).map(async (set, index): Promise<TrainedMatrix> => {
      const tensor = graph.tensors[index];
      const pool = new PoolTensor(set, tensor, cut);
      const zeros = tf.zeros([set.directions]);
      const coefficients = await parameterOf(`${tensor.name}.coefficients`, zeros, false, limit);
      zeros.dispose();
      return {
        index,
        parameters: [coefficients],
        quantize: () => ({ weights: pool.expand(coefficients.variable as tf.Tensor as tf.Tensor1D) }),
        pull: (dintegers) => [pool.gradient(dintegers as tf.Tensor2D)],
        step: () => tf.scalar(1),
        dispose: () => {
          pool.dispose();
          coefficients.variable.dispose();
        },
      };
    });
    return new Shadows(graph, await Promise.all(trained));
  }

  /** The model's integers as they are now; the caller's to dispose, by {@link disposeIntegers}. */
  async quantize(): Promise<Integers & { readonly pairs: readonly (readonly number[])[] }> {
    const { scaling, tensors: all } = this.graph;
    const made = tf.tidy(
      () =>
        this.matrices.map((matrix) => {
          const { weights, rowScales } = matrix.quantize();
          return { weights, rowScales, step: scaling ? matrix.step(weights) : null };
        }) as unknown as tf.TensorContainer,
    ) as unknown as { weights: tf.Tensor2D; rowScales?: tf.Tensor1D; step: tf.Tensor | null }[];
    const tensors: (tf.Tensor | undefined)[] = all.map(() => undefined);
    const steps = new Map<number, number>();
    for (const [i, { weights, rowScales, step }] of made.entries()) {
      const { index } = this.matrices[i];
      tensors[index] = weights;
      if (rowScales) tensors[this.#rowScalesOf(index)] = rowScales;
      if (step) steps.set(index, (await step.data())[0]);
      step?.dispose();
    }
    const pairs = (scaling?.rows ?? []).map(({ matrix, unit }) =>
      scaleOfReal(Math.max(Number.MIN_VALUE, (steps.get(matrix) as number) * unit)),
    );
    return { tensors, pairs, scales: pairs.map(([mantissa, exponent]) => rescalingOf(mantissa, exponent)) };
  }

  /** Gradients by the parameters, from those by the integers of each matrix; new tensors. */
  pull(gradients: readonly tf.Tensor[]): tf.Tensor[] {
    return tf.tidy(() => this.matrices.flatMap((matrix, i) => matrix.pull(gradients[i])));
  }

  /** The model's values in model order. */
  async values(): Promise<Int8Array> {
    const { tensors, scaling, parameters } = this.graph;
    const values = new Int8Array(parameters);
    const integers = await this.quantize();
    for (const [i, tensor] of integers.tensors.entries()) {
      if (tensor) values.set(await tensor.data(), tensors[i].offset);
    }
    if (scaling) values.set(integers.pairs.flat(), tensors[scaling.tensor].offset);
    disposeIntegers(integers);
    return values;
  }

  dispose(): void {
    for (const matrix of this.matrices) matrix.dispose();
  }

  /** The tensor of the scales of a matrix's rows. */
  #rowScalesOf(matrix: number): number {
    const op = this.graph.program.find(({ tensors: [first] }) => first === matrix);
    return op?.tensors[1] as number;
  }
}

/** Frees what `quantize` made. */
export function disposeIntegers({ tensors }: Integers): void {
  tf.dispose(tensors.filter((tensor) => tensor !== undefined));
}

async function shadowed(
  { tensors, fanIns }: Graph,
  key: Key,
  index: number,
  { name: quantizerName, threshold }: QuantizerChoice,
): Promise<TrainedMatrix> {
  const { name, rows, columns } = tensors[index];
  const quantizer = quantizerOf(quantizerName, threshold);
  const first = tf.tensor2d(gaussians(key, index, rows * columns, fanIns[index]), [rows, columns]);
  const shadow = await parameterOf(name, first, true);
  const parameters = [shadow];
  if (quantizer.initial) {
    const learnt = tf.tidy(() => (quantizer.initial as (w: tf.Tensor2D) => tf.Tensor)(first));
    parameters.push(await parameterOf(`${name}.learnt`, learnt, false));
    learnt.dispose();
  }
  first.dispose();
  const weights = shadow.variable as tf.Tensor as tf.Tensor2D;
  const quantize = (w: tf.Tensor2D, learnt?: tf.Tensor) => quantizer.quantize(w, learnt);
  return {
    index,
    parameters,
    quantize: () => quantize(weights, parameters[1]?.variable),
    pull: (dintegers) =>
      quantizer.straightThrough
        ? [dintegers.clone()]
        : tf.grads((w, learnt) => quantize(w as tf.Tensor2D, learnt).weights)(
            parameters.map(({ variable }) => variable),
            dintegers,
          ),
    step: (integers) => stepOf(quantizerName, weights, integers),
    dispose: () => tf.dispose(parameters.map(({ variable }) => variable)),
  };
}

/**
 * What one unit of a matrix's integers stands for: with absmean γ = mean|w| (BitNet b1.58), with other trits the mean
 * of |w| where they are not zero, which has the least squared error (TWN); of eight bits the largest magnitude's
 * 127th part.
 */
function stepOf(name: QuantizerName, shadow: tf.Tensor, integers: tf.Tensor): tf.Tensor {
  const size = tf.abs(shadow);
  if (name === 'int8') return tf.div(tf.max(size), LEVELS.int8);
  if (name === 'absmean') return tf.mean(size);
  const used = tf.abs(integers);
  return tf.divNoNan(tf.sum(tf.mul(size, used)), tf.sum(used));
}

/** A parameter of its own memory: kernels move it in place. */
async function parameterOf(
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

/** Gaussian numbers of variance 1/fanIn, by Box and Muller's transform of Philox's words. */
export function gaussians(key: Key, tensor: number, length: number, fanIn: number): Float32Array {
  const stream = streamOf(Purpose.shadow, tensor);
  const words = new Uint32Array(4);
  const values = new Float32Array(length);
  const scale = 1 / Math.sqrt(fanIn);
  for (let i = 0; i < length; i++) {
    if ((i & 3) === 0) philox(key, i >>> 2, 0, 0, stream, words);
    const pair = i & 2;
    const radius = scale * Math.sqrt(-2 * Math.log((words[pair] + 1) / 2 ** 32));
    const angle = (2 * Math.PI * words[pair + 1]) / 2 ** 32;
    values[i] = radius * (i & 1 ? Math.sin(angle) : Math.cos(angle));
  }
  return values;
}
