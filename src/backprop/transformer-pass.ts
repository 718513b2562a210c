/**
 * The integer transformer of src/ternary/transformer.ts in TensorFlow.js: its forward pass to the bit, its loss in
 * float32, and the gradient of the loss by the integers of its matrices. It knows neither shadow weights nor
 * optimizers, so a helper thread needs nothing else.
 */

import * as tf from '@tensorflow/tfjs-core';
import { softmaxScale } from '../ops/attention/op.js';
import {
  EMBEDDING_SHIFT,
  LOGIT_BITS,
  type ScaledMatrix,
  type Transformer,
  type TransformerBlock,
} from '../ternary/transformer.js';
import { attention, type AttentionShape, softmaxTensor } from './ops/attention.js';
import { gated, hiddenUnits, siluTensors, type SiluTensors } from './ops/gated.js';
import { linear } from './ops/linear.js';
import {
  addToStream,
  requantize,
  requantizeFiner,
  requantizeLogits,
  type Rescaling,
} from './ops/requantize.js';
import { rmsNorm } from './ops/rms-norm.js';
import { rotate, rotaryTensors, type RotaryTensors } from './ops/rotary.js';
import { embed, tokenLoss, type TokenLoss } from './ops/tokens.js';

/** A transformer's matrices as training has them. */
export interface Matrices {
  /** Integers in float32, in model order; of a tied model the embedding's is the head's. */
  readonly weights: readonly tf.Tensor2D[];
  /** In the order of the model's scales. */
  readonly scales: readonly Rescaling[];
}

/** Windows of T + 1 bytes on the device. */
export interface WindowTensors {
  /** [B · T] int32 */
  readonly inputs: tf.Tensor1D;
  /** [B · T] int32 */
  readonly labels: tf.Tensor1D;
  /** T. */
  readonly length: number;
}

/** What a position's tables and shapes are for windows of one length. */
interface Positions {
  readonly rotary: RotaryTensors;
  readonly shape: AttentionShape;
}

export class TransformerPass {
  readonly #silu: SiluTensors;
  readonly #softmax: tf.Tensor1D;
  readonly #positions = new Map<number, Positions>();

  constructor(readonly model: Transformer) {
    this.#silu = siluTensors();
    this.#softmax = softmaxTensor();
  }

  /** Loss of windows; differentiable by the weights. */
  loss(matrices: Matrices, { inputs, labels, length }: WindowTensors): TokenLoss {
    return tokenLoss(this.#logits(matrices, inputs, length), labels, 2 ** -LOGIT_BITS);
  }

  /** Frees the tables. */
  dispose(): void {
    const rotary = [...this.#positions.values()].map((positions) => positions.rotary);
    tf.dispose([...Object.values(this.#silu), this.#softmax, ...rotary.flatMap((r) => Object.values(r))]);
  }

  /** [B · T, 256], in 2^−LOGIT_BITS bits. */
  #logits(matrices: Matrices, inputs: tf.Tensor1D, length: number): tf.Tensor2D {
    const { model } = this;
    const positions = this.#positionsOf(length);
    let x = embedded(model, matrices, inputs);
    for (const layer of model.order) x = this.#block(model.layers[layer], matrices, positions, x);
    const sums = product(matrices, model.head, rmsNorm(x));
    return requantizeLogits(sums, matrices.scales[model.head.scale], model.headShift);
  }

  #block(
    { query, key, value, output, gate, up, down }: TransformerBlock,
    matrices: Matrices,
    { rotary, shape }: Positions,
    stream: tf.Tensor2D,
  ): tf.Tensor2D {
    const { scales } = matrices;
    const n = rmsNorm(stream);
    const q = rotate(product(matrices, query, n), scales[query.scale], rotary);
    const k = rotate(product(matrices, key, n), scales[key.scale], rotary);
    const v = requantizeFiner(product(matrices, value, n), scales[value.scale]);
    const mix = attention(q, k, v, this.#softmax, shape);
    const x = addToStream(stream, product(matrices, output, mix), scales[output.scale]);
    const m = rmsNorm(x);
    const g = requantize(product(matrices, gate, m), scales[gate.scale]);
    const u = requantize(product(matrices, up, m), scales[up.scale]);
    const units = hiddenUnits(g, u, this.#silu);
    const hidden = gated(g, u, units, this.#silu);
    return addToStream(x, product(matrices, down, hidden), scales[down.scale], units);
  }

  #positionsOf(length: number): Positions {
    const known = this.#positions.get(length);
    if (known) return known;
    const { heads, keyHeads, headSize, context } = this.model;
    const softmax = softmaxScale(headSize, context);
    const rotary = rotaryTensors(headSize, length);
    for (const table of Object.values(rotary)) tf.keep(table);
    const positions = { rotary, shape: { context: length, heads, keyHeads, headSize, softmax } };
    this.#positions.set(length, positions);
    return positions;
  }
}

/** The residual stream at its beginning, [B · T, W]. */
function embedded({ embed: matrix }: Transformer, matrices: Matrices, inputs: tf.Tensor1D): tf.Tensor2D {
  const { multiplier, shift } = matrices.scales[matrix.scale];
  const finer = { multiplier: multiplier * 2 ** EMBEDDING_SHIFT, shift };
  return embed(addToStream(null, matrices.weights[0], finer), inputs);
}

/** A matrix times i8 activations [R, N], as sums [R, M]. */
function product(
  { weights }: Matrices,
  { weights: tensor, scale }: ScaledMatrix,
  x: tf.Tensor2D,
): tf.Tensor2D {
  const q = weights[scale < weights.length ? scale : 0]; // a tied head is past the last
  return linear(x, q, { isInput: false, wide: tensor.values !== 'trit', signed: true });
}
